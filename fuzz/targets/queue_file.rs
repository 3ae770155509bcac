//! Octets read as the beginning of a queue file, and as what `sendmail` sends to `facteur-drop`: what is understood is
//! within what was given, and a prologue that is written anew says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::QueueId;
use spool::format::{Piece, prologue, read_piece, read_prologue};

fuzz_target!(|data: &[u8]| {
    read(data);
    read(&sealed(data));
});

/// The octets as records with right checksums: a kind, a length, so much payload, and so on.
fn sealed(mut data: &[u8]) -> Vec<u8> {
    let mut out = b"Facteur\x01".to_vec();
    while let [kind, length, rest @ ..] = data {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        let start = out.len();
        out.push(b'A' + kind % 26);
        out.extend((payload.len() as u32).to_le_bytes());
        out.extend(payload);
        out.extend(crc32fast::hash(&out[start..]).to_le_bytes());
        data = rest;
    }
    out
}

fn read(octets: &[u8]) {
    if let Ok(Some((read, begin))) = read_prologue(octets) {
        assert!(begin <= octets.len());
        let micros = read.arrival.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_micros();
        let id = QueueId::new(u64::try_from(micros).unwrap_or(u64::MAX), 0);
        let written = prologue(id, &read.envelope, &read.origin);
        let Ok(Some((again, _))) = read_prologue(&written) else { panic!("not read again") };
        assert_eq!((again.envelope, again.origin), (read.envelope, read.origin));
    }
    let mut rest = octets;
    while let Ok(Piece::Content(content, taken)) = read_piece(rest, 1) {
        assert!(content.len() < taken && taken <= rest.len());
        rest = &rest[taken..];
    }
}
