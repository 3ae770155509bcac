//! SCRAM-SHA-256 without channel binding (RFC 5802 §5, RFC 7677).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wire::Secret;

use super::{Login, Trouble};
use crate::base64;

/// RFC 7677 §4: at least that many rounds.
const FEWEST: u32 = 4096;
/// About a second of a small machine's time.
const MOST: u32 = 1_000_000;

/// `gs2-cbind-flag "," [authzid] ","`: no channel binding, no other identity.
const GS2_HEADER: &str = "n,,";

#[derive(Debug)]
pub(super) struct Scram(State);

#[derive(Debug)]
enum State {
    First {
        password: Secret<String>,
        nonce: String,
        bare: String,
    },
    Final {
        server: Key,
    },
    Proven,
    /// After any failure.
    Spoilt,
}

/// A key, or what else must not be seen.
type Key = Secret<[u8; 32]>;

impl Scram {
    pub(super) fn begin(login: &Login, nonce: &str) -> Result<(Self, String), Trouble> {
        let printable = |octet: u8| matches!(octet, 0x21..=0x2B | 0x2D..=0x7E);
        if nonce.is_empty() || !nonce.bytes().all(printable) {
            return Err(Trouble::Unusable);
        }
        let bare = format!("n={},r={nonce}", saslname(&login.user));
        let first = format!("{GS2_HEADER}{bare}");
        Ok((Self(State::First { password: login.secret.clone(), nonce: nonce.into(), bare }), first))
    }

    pub(super) fn challenge(&mut self, message: &str) -> Result<String, Trouble> {
        match core::mem::replace(&mut self.0, State::Spoilt) {
            State::First { password, nonce, bare } => {
                let first = ServerFirst::parse(message, &nonce)?;
                let (answer, server) = prove(&password, &bare, message, &first)?;
                self.0 = State::Final { server };
                Ok(answer)
            }
            State::Final { server } => {
                let shown = message.split(',').next().and_then(|field| field.strip_prefix("v="));
                let shown = shown.and_then(|text| base64::decode(text.as_bytes())).ok_or(Trouble::BadMessage)?;
                if !same(&shown, server.expose()) {
                    return Err(Trouble::Impostor);
                }
                self.0 = State::Proven;
                Ok(String::new())
            }
            State::Proven | State::Spoilt => Err(Trouble::BadMessage),
        }
    }

    pub(super) const fn proven(&self) -> bool {
        matches!(self.0, State::Proven)
    }
}

/// `server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]`
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(message: &'a str, ours: &str) -> Result<Self, Trouble> {
        let mut fields = message.split(',');
        // A mandatory extension (`m=`) in front is none we know, so not a nonce.
        let mut field =
            |name: &str| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(Trouble::BadMessage);
        let nonce = field("r=")?;
        let salt = base64::decode(field("s=")?.as_bytes()).ok_or(Trouble::BadMessage)?;
        let iterations = field("i=")?.parse().map_err(|_| Trouble::BadMessage)?;
        if nonce.len() <= ours.len() || !nonce.starts_with(ours) || salt.is_empty() {
            return Err(Trouble::BadMessage);
        }
        if !(FEWEST..=MOST).contains(&iterations) {
            return Err(Trouble::BadIterations);
        }
        Ok(Self { nonce, salt, iterations })
    }
}

/// The client-final-message and the signature that the server must show.
fn prove(
    password: &Secret<String>,
    bare: &str,
    message: &str,
    first: &ServerFirst<'_>,
) -> Result<(String, Key), Trouble> {
    let salted = stretched(password.expose().as_bytes(), &first.salt, first.iterations)?;
    let client_key = signed(salted.expose(), b"Client Key")?;
    let stored_key: [u8; 32] = Sha256::digest(client_key.expose()).into();
    let final_bare = format!("c={},r={}", base64::encode(GS2_HEADER.as_bytes()), first.nonce);
    let all = [bare, message, &final_bare].join(",");
    let mut proof = signed(&stored_key, all.as_bytes())?.expose().to_vec();
    for (octet, key) in proof.iter_mut().zip(client_key.expose()) {
        *octet ^= key;
    }
    let server_key = signed(salted.expose(), b"Server Key")?;
    Ok((format!("{final_bare},p={}", base64::encode(&proof)), signed(server_key.expose(), all.as_bytes())?))
}

/// `Hi(str, salt, i)`: PBKDF2 with HMAC-SHA-256 and one block.
fn stretched(password: &[u8], salt: &[u8], iterations: u32) -> Result<Key, Trouble> {
    let keyed = keyed(password)?;
    let mut round = keyed.clone().chain_update(salt).chain_update([0, 0, 0, 1]).finalize().into_bytes();
    let mut sum: [u8; 32] = round.into();
    for _ in 1..iterations {
        round = keyed.clone().chain_update(round).finalize().into_bytes();
        for (octet, other) in sum.iter_mut().zip(round) {
            *octet ^= other;
        }
    }
    Ok(Secret::new(sum))
}

fn signed(key: &[u8], text: &[u8]) -> Result<Key, Trouble> {
    Ok(Secret::new(keyed(key)?.chain_update(text).finalize().into_bytes().into()))
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, Trouble> {
    // A key of any length will do; the error is for other kinds of codes.
    Hmac::new_from_slice(key).map_err(|_| Trouble::Unusable)
}

/// `saslname`: a comma is `=2C`, an equals sign `=3D`.
fn saslname(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C").to_string()
}

/// Compares without telling by time where they differ.
fn same(shown: &[u8], right: &[u8]) -> bool {
    shown.len() == right.len() && shown.iter().zip(right).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn begin() -> (Scram, String) {
        Scram::begin(&Login { user: "user".into(), secret: Secret::new("pencil".into()) }, NONCE).unwrap()
    }

    #[test]
    fn example_of_rfc_7677() {
        let (mut scram, first) = begin();
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            scram.challenge(SERVER_FIRST).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(!scram.proven());
        assert_eq!(scram.challenge(SERVER_FINAL).unwrap(), "");
        assert!(scram.proven());
    }

    #[test]
    fn an_impostor_is_found() {
        for (message, trouble) in [
            ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", Trouble::BadMessage),
            ("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", Trouble::Impostor),
            ("v=", Trouble::Impostor),
            ("e=invalid-proof", Trouble::BadMessage),
            ("", Trouble::BadMessage),
        ] {
            let (mut scram, _) = begin();
            scram.challenge(SERVER_FIRST).unwrap();
            assert_eq!(scram.challenge(message), Err(trouble), "{message}");
        }
    }

    #[test]
    fn first_messages_that_are_refused() {
        for (message, trouble) in [
            ("", Trouble::BadMessage),
            ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096", Trouble::BadMessage),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096", Trouble::BadMessage),
            ("r=another,s=W22Z,i=4096", Trouble::BadMessage),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", Trouble::BadMessage),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=x", Trouble::BadMessage),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1", Trouble::BadIterations),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4294967295", Trouble::BadIterations),
        ] {
            assert_eq!(begin().0.challenge(message), Err(trouble), "{message}");
        }
    }

    #[test]
    fn names_are_escaped_and_nonces_checked() {
        assert_eq!(saslname("a,b=c"), "a=2Cb=3Dc");
        for nonce in ["", "a,b", "a b", "é"] {
            let login = Login { user: "u".into(), secret: Secret::new("p".into()) };
            assert!(Scram::begin(&login, nonce).is_err(), "{nonce}");
        }
    }
}
