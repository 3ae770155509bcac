//! What keeper, front and worker say to one another, one SEQPACKET message each.
//!
//! Promise: decoding never trusts a length, a number or a text; a message that is not exactly one of these is
//! [`Malformed`] and the receiver ends that conversation.
//!
//! Layout: see [`accounts::packet`]; the first octet is the letter of the variant. An address is an octet string of
//! 4 or 16 octets.

use std::net::IpAddr;

use accounts::packet::{Malformed, Reader, Writer};
use wire::{Secret, Security};

/// A connection that has shown a right password, on its way to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose mailbox; the name as the system spells it.
    pub user: String,
    /// Names this connection in the log.
    pub id: String,
    /// The client's address.
    pub rip: IpAddr,
    /// Ours.
    pub lip: IpAddr,
    /// Whether the client speaks TLS (then the front decrypts, and the descriptor is a unix socket).
    pub security: Security,
    /// The tag of the IMAP command that is still to be answered; empty in POP3.
    pub tag: Vec<u8>,
    /// What the client already sent after its login.
    pub buffered: Vec<u8>,
}

/// From the front to the keeper.
#[derive(Debug)]
pub enum ToKeeper {
    /// Is this the password, and is there room? Answered by [`ToFront::Admission`].
    LogIn {
        /// Comes back in the answer, and names the admission afterwards.
        id: u64,
        /// As the client typed it.
        name: String,
        /// As the client typed it.
        password: Secret<Vec<u8>>,
        /// The client's address.
        rip: IpAddr,
    },
    /// Use an admission: the descriptor comes along. The user in the session is the keeper's business and ignored.
    HandOver {
        /// Of the admission.
        id: u64,
        /// All about the connection.
        session: Session,
    },
    /// The client left before its admission was used.
    Abandon {
        /// Of the admission.
        id: u64,
    },
    /// Told to retire: nobody is let in any more.
    Retired,
}

/// From the keeper to the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToFront {
    /// Use this pair for TLS from now on (PEM text). Comes before any [`ToFront::Listen`], and again when renewed.
    Certificate {
        /// The chain.
        chain: Vec<u8>,
        /// The private key.
        key: Secret<Vec<u8>>,
    },
    /// Accept connections on the descriptor that comes along.
    Listen(Security),
    /// The answer to a login.
    Admission {
        /// Of the question.
        id: u64,
        /// What became of it.
        outcome: Outcome,
        /// The user's name as the system spells it, if admitted.
        user: String,
        /// The worker's process id, if admitted.
        pid: u64,
    },
    /// Accept no more, finish what is there, then end.
    Retire,
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Right; the keeper holds a place and a worker.
    Admitted,
    /// Wrong name or password.
    Refused,
    /// The right password, but this user has too many sessions from this address.
    TooMany,
    /// Nothing can be said now; the keeper has logged why.
    Unavailable,
}

/// From the keeper to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// Serve this connection; the descriptor comes along.
    Serve {
        /// Comes back when it is over.
        number: u64,
        /// All about it.
        session: Session,
    },
}

/// From a worker to the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// That session is the worker's from now on; before, a worker that dies has not touched it.
    Taken {
        /// Of the session.
        number: u64,
    },
    /// That session is over.
    Ended {
        /// Of the session.
        number: u64,
    },
    /// Nothing to do for a while. If it really got all sessions sent so far, the keeper hangs up and the worker ends.
    Idle {
        /// How many sessions it got in its life.
        received: u64,
    },
}

/// A message that travels.
pub trait Message: Sized {
    /// The octets to send.
    fn encode(&self) -> Writer;
    /// Reads received octets.
    ///
    /// # Errors
    /// When they are not exactly such a message.
    fn decode(message: &[u8]) -> Result<Self, Malformed>;
}

impl Message for ToKeeper {
    fn encode(&self) -> Writer {
        match self {
            Self::LogIn { id, name, password, rip } => {
                put_address(Writer::new(b'L').u64(*id).text(name).bytes(password.expose()), *rip)
            }
            Self::HandOver { id, session } => put_session(Writer::new(b'H').u64(*id), session),
            Self::Abandon { id } => Writer::new(b'X').u64(*id),
            Self::Retired => Writer::new(b'Q'),
        }
    }

    fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut fields) = Reader::new(message)?;
        if kind == b'Q' {
            return fields.end().map(|()| Self::Retired);
        }
        let id = fields.u64()?;
        let decoded = match kind {
            b'L' => {
                let name = fields.text()?;
                let password = Secret::new(fields.bytes()?.to_vec());
                Self::LogIn { id, name, password, rip: address(&mut fields)? }
            }
            b'H' => Self::HandOver { id, session: session(&mut fields)? },
            b'X' => Self::Abandon { id },
            _ => return Err(Malformed),
        };
        fields.end().map(|()| decoded)
    }
}

impl Message for ToFront {
    fn encode(&self) -> Writer {
        match self {
            Self::Certificate { chain, key } => Writer::new(b'C').bytes(chain).bytes(key.expose()),
            Self::Listen(security) => Writer::new(b'B').u8(code(*security)),
            Self::Admission { id, outcome, user, pid } => {
                Writer::new(b'A').u64(*id).u8(*outcome as u8).text(user).u64(*pid)
            }
            Self::Retire => Writer::new(b'R'),
        }
    }

    fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut fields) = Reader::new(message)?;
        let decoded = match kind {
            b'C' => Self::Certificate { chain: fields.bytes()?.to_vec(), key: Secret::new(fields.bytes()?.to_vec()) },
            b'B' => Self::Listen(security(&mut fields)?),
            b'A' => Self::Admission {
                id: fields.u64()?,
                outcome: outcome(fields.u8()?)?,
                user: fields.text()?,
                pid: fields.u64()?,
            },
            b'R' => Self::Retire,
            _ => return Err(Malformed),
        };
        fields.end().map(|()| decoded)
    }
}

impl Message for ToWorker {
    fn encode(&self) -> Writer {
        match self {
            Self::Serve { number, session } => put_session(Writer::new(b'S').u64(*number), session),
        }
    }

    fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut fields) = Reader::new(message)?;
        if kind != b'S' {
            return Err(Malformed);
        }
        let decoded = Self::Serve { number: fields.u64()?, session: session(&mut fields)? };
        fields.end().map(|()| decoded)
    }
}

impl Message for FromWorker {
    fn encode(&self) -> Writer {
        match self {
            Self::Taken { number } => Writer::new(b'T').u64(*number),
            Self::Ended { number } => Writer::new(b'E').u64(*number),
            Self::Idle { received } => Writer::new(b'I').u64(*received),
        }
    }

    fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut fields) = Reader::new(message)?;
        let number = fields.u64()?;
        let decoded = match kind {
            b'T' => Self::Taken { number },
            b'E' => Self::Ended { number },
            b'I' => Self::Idle { received: number },
            _ => return Err(Malformed),
        };
        fields.end().map(|()| decoded)
    }
}

fn put_session(writer: Writer, session: &Session) -> Writer {
    let writer = writer.text(&session.user).text(&session.id);
    put_address(put_address(writer, session.rip), session.lip)
        .u8(code(session.security))
        .bytes(&session.tag)
        .bytes(&session.buffered)
}

fn session(fields: &mut Reader<'_>) -> Result<Session, Malformed> {
    Ok(Session {
        user: fields.text()?,
        id: fields.text()?,
        rip: address(fields)?,
        lip: address(fields)?,
        security: security(fields)?,
        tag: fields.bytes()?.to_vec(),
        buffered: fields.bytes()?.to_vec(),
    })
}

fn put_address(writer: Writer, address: IpAddr) -> Writer {
    match address {
        IpAddr::V4(v4) => writer.bytes(&v4.octets()),
        IpAddr::V6(v6) => writer.bytes(&v6.octets()),
    }
}

fn address(fields: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    let octets = fields.bytes()?;
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).map_err(|_| Malformed)
}

const fn code(security: Security) -> u8 {
    match security {
        Security::Clear => 0,
        Security::Tls => 1,
    }
}

fn security(fields: &mut Reader<'_>) -> Result<Security, Malformed> {
    match fields.u8()? {
        0 => Ok(Security::Clear),
        1 => Ok(Security::Tls),
        _ => Err(Malformed),
    }
}

const fn outcome(code: u8) -> Result<Outcome, Malformed> {
    match code {
        0 => Ok(Outcome::Admitted),
        1 => Ok(Outcome::Refused),
        2 => Ok(Outcome::TooMany),
        3 => Ok(Outcome::Unavailable),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Session {
        Session {
            user: "kevin".into(),
            id: "x2tnfrdgTuzAqAAX".into(),
            rip: IpAddr::from([192, 168, 0, 23]),
            lip: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            security: Security::Tls,
            tag: b"a1".to_vec(),
            buffered: b"STAT\r\n".to_vec(),
        }
    }

    /// Every message that any side may send.
    fn all() -> Vec<Vec<u8>> {
        let bytes = |writer: Writer| writer.as_bytes().to_vec();
        let password = Secret::new(b"pw".to_vec());
        let rip = IpAddr::from([127, 0, 0, 1]);
        vec![
            bytes(ToKeeper::LogIn { id: 1, name: "kevin".into(), password, rip }.encode()),
            bytes(ToKeeper::HandOver { id: 2, session: example() }.encode()),
            bytes(ToKeeper::Abandon { id: 3 }.encode()),
            bytes(ToKeeper::Retired.encode()),
            bytes(ToFront::Listen(Security::Tls).encode()),
            bytes(ToFront::Admission { id: 4, outcome: Outcome::TooMany, user: "kevin".into(), pid: 5 }.encode()),
            bytes(ToFront::Certificate { chain: b"c".to_vec(), key: Secret::new(b"k".to_vec()) }.encode()),
            bytes(ToFront::Retire.encode()),
            bytes(ToWorker::Serve { number: 6, session: example() }.encode()),
            bytes(FromWorker::Taken { number: 9 }.encode()),
            bytes(FromWorker::Ended { number: 7 }.encode()),
            bytes(FromWorker::Idle { received: 8 }.encode()),
        ]
    }

    fn readers(message: &[u8]) -> usize {
        [
            ToKeeper::decode(message).is_ok(),
            ToFront::decode(message).is_ok(),
            ToWorker::decode(message).is_ok(),
            FromWorker::decode(message).is_ok(),
        ]
        .into_iter()
        .filter(|ok| *ok)
        .count()
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let serve = ToWorker::Serve { number: 6, session: example() };
        assert_eq!(ToWorker::decode(serve.encode().as_bytes()), Ok(serve));
        let admission = ToFront::Admission { id: 4, outcome: Outcome::Admitted, user: "kevin".into(), pid: 5 };
        assert_eq!(ToFront::decode(admission.encode().as_bytes()), Ok(admission));
    }

    #[test]
    fn each_message_has_one_reader_and_no_cut_or_longer_one_has_any() {
        for message in all() {
            assert_eq!(readers(&message), 1, "{message:?}");
            for cut in 0..message.len() {
                assert_eq!(readers(&message[..cut]), 0, "{:?}", &message[..cut]);
            }
            assert_eq!(readers(&[&message[..], b"\0"].concat()), 0, "{message:?}");
        }
    }

    #[test]
    fn no_changed_octet_makes_a_reader_panic() {
        for message in all() {
            for at in 0..message.len() {
                for value in [0, 1, 4, 16, 127, 255] {
                    let mut changed = message.clone();
                    changed[at] = value;
                    assert!(readers(&changed) <= 1);
                }
            }
        }
    }
}
