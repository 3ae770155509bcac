//! The client side of one connection (RFC 5321, LMTP: RFC 2033) as a [`wire::Machine`] that delivers many messages.
//!
//! **Shape.** The program connects (and does TLS first, on port 465), makes a [`Session`] from [`Settings`] and runs it in the
//! pump, with [`Machine::patience`] as its time limit. The session greets, starts TLS, logs in, then asks [`Question::Next`]
//! and for each message pulls [`Question::Content`] and ends in [`Question::Done`] with a [`Report`]. A session that cannot
//! carry mail ends in [`Question::Failed`] with one [`Outcome`]: the program applies it to what it had for this host, or
//! tries the next one.
//!
//! ```text
//! Start ─▶ greeting, EHLO ─▶ [StartTls ─▶ Secured? ─▶ EHLO] ─▶ [AUTH] ─▶ Next? ─▶ Message ─▶ Content?… ─▶ Done ─▶ Next?
//!                 └──────────────┴───────────────────────────────┴─▶ Failed ─▶ QUIT, Close      Later ─▶ Notice ─▶ Next?
//! ```
//!
//! - [`Effect::StartTls`] means: do the handshake as client; [`Input::Secured`] when it stands, [`Input::End`] when it failed
//!   or when octets had been buffered before it (RFC 3207 §6: all read in clear is worthless). `Failed` then says
//!   `Cannot start TLS: handshake failure`; with [`TlsWish::May`] the program tries a new connection without TLS.
//! - [`Input::TimedOut`], [`Input::End`] and [`Input::Shutdown`] may come at any time no question is open (`End` also with one
//!   open, when what was sent before it could not be sent); each leads to exactly one `Done` for a message at hand, or one
//!   `Failed` for a session not yet set up. Between messages the session just closes. `Shutdown` lets a message at hand come to
//!   its end first.
//! - `Next`, `Done` and `Failed` stand alone among the effects, so that nothing unsent can keep them from the world.
//! - A server that refuses a message within its content and hangs up is heard if the pump gives its last lines before `End`.
//!
//! **Promises.** Each recipient of a message gets exactly one outcome in exactly one report, whatever the peer does; `Sent` only
//! after the peer's final 2xx for it; what is in doubt is deferred.
//!
//! **Texts** for the log and the sender are made in [`text`], in Postfix's shapes.

mod body;
mod commands;
mod deliver;
mod hello;
mod peer;
mod reply;
mod step;
mod transaction;

pub mod question;
pub mod report;
pub mod settings;
pub mod text;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use bytes::Bytes;
use wire::{Effect, Framing, Input, Machine, Secret, Security};

pub use question::{Answer, Message, Part, Question};
pub use report::{Blame, Fate, Outcome, Report};
pub use settings::{Authentication, Dialect, Host, Manner, Myself, Settings, Timeouts, TlsWish};

use hello::Setup;
use peer::Peer;
use reply::{Gather, Heard, Nonsense};
use step::Step;
use transaction::Delivery;

type Effects = Vec<Effect<Question>>;

/// One connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    wait: Wait,
    gather: Gather,
    peer: Peer,
    security: Security,
    /// The greeting says ESMTP.
    esmtp: bool,
    /// An initial response too long for the AUTH line; it goes when the peer asks.
    held_back: Option<Secret<String>>,
    /// Messages so far.
    uses: u32,
    /// Octets stand behind the line at hand.
    ahead: bool,
    /// The peer and we do not understand each other: no more messages.
    spoilt: bool,
    /// No more messages for another reason: we are to stop.
    stopping: bool,
}

/// What must come next.
#[derive(Debug)]
enum Wait {
    Start,
    /// A reply of the set-up.
    Setup(Setup),
    /// The TLS handshake.
    Handshake,
    /// The answer to `Secured`.
    Trust(Setup),
    /// The answer to `Next`.
    Next,
    /// A notice that there is mail.
    Idle,
    /// Replies to a message's commands, or its content.
    Mail(Box<Delivery>),
    /// The answer to `Done` or `Failed`.
    Noted(After),
    /// The reply to RSET.
    Reset,
    /// The reply to QUIT.
    Quit,
    /// Nothing.
    Closed,
}

/// What follows a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Next,
    Reset,
    Quit,
    Close,
}

/// How the peer left us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Connection,
    Patience,
    /// We are to stop.
    Nerve,
}

impl Machine for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle(&mut self, input: Input<'_, Answer>, effects: &mut Effects) {
        match input {
            Input::Start(security) => {
                effects.push(Effect::Frame(Framing::Line { limit: reply::LINE }));
                self.start(security, effects);
            }
            Input::Line(line, _) => match self.gather.line(line) {
                Ok(None) => {}
                Ok(Some(mut heard)) => {
                    heard.ahead = self.ahead;
                    self.heard(&heard, effects);
                }
                Err(nonsense) => self.nonsense(&nonsense, effects),
            },
            Input::LineTooLong => {
                let nonsense = self.gather.line_too_long();
                self.nonsense(&nonsense, effects);
            }
            Input::Answer(answer) => self.answer(answer, effects),
            Input::Secured => self.secured(effects),
            Input::Notice => {
                if matches!(self.wait, Wait::Idle) {
                    self.ready(effects);
                }
            }
            Input::TimedOut => self.lose(Lost::Patience, effects),
            Input::End => self.lose(Lost::Connection, effects),
            Input::Shutdown => self.shut_down(effects),
            // No body is ever asked for.
            Input::Chunk(_) | Input::ChunkEnd(_) => {}
        }
        self.ahead = false;
    }

    fn ahead(&mut self, _octets: &[u8]) {
        self.ahead = true;
    }

    fn patience(&self) -> Option<Duration> {
        let timeouts = &self.settings.timeouts;
        Some(match &self.wait {
            Wait::Idle | Wait::Next => timeouts.idle,
            wait => wait.step().limit(timeouts),
        })
    }
}

impl Session {
    /// A session about to start.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            wait: Wait::Start,
            gather: Gather::default(),
            peer: Peer::default(),
            security: Security::Clear,
            esmtp: false,
            held_back: None,
            uses: 0,
            ahead: false,
            spoilt: false,
            stopping: false,
        }
    }

    fn heard(&mut self, heard: &Heard, effects: &mut Effects) {
        match mem::replace(&mut self.wait, Wait::Closed) {
            Wait::Setup(setup) => self.setup_reply(setup, heard, effects),
            Wait::Mail(delivery) => self.mail_reply(delivery, heard, effects),
            Wait::Reset if heard.is_ok() => self.ready(effects),
            Wait::Reset if heard.code != 421 => self.quit(effects),
            // Unasked: the peer takes its leave.
            Wait::Reset | Wait::Idle | Wait::Quit | Wait::Closed => close(effects),
            wait @ (Wait::Start | Wait::Handshake | Wait::Trust(_) | Wait::Next | Wait::Noted(_)) => self.wait = wait,
        }
    }

    fn nonsense(&mut self, nonsense: &Nonsense, effects: &mut Effects) {
        let step = self.wait.step();
        let outcome = Outcome::nonsense(&self.settings.host, &nonsense.0, step);
        self.give_up(&outcome, false, effects);
    }

    /// The session ends here and now, whatever it was about.
    fn give_up(&mut self, outcome: &Outcome, stale: bool, effects: &mut Effects) {
        match mem::replace(&mut self.wait, Wait::Closed) {
            Wait::Start | Wait::Setup(_) | Wait::Handshake | Wait::Trust(_) => {
                self.fail(outcome.clone(), After::Close, effects);
            }
            Wait::Mail(mut delivery) => {
                delivery.fail_rest(outcome);
                delivery.stale = stale;
                self.report(delivery, After::Close, effects);
            }
            // A report that has been asked about is with the world.
            Wait::Next | Wait::Idle | Wait::Noted(_) | Wait::Reset | Wait::Quit | Wait::Closed => close(effects),
        }
    }

    fn lose(&mut self, how: Lost, effects: &mut Effects) {
        let host = &self.settings.host;
        let doing = self.wait.step().doing();
        let outcome = match (how, &self.wait) {
            (Lost::Patience, Wait::Idle) => return self.quit(effects),
            (Lost::Connection, Wait::Handshake) => Outcome::deferred(7, 5, Blame::Host, text::handshake_failed()),
            (Lost::Connection, _) => Outcome::deferred(4, 2, Blame::Session, text::lost(host, doing)),
            (Lost::Patience, _) => Outcome::deferred(4, 2, Blame::Session, text::timed_out(host, doing)),
            (Lost::Nerve, _) => Outcome::deferred(3, 2, Blame::Ourselves, text::given_up(host, doing)),
        };
        let answered = matches!(&self.wait, Wait::Mail(delivery) if delivery.answered);
        let stale = how == Lost::Connection && self.uses > 1 && !answered;
        self.give_up(&outcome, stale, effects);
    }

    /// A message at hand is brought to its end; nothing is begun.
    fn shut_down(&mut self, effects: &mut Effects) {
        self.stopping = true;
        match self.wait {
            Wait::Idle => self.quit(effects),
            Wait::Start | Wait::Setup(_) | Wait::Handshake => self.lose(Lost::Nerve, effects),
            Wait::Quit => close(effects),
            Wait::Trust(_) | Wait::Next | Wait::Mail(_) | Wait::Noted(_) | Wait::Reset | Wait::Closed => {}
        }
    }

    fn answer(&mut self, answer: Answer, effects: &mut Effects) {
        match (mem::replace(&mut self.wait, Wait::Closed), answer) {
            (Wait::Trust(before), answer) => self.trust_answer(before, answer, effects),
            (Wait::Next, Answer::Message(message)) => self.begin(*message, effects),
            (Wait::Next, Answer::Later) if !self.stopping => self.wait = Wait::Idle,
            (Wait::Next, _) => self.quit(effects),
            (Wait::Mail(delivery), answer) => self.content_answer(delivery, answer, effects),
            (Wait::Noted(after), _) => self.after(after, effects),
            (wait @ (Wait::Start | Wait::Setup(_) | Wait::Handshake), _) => self.wait = wait,
            (wait @ (Wait::Idle | Wait::Reset | Wait::Quit | Wait::Closed), _) => self.wait = wait,
        }
    }

    fn after(&mut self, after: After, effects: &mut Effects) {
        match after {
            After::Next => self.ready(effects),
            After::Reset => {
                self.send("RSET\r\n", effects);
                self.wait = Wait::Reset;
            }
            After::Quit => self.quit(effects),
            After::Close => close(effects),
        }
    }

    /// Asks for the next message.
    fn ready(&mut self, effects: &mut Effects) {
        if self.stopping || self.spoilt {
            return self.quit(effects);
        }
        self.wait = Wait::Next;
        effects.push(Effect::Ask(Question::Next));
    }

    /// No mail goes through this session.
    fn fail(&mut self, outcome: Outcome, after: After, effects: &mut Effects) {
        self.wait = Wait::Noted(after);
        effects.push(Effect::Ask(Question::Failed(Box::new(outcome))));
    }

    fn quit(&mut self, effects: &mut Effects) {
        self.send("QUIT\r\n", effects);
        if self.settings.manner.skip_quit_response {
            close(effects);
            self.wait = Wait::Closed;
        } else {
            self.wait = Wait::Quit;
        }
    }

    fn send(&self, octets: impl Into<Bytes>, effects: &mut Effects) {
        let octets = octets.into();
        if !octets.is_empty() {
            effects.push(Effect::Send(octets));
        }
    }
}

impl Wait {
    /// What we are about.
    fn step(&self) -> Step {
        match self {
            Self::Start => Step::Greeting,
            Self::Setup(setup) | Self::Trust(setup) => setup.step(),
            Self::Handshake => Step::StartTls,
            Self::Mail(delivery) => delivery.step(),
            Self::Reset => Step::Rset,
            Self::Next | Self::Idle | Self::Noted(_) | Self::Quit | Self::Closed => Step::Quit,
        }
    }
}

fn close(effects: &mut Effects) {
    effects.push(Effect::Close);
}
