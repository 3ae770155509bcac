//! The server side of one connection (RFC 5321 §3, §4) as a [`wire::Machine`].
//!
//! Promises: after any refusal the session is as if the command had not been given, but for the counters; a message is
//! acknowledged only after `Commit` was answered; every budget of [`Limits`] holds; memory is the envelope, one write
//! block and the chunk at hand. What the peer does wrong is a reply and a log line; nothing here fails.
//!
//! **Line-feed sessions** (`nc` in a terminal): when the client may (our networks may) and its first line ends in a bare LF,
//! LF ends lines and `LF . LF` ends DATA throughout. Anyone else ends DATA with `CR LF . CR LF` and nothing else.

mod content;
mod hello;
mod question;
mod settings;
mod tally;
mod transaction;
mod transcript;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use mail::Event;
use mail::event::smtpd::{Lost, Reject, Smtpd};
use wire::{Effect, Framing, Input, LineEnd, Machine, Oddities, Security};

use crate::Reply;
use crate::command::{self, Verb};

pub use question::{Answer, Question, Transaction};
pub use settings::{Auth, Client, Limits, Policy, Settings};

use content::Body;
use hello::{Exchange, Peer};
use tally::Tally;
use transaction::Mail;
pub use transcript::Faults;
use transcript::Transcript;

type Effects = Vec<Effect<Question>>;

/// One connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    wait: Wait,
    peer: Peer,
    mail: Option<Mail>,
    tally: Tally,
    /// The command being carried out or last carried out; `None` for an unknown one.
    current: Option<Verb>,
    /// How the first line ended.
    line_end: Option<LineEnd>,
    /// The beginning of what the peer sent before it had the reply to the line at hand.
    ahead: Option<String>,
    security: Security,
    /// What was said, if somebody may want to know.
    transcript: Option<Transcript>,
}

/// What must come next.
#[derive(Debug)]
enum Wait {
    Start,
    Command,
    /// A SASL response.
    Exchange(Exchange),
    /// Content.
    Body(Body),
    Answer(Asked),
    /// The TLS handshake.
    Handshake,
    /// Nothing.
    Closed,
}

/// Which question is open, with all that its answer needs.
#[derive(Debug)]
enum Asked {
    Password(hello::Claim),
    Sender(alloc::boxed::Box<(mail::Envelope, Option<String>)>),
    Recipient(mail::Recipient),
    Name(mail::Recipient),
    Verify(mail::Address),
    Flush(mail::Domain),
    Open(Body),
    Write(Body),
    Commit,
    /// What to say afterwards.
    Discard(Afterwards),
}

#[derive(Debug)]
enum Afterwards {
    Say(Reply),
    Greet(Verb, String),
}

impl Machine for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle(&mut self, input: Input<'_, Answer>, effects: &mut Effects) {
        let before = effects.len();
        if let (Some(transcript), Input::Line(line, _)) = (&mut self.transcript, &input) {
            transcript.heard(line, matches!(self.wait, Wait::Exchange(_)));
        }
        self.take(input, effects);
        if let Some(transcript) = &mut self.transcript {
            for effect in effects.iter().skip(before) {
                if let Effect::Send(octets) = effect {
                    transcript.said(octets);
                }
            }
        }
    }

    fn ahead(&mut self, octets: &[u8]) {
        if self.settings.policy.forbid_pipelining {
            self.ahead = Some(String::from_utf8_lossy(&octets[..octets.len().min(100)]).into_owned());
        }
    }
}

impl Session {
    /// A session about to start.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let transcript = settings.policy.transcript.then(Transcript::default);
        Self {
            settings,
            wait: Wait::Start,
            peer: Peer::default(),
            mail: None,
            tally: Tally::default(),
            current: None,
            line_end: None,
            ahead: None,
            security: Security::Clear,
            transcript,
        }
    }

    fn take(&mut self, input: Input<'_, Answer>, effects: &mut Effects) {
        match input {
            Input::Start(security) => self.start(security, effects),
            Input::Line(line, end) => self.line(line, end, effects),
            Input::LineTooLong => self.line_too_long(effects),
            Input::Chunk(octets) => self.chunk(octets, effects),
            Input::ChunkEnd(odd) => self.chunk_end(odd, effects),
            Input::Answer(answer) => self.answer(answer, effects),
            Input::Secured => self.secured(),
            Input::Notice => {}
            Input::TimedOut => self.lose(Lost::Timeout, Some(self.timeout_reply()), effects),
            Input::End => self.lose(Lost::Connection, None, effects),
            Input::Shutdown => self.shut_down(effects),
        }
    }

    /// What went wrong in this session and what was said in it, if that is kept ([`Policy::transcript`]).
    #[must_use]
    pub fn report(&self) -> Option<(Faults, String)> {
        self.transcript.as_ref().map(Transcript::report)
    }

    fn start(&mut self, security: Security, effects: &mut Effects) {
        self.security = security;
        self.log(Smtpd::Connect { client: self.client() }, effects);
        effects.push(Effect::Frame(Framing::Line { limit: self.settings.limits.line_length }));
        if self.settings.policy.early_talker {
            return self.out_of_step("CONNECT", None, effects);
        }
        let greeting = format!("{} {}", self.settings.hostname, self.settings.banner);
        send(&Reply::bare(220, greeting), effects);
        self.wait = Wait::Command;
    }

    fn line(&mut self, line: &[u8], end: LineEnd, effects: &mut Effects) {
        let ahead = self.ahead.take();
        let first = *self.line_end.get_or_insert(end);
        if end == LineEnd::Lf && !(first == LineEnd::Lf && self.settings.policy.line_feeds) {
            self.tally.note(Oddities { mixed_ends: true, ..Oddities::default() });
        }
        match self.wait {
            Wait::Command => self.command(line, ahead, effects),
            Wait::Exchange(_) => self.exchange(line, effects),
            Wait::Start | Wait::Body(_) | Wait::Answer(_) | Wait::Handshake | Wait::Closed => {}
        }
    }

    fn line_too_long(&mut self, effects: &mut Effects) {
        match self.wait {
            Wait::Command => {
                self.current = None;
                self.tally.tried(None);
                self.say(Reply::new(500, 5, 2, "Error: line too long"), effects);
            }
            // RFC 4954 §4: the exchange is over.
            Wait::Exchange(_) => self.say(Reply::new(500, 5, 6, "Authentication exchange line is too long"), effects),
            Wait::Start | Wait::Body(_) | Wait::Answer(_) | Wait::Handshake | Wait::Closed => {}
        }
    }

    /// The peer does not wait for replies where it must.
    fn out_of_step(&mut self, after: &str, text: Option<String>, effects: &mut Effects) {
        self.log(Smtpd::Pipelining { after: after.into(), client: self.client(), text }, effects);
        send(&Reply::new(554, 5, 0, "Error: SMTP protocol synchronization"), effects);
        self.close(effects);
    }

    fn command(&mut self, line: &[u8], ahead: Option<String>, effects: &mut Effects) {
        let Ok(text) = core::str::from_utf8(line) else {
            return self.unknown(Reply::new(500, 5, 2, "Error: bad UTF-8 syntax"), effects);
        };
        let (verb, arguments) = match command::split(text) {
            Ok(known) => known,
            Err(word) => return self.unknown_word(word, text, effects),
        };
        self.current = Some(verb);
        self.tally.tried(Some(verb));
        if let Some(text) = ahead
            && (verb.rule().ends_pipeline || !self.peer.may_pipeline())
        {
            return self.out_of_step(verb.rule().name, Some(text), effects);
        }
        if verb.rule().junk {
            self.tally.junk += 1;
            self.tally.errors += u32::from(self.tally.junk > self.settings.limits.junk_commands);
        }
        if let Err(reply) = self.permitted(verb) {
            return self.say(reply, effects);
        }
        if let Err(reply) = self.dispatch(verb, arguments.trim_end_matches([' ', '\t']), effects) {
            self.say(reply, effects);
        }
    }

    /// Carries a command out, up to its reply or its question.
    fn dispatch(&mut self, verb: Verb, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        match verb {
            Verb::Helo | Verb::Ehlo => return self.hello(verb, arguments, effects),
            Verb::StartTls => return self.start_tls(arguments, effects),
            Verb::Auth => return self.authenticate(arguments, effects),
            Verb::Mail => return self.mail_from(arguments, effects),
            Verb::Rcpt => return self.rcpt_to(arguments, effects),
            Verb::Data => return self.data(arguments, effects),
            Verb::Bdat => return self.bdat(arguments, effects),
            Verb::Rset => {
                verb.alone(arguments)?;
                self.abandon(Afterwards::Say(Reply::new(250, 0, 0, "Ok")), effects);
            }
            Verb::Noop => self.say(Reply::new(250, 0, 0, "Ok"), effects),
            Verb::Vrfy => return self.verify(arguments, effects),
            Verb::Etrn => return self.flush(arguments, effects),
            Verb::Quit => {
                verb.alone(arguments)?;
                self.tally.done(Some(verb));
                send(&Reply::new(221, 0, 0, "Bye"), effects);
                self.close(effects);
            }
            Verb::Help => self.say(Reply::new(214, 0, 0, HELP), effects),
            Verb::Expn => return Err(Reply::new(502, 5, 1, "Error: command not implemented")),
        }
        Ok(())
    }

    fn unknown_word(&mut self, word: &str, line: &str, effects: &mut Effects) {
        let foreign = FOREIGN.iter().any(|verb| verb.eq_ignore_ascii_case(word));
        // Mail text where commands belong: a request smuggled through another protocol. People of ours only mistype.
        let header = word.contains(':') && !self.settings.policy.in_my_networks;
        if foreign || header {
            self.current = None;
            self.tally.tried(None);
            self.log(Smtpd::NotSmtp { client: self.client(), text: line.chars().take(100).collect() }, effects);
            send(&Reply::new(221, 7, 0, "Error: I can break rules, too. Goodbye."), effects);
            return self.close(effects);
        }
        let text = if word.is_empty() { "Error: bad syntax" } else { "Error: command not recognized" };
        self.unknown(Reply::new(500, 5, 2, text), effects);
    }

    fn unknown(&mut self, reply: Reply, effects: &mut Effects) {
        self.current = None;
        self.tally.tried(None);
        self.say(reply, effects);
    }

    /// Ends the current command with this reply, and the session with the last error it may make.
    fn say(&mut self, reply: Reply, effects: &mut Effects) {
        let limits = &self.settings.limits;
        if reply.is_refusal() {
            self.tally.errors += 1;
            if self.tally.errors > limits.soft_errors && self.tally.errors < limits.hard_errors {
                effects.push(Effect::Pause(limits.error_pause));
            }
        } else {
            self.tally.done(self.current);
        }
        send(&reply, effects);
        self.wait = Wait::Command;
        if self.tally.errors >= self.settings.limits.hard_errors {
            let reply = Reply::new(421, 7, 0, format!("{} Error: too many errors", self.settings.hostname));
            self.lose(Lost::TooManyErrors, Some(reply), effects);
        }
    }

    fn answer(&mut self, answer: Answer, effects: &mut Effects) {
        let Wait::Answer(asked) = core::mem::replace(&mut self.wait, Wait::Command) else { return };
        match asked {
            Asked::Password(claim) => self.password_answer(claim, answer, effects),
            Asked::Sender(mail) => self.sender_answer(*mail, answer, effects),
            Asked::Recipient(recipient) => self.recipient_answer(recipient, answer, effects),
            Asked::Name(recipient) => self.name_answer(recipient, answer, effects),
            Asked::Verify(address) => self.verify_answer(&address, answer, effects),
            Asked::Flush(domain) => self.flush_answer(&domain, answer, effects),
            Asked::Open(body) => self.open_answer(body, answer, effects),
            Asked::Write(body) => self.write_answer(body, answer, effects),
            Asked::Commit => self.commit_answer(answer, effects),
            Asked::Discard(afterwards) => self.afterwards(afterwards, effects),
        }
    }

    fn ask(&mut self, question: Question, asked: Asked, effects: &mut Effects) {
        self.wait = Wait::Answer(asked);
        effects.push(Effect::Ask(question));
    }

    /// The session is over for this reason.
    fn lose(&mut self, cause: Lost, reply: Option<Reply>, effects: &mut Effects) {
        if matches!(self.wait, Wait::Closed) {
            return;
        }
        if let Some(reply) = reply {
            send(&reply, effects);
        }
        let after =
            self.current.map_or(if self.line_end.is_some() { "UNKNOWN" } else { "CONNECT" }, |verb| verb.rule().name);
        let octets = match self.wait {
            Wait::Body(_) => self.mail.as_ref().map(Mail::octets),
            _ => None,
        };
        self.log(Smtpd::Lost { cause, after: after.into(), octets, client: self.client() }, effects);
        self.close(effects);
    }

    fn timeout_reply(&self) -> Reply {
        Reply::new(421, 4, 2, format!("{} Error: timeout exceeded", self.settings.hostname))
    }

    fn shut_down(&mut self, effects: &mut Effects) {
        if !matches!(self.wait, Wait::Closed) {
            send(&Reply::new(421, 3, 0, format!("{} Service shutting down", self.settings.hostname)), effects);
            self.close(effects);
        }
    }

    fn close(&mut self, effects: &mut Effects) {
        self.log(Smtpd::Disconnect { client: self.client(), tally: self.tally.summary() }, effects);
        effects.push(Effect::Close);
        self.wait = Wait::Closed;
        self.mail = None;
    }

    fn client(&self) -> String {
        self.settings.client.to_string()
    }

    fn log(&self, event: Smtpd, effects: &mut Effects) {
        effects.push(Effect::Log(Event::Smtpd(event)));
    }

    /// The log line for a refusal by policy.
    fn reject(&self, command: &'static str, to: Option<mail::Address>, reply: &Reply) -> Smtpd {
        Smtpd::Reject(Reject {
            id: self.mail.as_ref().and_then(|mail| mail.id),
            command,
            client: self.client(),
            reply: reply.to_string(),
            from: self.mail.as_ref().map(|mail| mail.envelope.reverse_path.clone()),
            to,
            proto: self.peer.protocol(),
            helo: self.peer.name().map(ToString::to_string),
        })
    }
}

fn send(reply: &Reply, effects: &mut Effects) {
    effects.push(Effect::Send(format!("{reply}\r\n").into()));
}

/// An answer that fits no question: our own fault.
fn confused() -> Reply {
    Reply::new(451, 3, 0, "Error: internal error")
}

const HELP: &str = "Commands: HELO EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN QUIT HELP";

/// Other protocols' verbs: a browser or a proxy made to talk to us (`smtpd_forbidden_commands`).
const FOREIGN: [&str; 3] = ["CONNECT", "GET", "POST"];
