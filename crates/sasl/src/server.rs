//! The server side: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login, what Outlook speaks).
//!
//! Every way to fail is a [`Refusal`]; the protocol crate turns it into its own words. After any end the
//! [`Server`] is used up.

use alloc::string::{String, ToString};
use core::mem;

use wire::Secret;

use crate::base64;

/// The longest response, base64 included. RFC 4954 §4 asks for 12288; our mechanisms need far less.
pub const MAX_RESPONSE: usize = 4096;
/// The longest user name or password, in octets.
pub const MAX_NAME: usize = 1024;

/// What a client may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616
    Plain,
    /// User name, then password.
    Login,
}

/// Who the client says it is, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// How they came, for the log.
    pub mechanism: Mechanism,
    /// As sent; not empty, no NUL.
    pub user: String,
    /// Not empty.
    pub password: Secret<String>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this base64 text as a challenge and hand the client's next line to [`Server::respond`].
    Challenge(String),
    /// Check these.
    Check(Credentials),
    /// Refuse.
    Refuse(Refusal),
}

/// Why an exchange failed before any password was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client sent `*`.
    Cancelled,
    /// Not base64, or over a limit.
    BadEncoding,
    /// Not what the mechanism wants: a missing field, not UTF-8.
    BadMessage,
    /// An authorization identity other than the user.
    OtherIdentity,
}

/// One exchange under way.
#[derive(Debug)]
pub struct Server(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword { user: String },
    Over,
}

impl Mechanism {
    /// All of them, in the order they are announced.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Login];

    /// Reads a mechanism's name, in any letter case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

impl Server {
    /// Begins an exchange; `initial` is the initial response as on the wire (`=` means an empty one).
    #[must_use]
    pub fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> (Self, Step) {
        let mut server = Self(match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
        });
        let step = match (initial, mechanism) {
            (Some(b"="), _) => server.respond(b""),
            (Some(response), _) => server.respond(response),
            (None, Mechanism::Plain) => Step::Challenge(String::new()),
            (None, Mechanism::Login) => Step::Challenge(base64::encode(b"Username:")),
        };
        (server, step)
    }

    /// Takes the client's next line.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        self.step(response).unwrap_or_else(|refusal| {
            self.0 = State::Over;
            Step::Refuse(refusal)
        })
    }

    fn step(&mut self, response: &[u8]) -> Result<Step, Refusal> {
        if response == b"*" {
            return Err(Refusal::Cancelled);
        }
        if response.len() > MAX_RESPONSE {
            return Err(Refusal::BadEncoding);
        }
        let message = base64::decode(response).ok_or(Refusal::BadEncoding)?;
        match mem::replace(&mut self.0, State::Over) {
            State::Plain => plain(&message).map(Step::Check),
            State::LoginUser => {
                self.0 = State::LoginPassword { user: field(&message)? };
                Ok(Step::Challenge(base64::encode(b"Password:")))
            }
            State::LoginPassword { user } => {
                let password = Secret::new(field(&message)?);
                Ok(Step::Check(Credentials { mechanism: Mechanism::Login, user, password }))
            }
            State::Over => Err(Refusal::BadMessage),
        }
    }
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd`
fn plain(message: &[u8]) -> Result<Credentials, Refusal> {
    let mut parts = message.split(|octet| *octet == 0);
    let (Some(authzid), Some(user), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::BadMessage);
    };
    if !authzid.is_empty() && authzid != user {
        return Err(Refusal::OtherIdentity);
    }
    Ok(Credentials { mechanism: Mechanism::Plain, user: field(user)?, password: Secret::new(field(password)?) })
}

fn field(octets: &[u8]) -> Result<String, Refusal> {
    match core::str::from_utf8(octets) {
        Ok(text) if !text.is_empty() && text.len() <= MAX_NAME && !text.contains('\0') => Ok(text.to_string()),
        _ => Err(Refusal::BadMessage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn check(step: &Step) -> Option<(&str, &str)> {
        match step {
            Step::Check(credentials) => Some((&credentials.user, credentials.password.expose())),
            _ => None,
        }
    }

    fn plain_step(message: &str) -> Step {
        Server::begin(Mechanism::Plain, Some(base64::encode(message.as_bytes()).as_bytes())).1
    }

    #[test]
    fn plain_with_and_without_initial_response() {
        assert_eq!(check(&plain_step("\0tim\0tanstaaftanstaaf")), Some(("tim", "tanstaaftanstaaf")));
        assert_eq!(check(&plain_step("tim\0tim\0é")), Some(("tim", "é")));
        let (mut server, step) = Server::begin(Mechanism::Plain, None);
        assert_eq!(step, Step::Challenge(String::new()));
        assert_eq!(check(&server.respond(b"AHRpbQB4")), Some(("tim", "x")));
    }

    #[test]
    fn login() {
        let (mut server, step) = Server::begin(Mechanism::Login, None);
        assert_eq!(step, Step::Challenge("VXNlcm5hbWU6".into()));
        assert_eq!(server.respond(b"dGlt"), Step::Challenge("UGFzc3dvcmQ6".into()));
        assert_eq!(check(&server.respond(b"eA==")), Some(("tim", "x")));
        let (_, step) = Server::begin(Mechanism::Login, Some(b"dGlt"));
        assert_eq!(step, Step::Challenge("UGFzc3dvcmQ6".into()));
    }

    #[test]
    fn refusals() {
        for (message, refusal) in [
            ("", Refusal::BadMessage),
            ("tim\0x", Refusal::BadMessage),
            ("\0tim\0", Refusal::BadMessage),
            ("\0\0x", Refusal::BadMessage),
            ("\0tim\0x\0y", Refusal::BadMessage),
            ("root\0tim\0x", Refusal::OtherIdentity),
        ] {
            assert_eq!(plain_step(message), Step::Refuse(refusal), "{message:?}");
        }
        for (line, refusal) in [
            (&b"*"[..], Refusal::Cancelled),
            (b"!", Refusal::BadEncoding),
            (&[b'A'; MAX_RESPONSE + 4], Refusal::BadEncoding),
        ] {
            for mechanism in Mechanism::ALL {
                let (mut server, _) = Server::begin(mechanism, None);
                assert_eq!(server.respond(line), Step::Refuse(refusal));
                assert_eq!(server.respond(b"AHRpbQB4"), Step::Refuse(Refusal::BadMessage), "used up");
            }
        }
        assert_eq!(Server::begin(Mechanism::Plain, Some(b"=")).1, Step::Refuse(Refusal::BadMessage));
    }

    #[test]
    fn passwords_do_not_print() {
        let text = format!("{:?}", plain_step("\0tim\0tanstaaf"));
        assert!(text.contains("tim") && !text.contains("tanstaaf"), "{text}");
    }
}
