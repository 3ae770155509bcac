//! The MIME scanner: every range lies in the message, children in their parents.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::mime::Structure;

fuzz_target!(|message: &[u8]| {
    let structure = Structure::of(message);
    for part in structure.parts() {
        assert!(part.header.start <= part.header.end && part.header.end <= part.body.start);
        assert!(part.body.start <= part.body.end && part.body.end <= message.len());
        for child in structure.children(part) {
            assert!(child.header.start >= part.body.start && child.body.end <= part.body.end);
        }
        let _ = structure.inner(part);
    }
    let _ = structure.find(&[1, 2, 1]);
});
