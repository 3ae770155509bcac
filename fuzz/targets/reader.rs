//! The line reader: splitting changes nothing.
#![no_main]

use fuzz::Chance;
use libfuzzer_sys::fuzz_target;
use wire::{Framing, LineEnd, Piece, Reader};

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let framing = match chance.below(4) {
        0 => Framing::Dot(LineEnd::CrLf),
        1 => Framing::Dot(LineEnd::Lf),
        2 => Framing::Octets(u64::from(chance.below(64))),
        _ => Framing::Line { limit: chance.below(64) as usize },
    };
    let whole = read(framing, octets, |_| octets.len().max(1));
    let split = read(framing, octets, |_| 1 + chance.below(9) as usize);
    assert_eq!(whole, split);
});

/// Every piece in order, chunks joined.
fn read(framing: Framing, octets: &[u8], mut size: impl FnMut(usize) -> usize) -> Vec<(u8, Vec<u8>)> {
    let mut reader = Reader::new(16);
    reader.set_framing(framing);
    let mut pieces: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let (part, tail) = rest.split_at(size(rest.len()).min(rest.len()));
        rest = tail;
        reader.feed(part);
        while let Some(piece) = reader.next() {
            match piece {
                Piece::Line(line, LineEnd::CrLf) => pieces.push((0, line.to_vec())),
                Piece::Line(line, LineEnd::Lf) => pieces.push((1, line.to_vec())),
                Piece::LineTooLong => pieces.push((2, Vec::new())),
                Piece::ChunkEnd(odd) => pieces.push((3, format!("{odd:?}").into_bytes())),
                Piece::Chunk(chunk) => match pieces.last_mut() {
                    Some((4, before)) => before.extend_from_slice(chunk),
                    _ => pieces.push((4, chunk.to_vec())),
                },
            }
        }
    }
    pieces
}
