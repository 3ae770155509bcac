//! All that Facteur logs at level info about mail and sessions, one line each, in the shapes that
//! `pflogsumm`, `fail2ban` and people know from Postfix and Dovecot.
//!
//! A machine or program hands over an [`Event`]; the log adds time, host and `facteur/PROGRAM[pid]`.
//! Text from a peer is escaped on writing: an event is always one line.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

pub mod smtpd;

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete line whose shape has no variant of its own yet.
    Line(String),
    /// A line of the SMTP server.
    Smtpd(smtpd::Smtpd),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(&escaped(line)),
            Self::Smtpd(event) => event.fmt(f),
        }
    }
}

/// `text` with every control character as `?`, so that a peer cannot forge a second line.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}
