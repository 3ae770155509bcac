//! The client side of SASL: one challenge per line.
#![no_main]

use fuzz::Chance;
use libfuzzer_sys::fuzz_target;
use sasl::base64;
use sasl::client::{Client, Login, Mechanism};
use wire::Secret;

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let login = Login { user: "user".into(), secret: Secret::new("pencil".into()) };
    let mechanism = Mechanism::ALL[chance.below(4) as usize];
    let (mut client, _) = Client::begin(mechanism, &login, "rOprNGfwEbeRWgbNEkqO").expect("what can be carried");
    // Whatever the server says, in clear words here: SCRAM is not proven, as nobody guesses a signature.
    for line in octets.split(|octet| *octet == b'\n') {
        let challenge = if chance.below(4) == 1 { line.to_vec() } else { base64::encode(line).into_bytes() };
        // Many rounds are slow and find nothing.
        if String::from_utf8_lossy(line).split(',').any(|field| field.len() > 6 && field.starts_with("i=")) {
            return;
        }
        match client.challenge(&challenge) {
            Ok(answer) => assert!(base64::decode(answer.expose().as_bytes()).is_some()),
            Err(_) => assert!(!client.proven()),
        }
    }
    assert!(mechanism != Mechanism::ScramSha256 || !client.proven());
});
