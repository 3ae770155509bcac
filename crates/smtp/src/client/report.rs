//! What became of a message: one [`Outcome`] per recipient.

use alloc::string::String;
use alloc::vec::Vec;

use mail::EnhancedStatus;

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
