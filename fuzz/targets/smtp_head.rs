//! The header filter: splitting changes nothing, and the body comes through whole.
#![no_main]

use fuzz::Chance;
use libfuzzer_sys::fuzz_target;
use smtp::headers::{Completion, Head};
use smtp::rewrite::Addresses;
use wire::LineEnd;

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let completion = || Completion { message_id: "<i@vm>".into(), date: "D".into(), from: "a@b".into() };
    let completion = (chance.below(3) != 1).then(completion);
    let line_end = if chance.below(4) == 0 { LineEnd::CrLf } else { LineEnd::Lf };
    let whole = run(line_end, completion.clone(), octets, || usize::MAX);
    let split = run(line_end, completion, octets, || 1 + chance.below(30) as usize);
    // A line too long to hold is judged by what has come of it, which depends on the split.
    if octets.split(|octet| *octet == b'\n').all(|line| line.len() < smtp::headers::MAX_HELD) {
        assert_eq!(whole, split);
    }
    if let Some(at) = octets.windows(2).position(|pair| pair == b"\n\n") {
        assert!(whole.ends_with(&octets[at + 2..]));
    }
});

fn run(line_end: LineEnd, completion: Option<Completion>, octets: &[u8], mut size: impl FnMut() -> usize) -> Vec<u8> {
    let rewriting = completion.as_ref().map(|_| Addresses { origin: "o".into(), change: None });
    let mut head = Head::new(line_end, completion, rewriting);
    let mut out = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(size().min(rest.len()));
        rest = tail;
        head.push(part, &mut out);
    }
    head.end(&mut out);
    out
}
