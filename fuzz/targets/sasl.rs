//! SASL: one response per line.
#![no_main]

use fuzz::Chance;
use libfuzzer_sys::fuzz_target;
use sasl::{Mechanism, Server, Step, base64};

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    if let Some(decoded) = base64::decode(octets) {
        assert_eq!(base64::encode(&decoded).as_bytes(), octets);
    }
    let mechanism = Mechanism::ALL[chance.below(2) as usize];
    let mut lines = octets.split(|octet| *octet == b'\n');
    let initial = if chance.below(2) == 0 { None } else { lines.next() };
    let (mut server, mut step) = Server::begin(mechanism, initial);
    for line in lines {
        if let Step::Check(credentials) = &step {
            assert!(!credentials.user.is_empty() && !credentials.user.contains('\0'));
        }
        step = server.respond(line);
    }
});
