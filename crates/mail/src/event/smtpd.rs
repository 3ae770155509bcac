//! What `smtpd` logs, in Postfix's shapes.

use alloc::string::String;
use core::fmt;

use super::escaped;
use crate::{Address, QueueId};

/// One line of the SMTP server. `client` is `name[address]` throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Smtpd {
    /// A message got its queue id.
    Client {
        /// Its id.
        id: QueueId,
        /// From where.
        client: String,
        /// Mechanism and user, when authenticated.
        login: Option<(&'static str, String)>,
    },
    /// A connection came.
    Connect {
        /// From where.
        client: String,
    },
    /// A connection is over.
    Disconnect {
        /// From where.
        client: String,
        /// `ehlo=1 mail=1/3 … commands=8/15`, and notes.
        tally: String,
    },
    /// A path in MAIL, RCPT or VRFY was no address.
    IllegalAddress {
        /// From where.
        client: String,
        /// `MAIL`
        command: &'static str,
        /// What it wrote.
        text: String,
    },
    /// A wrong password, or a SASL exchange that broke off.
    LoginFailed {
        /// From where.
        client: String,
        /// `PLAIN`
        method: &'static str,
        /// Why.
        why: &'static str,
        /// The name given, if it came that far.
        user: Option<String>,
    },
    /// The session broke off.
    Lost {
        /// How.
        cause: Lost,
        /// After which command, or `DATA`.
        after: String,
        /// Octets of content received so far.
        octets: Option<u64>,
        /// From where.
        client: String,
    },
    /// What came was another protocol, or mail text.
    NotSmtp {
        /// From where.
        client: String,
        /// The line.
        text: String,
    },
    /// The client spoke out of turn.
    Pipelining {
        /// After which command; `CONNECT` before the greeting.
        after: String,
        /// From where.
        client: String,
        /// What came too early.
        text: Option<String>,
    },
    /// A command was refused by policy.
    Reject(Reject),
}

/// A refusal by policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The message, when it has an id already.
    pub id: Option<QueueId>,
    /// `RCPT`, `MAIL`, `END-OF-MESSAGE`
    pub command: &'static str,
    /// From where.
    pub client: String,
    /// The reply as sent.
    pub reply: String,
    /// The sender: none said; `<>`; an address.
    pub from: Option<Option<Address>>,
    /// The recipient in question.
    pub to: Option<Address>,
    /// `SMTP`, `ESMTP`
    pub proto: &'static str,
    /// The HELO name.
    pub helo: Option<String>,
}

/// How a session broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The peer went away.
    Connection,
    /// The peer said nothing for too long.
    Timeout,
    /// The peer made too many errors.
    TooManyErrors,
}

impl fmt::Display for Smtpd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { id, client, login } => {
                write!(f, "{id}: client={}", escaped(client))?;
                match login {
                    Some((method, user)) => write!(f, ", sasl_method={method}, sasl_username={}", escaped(user)),
                    None => Ok(()),
                }
            }
            Self::Connect { client } => write!(f, "connect from {}", escaped(client)),
            Self::Disconnect { client, tally } => write!(f, "disconnect from {} {tally}", escaped(client)),
            Self::IllegalAddress { client, command, text } => {
                write!(
                    f,
                    "warning: Illegal address syntax from {} in {command} command: {}",
                    escaped(client),
                    escaped(text)
                )
            }
            Self::LoginFailed { client, method, why, user } => {
                write!(f, "warning: {}: SASL {method} authentication failed: {why}", escaped(client))?;
                user.as_ref().map_or(Ok(()), |user| write!(f, ", sasl_username={}", escaped(user)))
            }
            Self::Lost { cause, after, octets, client } => {
                write!(f, "{cause} after {}", escaped(after))?;
                octets.map_or(Ok(()), |octets| write!(f, " ({octets} bytes)"))?;
                write!(f, " from {}", escaped(client))
            }
            Self::NotSmtp { client, text } => {
                write!(f, "warning: non-SMTP command from {}: {}", escaped(client), escaped(text))
            }
            Self::Pipelining { after, client, text } => {
                write!(f, "improper command pipelining after {} from {}", escaped(after), escaped(client))?;
                text.as_ref().map_or(Ok(()), |text| write!(f, ": {}", escaped(text)))
            }
            Self::Reject(reject) => reject.fmt(f),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{id}")?,
            None => f.write_str("NOQUEUE")?,
        }
        write!(f, ": reject: {} from {}: {};", self.command, escaped(&self.client), escaped(&self.reply))?;
        match &self.from {
            Some(Some(from)) => write!(f, " from=<{from}>")?,
            Some(None) => f.write_str(" from=<>")?,
            None => {}
        }
        if let Some(to) = &self.to {
            write!(f, " to=<{to}>")?;
        }
        write!(f, " proto={}", self.proto)?;
        self.helo.as_ref().map_or(Ok(()), |helo| write!(f, " helo=<{}>", escaped(helo)))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "lost connection",
            Self::Timeout => "timeout",
            Self::TooManyErrors => "too many errors",
        })
    }
}
