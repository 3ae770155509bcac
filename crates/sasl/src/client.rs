//! The client side: SCRAM-SHA-256 (RFC 5802, RFC 7677), PLAIN (RFC 4616), LOGIN and XOAUTH2.
//!
//! [`Client::begin`] gives the initial response, [`Client::challenge`] the answer to each challenge, both as on the wire. When
//! the server says that all is well, [`Client::proven`] says whether the mechanism agrees: a server that speaks SCRAM must
//! have shown that it knows the password too. Every way to fail is a [`Trouble`]; the exchange is then to be cancelled with
//! `*`. Names and passwords outside ASCII are sent as they are: no SASLprep, which most servers do not apply either.

mod scram;

use alloc::format;
use alloc::string::String;
use core::fmt;

use wire::Secret;

use crate::base64;
use scram::Scram;

/// The longest challenge, base64 included (RFC 4954 §4).
pub const MAX_CHALLENGE: usize = 12288;

/// Who we are to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password, or the access token for XOAUTH2.
    pub secret: Secret<String>,
}

/// What the client can speak, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 7677; the password does not travel.
    ScramSha256,
    /// RFC 4616
    Plain,
    /// User name, then password.
    Login,
    /// An access token in place of a password (Google, Microsoft). Allow it only where the secret is one.
    XOAuth2,
}

/// Why an exchange cannot go on. The server is to blame, but for [`Trouble::Unusable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The user's name or the secret holds what the mechanism cannot carry.
    Unusable,
    /// The challenge is not base64, or too long.
    BadEncoding,
    /// The challenge is not what the mechanism wants.
    BadMessage,
    /// SCRAM: fewer rounds than RFC 7677 §4 asks for, so that the password would be given away, or more than we compute.
    BadIterations,
    /// SCRAM: the server does not know the password.
    Impostor,
}

/// One exchange under way.
#[derive(Debug)]
pub struct Client(State);

#[derive(Debug)]
enum State {
    LoginUser(Login),
    LoginPassword(Secret<String>),
    Scram(Scram),
    /// XOAUTH2: a challenge now is an error report, answered by nothing (Google's description of the mechanism).
    Told,
    Over {
        proven: bool,
    },
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 4] = [Self::ScramSha256, Self::Plain, Self::Login, Self::XOAuth2];

    /// Reads a mechanism's name, in any letter case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The name as in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// Whoever listens to the exchange learns the secret.
    #[must_use]
    pub const fn is_plaintext(self) -> bool {
        match self {
            Self::ScramSha256 => false,
            Self::Plain | Self::Login | Self::XOAuth2 => true,
        }
    }
}

impl Client {
    /// Begins an exchange. `nonce`: printable ASCII without commas, never used before and not to be guessed.
    /// The second value is the initial response, in base64; `None`: the server speaks first.
    ///
    /// # Errors
    /// [`Trouble::Unusable`].
    pub fn begin(mechanism: Mechanism, login: &Login, nonce: &str) -> Result<(Self, Option<Secret<String>>), Trouble> {
        let (user, secret) = (&login.user, login.secret.expose());
        let forbidden: &[char] = if mechanism == Mechanism::XOAuth2 { &['\0', '\u{1}'] } else { &['\0'] };
        if user.is_empty() || secret.is_empty() || user.contains(forbidden) || secret.contains(forbidden) {
            return Err(Trouble::Unusable);
        }
        Ok(match mechanism {
            Mechanism::ScramSha256 => {
                let (scram, first) = Scram::begin(login, nonce)?;
                (Self(State::Scram(scram)), Some(encoded(&Secret::new(first))))
            }
            Mechanism::Plain => {
                let message = Secret::new(format!("\0{user}\0{secret}"));
                (Self(State::Over { proven: true }), Some(encoded(&message)))
            }
            Mechanism::Login => (Self(State::LoginUser(login.clone())), None),
            Mechanism::XOAuth2 => {
                let message = Secret::new(format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}"));
                (Self(State::Told), Some(encoded(&message)))
            }
        })
    }

    /// The answer to a challenge; both in base64.
    ///
    /// # Errors
    /// When the exchange must be cancelled. It is used up then.
    pub fn challenge(&mut self, challenge: &[u8]) -> Result<Secret<String>, Trouble> {
        if challenge.len() > MAX_CHALLENGE {
            return Err(Trouble::BadEncoding);
        }
        match core::mem::replace(&mut self.0, State::Over { proven: false }) {
            // Servers ask in many words, some not even in base64. What they want is known.
            State::LoginUser(login) => {
                let answer = base64::encode(login.user.as_bytes());
                self.0 = State::LoginPassword(login.secret);
                Ok(Secret::new(answer))
            }
            State::LoginPassword(secret) => {
                self.0 = State::Over { proven: true };
                Ok(encoded(&secret))
            }
            State::Scram(mut scram) => {
                let message = base64::decode(challenge).ok_or(Trouble::BadEncoding)?;
                let message = core::str::from_utf8(&message).map_err(|_| Trouble::BadMessage)?;
                let answer = scram.challenge(message)?;
                self.0 = State::Scram(scram);
                Ok(encoded(&Secret::new(answer)))
            }
            State::Told => Ok(Secret::new(String::new())),
            State::Over { .. } => Err(Trouble::BadMessage),
        }
    }

    /// Whether the mechanism is content when the server says that we are logged in.
    #[must_use]
    pub const fn proven(&self) -> bool {
        match &self.0 {
            State::LoginUser(_) | State::LoginPassword(_) => false,
            State::Scram(scram) => scram.proven(),
            State::Told => true,
            State::Over { proven } => *proven,
        }
    }
}

fn encoded(text: &Secret<String>) -> Secret<String> {
    Secret::new(base64::encode(text.expose().as_bytes()))
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unusable => "the user name or password cannot be sent by this mechanism",
            Self::BadEncoding => "malformed challenge",
            Self::BadMessage => "unexpected challenge",
            Self::BadIterations => "unsuitable iteration count",
            Self::Impostor => "the server does not know the password",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn login() -> Login {
        Login { user: "user".into(), secret: Secret::new("pencil".into()) }
    }

    fn text(response: &Secret<String>) -> String {
        String::from_utf8(base64::decode(response.expose().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn plain() {
        let (client, initial) = Client::begin(Mechanism::Plain, &login(), "").unwrap();
        assert_eq!(text(&initial.unwrap()), "\0user\0pencil");
        assert!(client.proven());
    }

    #[test]
    fn plain_is_asked_for_nothing_more() {
        let (mut client, _) = Client::begin(Mechanism::Plain, &login(), "").unwrap();
        assert_eq!(client.challenge(b""), Err(Trouble::BadMessage));
        assert!(!client.proven());
    }

    #[test]
    fn login_whatever_the_server_calls_it() {
        let (mut client, initial) = Client::begin(Mechanism::Login, &login(), "").unwrap();
        assert_eq!(initial, None);
        assert_eq!(text(&client.challenge(b"VXNlcm5hbWU6").unwrap()), "user");
        assert!(!client.proven());
        assert_eq!(text(&client.challenge(b"Password:").unwrap()), "pencil");
        assert!(client.proven());
        assert_eq!(client.challenge(b""), Err(Trouble::BadMessage));
    }

    #[test]
    fn xoauth2_reads_the_error_report() {
        let (mut client, initial) = Client::begin(Mechanism::XOAuth2, &login(), "").unwrap();
        assert_eq!(text(&initial.unwrap()), "user=user\u{1}auth=Bearer pencil\u{1}\u{1}");
        assert!(client.proven());
        assert_eq!(text(&client.challenge(b"eyJzdGF0dXMiOiI0MDEifQ==").unwrap()), "");
        assert_eq!(client.challenge(b""), Err(Trouble::BadMessage));
    }

    #[test]
    fn what_cannot_be_carried() {
        for (mechanism, user, secret) in [
            (Mechanism::Plain, "", "x"),
            (Mechanism::Plain, "x", ""),
            (Mechanism::Plain, "a\0b", "x"),
            (Mechanism::Login, "a", "x\0"),
            (Mechanism::XOAuth2, "a\u{1}", "x"),
        ] {
            let login = Login { user: user.into(), secret: Secret::new(secret.into()) };
            assert!(matches!(Client::begin(mechanism, &login, "n"), Err(Trouble::Unusable)), "{user:?} {secret:?}");
        }
    }

    #[test]
    fn too_long_a_challenge() {
        let long: Vec<u8> = std::iter::repeat_n(b'A', MAX_CHALLENGE + 4).collect();
        for mechanism in Mechanism::ALL {
            let (mut client, _) = Client::begin(mechanism, &login(), "n").unwrap();
            assert_eq!(client.challenge(&long), Err(Trouble::BadEncoding));
        }
    }

    #[test]
    fn secrets_do_not_print() {
        for mechanism in Mechanism::ALL {
            let shown = std::format!("{:?}", Client::begin(mechanism, &login(), "n").unwrap());
            assert!(!shown.contains("pencil"), "{shown}");
        }
    }
}
