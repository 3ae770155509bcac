//! What became of a message: one [`Outcome`] per recipient.

use alloc::string::String;
use alloc::vec::Vec;

use mail::EnhancedStatus;

use super::reply::Heard;
use super::step::Step;
use super::{Host, text};

/// What became of a message in this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One for each recipient, in the order of the envelope.
    pub recipients: Vec<Outcome>,
    /// The peer took DSN parameters, so that it will tell the sender what was asked for; else a `relayed` notice is due to
    /// those who wanted to hear of success.
    pub dsn: bool,
    /// The how-manieth message of the connection this was, from 1 (`conn_use=`).
    pub uses: u32,
    /// The connection had been used or idle before and was found dead before anything was said to this message: what is
    /// deferred in this report is best tried at once over a new connection, and counts as no failure.
    pub stale: bool,
}

/// What became of one recipient, or of a whole session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The outcome itself.
    pub fate: Fate,
    /// `dsn=`: from the reply, or made from its first digit, or ours.
    pub status: EnhancedStatus,
    /// For the log, in its shape: what stands in brackets after `status=`.
    pub text: String,
    /// The peer's own reply, its lines joined by blanks, codes included: `Diagnostic-Code: smtp; …`. `None`: it said nothing.
    pub reply: Option<String>,
    /// Who is to blame, unless it was sent.
    pub blame: Option<Blame>,
}

/// What becomes of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The peer has taken it over.
    Sent,
    /// Try again: at another host if there is one, later else.
    Deferred,
    /// It never will work.
    Bounced,
}

/// Whose fault it is. All but [`Blame::Ourselves`] that is deferred may be tried at the next host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The host talks to nobody, or not to us: greeting, EHLO, TLS, login, or 421. Counts against the destination.
    Host,
    /// The connection was lost, timed out, or the peer talked nonsense. Counts against the destination.
    Session,
    /// This message is refused (MAIL, DATA, its end, its size or kind); others may pass.
    Message,
    /// The host lacks what this message needs (SMTPUTF8, BINARYMIME). Another host may have it: bounce only after the last.
    Lacking,
    /// This recipient is refused.
    Recipient,
    /// We could not read the message.
    Ourselves,
}

impl Outcome {
    /// The peer has it.
    pub(super) fn sent(heard: &Heard) -> Self {
        let reply = heard.text();
        Self { fate: Fate::Sent, status: heard.status(), text: reply.clone(), reply: Some(reply), blame: None }
    }

    /// The peer said no; or it said yes where that is no answer, which is in doubt and so deferred.
    pub(super) fn refused(host: &Host, heard: &Heard, step: Step, blame: Blame) -> Self {
        let text = text::said(host, &heard.text(), step.command());
        Self::judged(heard, blame, text).unwrap_or_else(|| Self::nonsense(host, &heard.text(), step))
    }

    /// A refusal with a text of its own; `None` when the reply is none.
    pub(super) fn judged(heard: &Heard, blame: Blame, text: String) -> Option<Self> {
        let fate = match heard.class() {
            4 => Fate::Deferred,
            5 => Fate::Bounced,
            _ => return None,
        };
        Some(Self { fate, status: heard.status(), text, reply: Some(heard.text()), blame: Some(blame) })
    }

    /// What the peer says makes no sense here.
    pub(super) fn nonsense(host: &Host, reply: &str, step: Step) -> Self {
        let text = text::nonsense(host, reply, step.command());
        let status = EnhancedStatus::new(4, 5, 0);
        Self { fate: Fate::Deferred, status, text, reply: Some(reply.into()), blame: Some(Blame::Session) }
    }

    /// Deferred by us.
    pub(super) const fn deferred(subject: u16, detail: u16, blame: Blame, text: String) -> Self {
        let status = EnhancedStatus::new(4, subject, detail);
        Self { fate: Fate::Deferred, status, text, reply: None, blame: Some(blame) }
    }

    /// Bounced by us.
    pub(super) const fn bounced(subject: u16, detail: u16, blame: Blame, text: String) -> Self {
        let status = EnhancedStatus::new(5, subject, detail);
        Self { fate: Fate::Bounced, status, text, reply: None, blame: Some(blame) }
    }

    /// A permanent failure that is the host's only: it defers.
    pub(super) fn softened(mut self) -> Self {
        if self.fate == Fate::Bounced {
            self.fate = Fate::Deferred;
            self.status.class = 4;
        }
        self
    }
}
