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
//! - [`Input::TimedOut`], [`Input::End`] and [`Input::Shutdown`] may come at any time no question is open; each leads to exactly
//!   one `Done` for a message at hand, or one `Failed` for a session that was set up no further.
//!
//! **Promises.** Each recipient of a message gets exactly one outcome in exactly one report, whatever the peer does; `Sent` only
//! after the peer's final 2xx for it; what is in doubt is deferred.
//!
//! **Texts** for the log and the sender are made in [`text`], in Postfix's shapes.

pub mod question;
pub mod report;
pub mod settings;
pub mod text;

use alloc::vec::Vec;
use core::time::Duration;

use wire::{Effect, Input, Machine};

pub use question::{Answer, Message, Part, Question};
pub use report::{Blame, Fate, Outcome, Report};
pub use settings::{Authentication, Dialect, Host, Manner, Myself, Settings, Timeouts, TlsWish};

type Effects = Vec<Effect<Question>>;

/// One connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
}

impl Session {
    /// A session about to start.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }
}

impl Machine for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle(&mut self, _input: Input<'_, Answer>, effects: &mut Effects) {
        effects.push(Effect::Close);
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.settings.timeouts.helo)
    }
}
