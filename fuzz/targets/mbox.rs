//! Any octets as an mbox, on a disk in memory: see `mailstore::probe`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| mailstore::probe::mbox(octets).expect("a disk in memory"));
