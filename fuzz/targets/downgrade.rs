//! 8-bit and binary content made 7-bit: any split gives the same, and what is encoded is 7-bit.
#![no_main]

use fuzz::Chance;
use libfuzzer_sys::fuzz_target;
use smtp::downgrade::{Downgrade, Takes};

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let binary = [None, Some(Takes::SevenBit), Some(Takes::EightBit)][chance.below(3) as usize];
    let new = || binary.map_or_else(Downgrade::default, Downgrade::of_binary);
    let mut whole = Vec::new();
    let mut downgrade = new();
    downgrade.feed(octets, &mut whole);
    downgrade.finish(&mut whole);
    assert!(whole.len() <= 4 * octets.len() + 100 * (1 + octets.iter().filter(|octet| **octet == b'\n').count()));

    let mut pieces = Vec::new();
    let mut downgrade = new();
    let mut rest = octets;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(1 + chance.below(20) as usize));
        downgrade.feed(now, &mut pieces);
        rest = later;
    }
    downgrade.finish(&mut pieces);
    assert!(whole == pieces, "the split matters");

    let mut single = b"Content-Transfer-Encoding: binary\n\n".to_vec();
    single.extend_from_slice(octets);
    let (mut downgrade, mut out) = (new(), Vec::new());
    downgrade.feed(&single, &mut out);
    downgrade.finish(&mut out);
    assert!(out.is_ascii());
});
