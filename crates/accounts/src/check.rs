//! What an unprivileged program (smtpd) asks the privileged one (master) about a password, over one SEQPACKET
//! socket: [`Request`] there, [`Reply`] back, in any order, joined by `id`.
//!
//! Layout (see [`crate::packet`]): request `'Q'`, id u64, name, password, peer; reply `'A'`, id u64, outcome u8.
//! The privileged side holds a wrong answer back for the failure delay; the asker just waits.

use wire::Secret;

use crate::packet::{Malformed, Reader, Writer};
use crate::{Error, Verdict};

/// A name and a password to be checked.
#[derive(Debug)]
pub struct Request {
    /// Chosen by the asker; comes back in the reply.
    pub id: u64,
    /// As the peer typed it, a domain of ours already cut off.
    pub name: String,
    /// What the peer typed.
    pub password: Secret<Vec<u8>>,
    /// The peer's address, for PAM, the log and the counting of failures.
    pub peer: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Of the request.
    pub id: u64,
    /// The answer.
    pub outcome: Outcome,
}

/// The answer to a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is right.
    Right,
    /// It is wrong, whatever the reason.
    Wrong,
    /// Nobody can say at the moment; the privileged side has logged why.
    Unavailable,
}

/// No message of this protocol is longer: give `recv` a buffer of this size and call a longer one malformed.
pub const MAX_MESSAGE: usize = 4096;
/// Longest name and longest password that are passed on; the asker refuses longer ones itself.
pub const MAX_CREDENTIAL: usize = 1024;

const REQUEST: u8 = b'Q';
const REPLY: u8 = b'A';

impl Request {
    /// The message to send; wiped when dropped.
    #[must_use]
    pub fn encode(&self) -> Writer {
        Writer::new(REQUEST).u64(self.id).text(&self.name).bytes(self.password.expose()).text(&self.peer)
    }

    /// Reads a message; wipe the buffer afterwards.
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut fields) = Reader::new(message)?;
        let id = fields.u64()?;
        let name = fields.text()?;
        let password = Secret::new(fields.bytes()?.to_vec());
        let peer = fields.text()?;
        fields.end()?;
        let sane = kind == REQUEST && name.len() <= MAX_CREDENTIAL && password.expose().len() <= MAX_CREDENTIAL;
        if sane { Ok(Self { id, name, password, peer }) } else { Err(Malformed) }
    }
}

impl Reply {
    /// The message to send.
    #[must_use]
    pub fn encode(self) -> Writer {
        Writer::new(REPLY).u64(self.id).u8(self.outcome.code())
    }

    /// Reads a message.
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut fields) = Reader::new(message)?;
        let id = fields.u64()?;
        let outcome = Outcome::from_code(fields.u8()?)?;
        fields.end()?;
        if kind == REPLY { Ok(Self { id, outcome }) } else { Err(Malformed) }
    }
}

impl Outcome {
    /// As one octet.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Right => 0,
            Self::Wrong => 1,
            Self::Unavailable => 2,
        }
    }
    /// From one octet.
    pub const fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Right),
            1 => Ok(Self::Wrong),
            2 => Ok(Self::Unavailable),
            _ => Err(Malformed),
        }
    }
}

impl From<&Result<Verdict, Error>> for Outcome {
    fn from(result: &Result<Verdict, Error>) -> Self {
        match result {
            Ok(Verdict::Right) => Self::Right,
            Ok(Verdict::Wrong) => Self::Wrong,
            Err(_) => Self::Unavailable,
        }
    }
}
