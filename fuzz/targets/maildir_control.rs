//! Any text as the control files of a Maildir: see `mailstore::probe`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    mailstore::probe::control_files(&String::from_utf8_lossy(octets)).expect("written as it is read");
});
