//! What must hold for every input of the reader: splitting changes nothing, and in a CRLF session exactly one
//! sequence of octets ends a message.

use proptest::prelude::*;
use wire::{Framing, LineEnd, Oddities, Piece, Reader};

/// Pieces with neighbouring chunks joined.
#[derive(Debug, PartialEq, Eq, Default)]
struct Seen {
    lines: Vec<Option<(Vec<u8>, LineEnd)>>,
    body: Vec<u8>,
    end: Option<Oddities>,
}

fn read(framing: Framing, parts: &[&[u8]]) -> Seen {
    let mut reader = Reader::new(6);
    reader.set_framing(framing);
    let mut seen = Seen::default();
    for part in parts {
        reader.feed(part);
        while let Some(piece) = reader.next() {
            match piece {
                Piece::Line(line, end) => seen.lines.push(Some((line.to_vec(), end))),
                Piece::LineTooLong => seen.lines.push(None),
                Piece::Chunk(chunk) => seen.body.extend_from_slice(chunk),
                Piece::ChunkEnd(odd) => seen.end = Some(odd),
            }
        }
    }
    seen
}

fn framings() -> impl Strategy<Value = Framing> {
    prop_oneof![
        Just(Framing::Line { limit: 6 }),
        (0..20u64).prop_map(Framing::Octets),
        Just(Framing::Dot(LineEnd::CrLf)),
        Just(Framing::Dot(LineEnd::Lf)),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        framing in framings(),
        octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), Just(b'x')], 0..40),
        cuts in proptest::collection::vec(0..40usize, 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(octets.len())).collect();
        cuts.extend([0, octets.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &octets[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(framing, &[&octets]), read(framing, &parts));
    }

    #[test]
    fn stuffed_then_read_is_the_same(lines in proptest::collection::vec("[.a ]{0,4}", 0..8)) {
        let sent: String = lines.iter().map(|line| format!("{}{line}\r\n", if line.starts_with('.') { "." } else { "" })).collect();
        let seen = read(Framing::Dot(LineEnd::CrLf), &[sent.as_bytes(), b".\r\n"]);
        let stored: String = lines.iter().map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(seen.body, stored.into_bytes());
        prop_assert_eq!(seen.end, Some(Oddities::default()));
    }
}

/// Every string of up to seven octets over CR, LF, dot, NUL and a letter, put after a line of text.
#[test]
fn only_crlf_dot_crlf_ends_a_message() {
    const OCTETS: [u8; 5] = [b'\r', b'\n', b'.', 0, b'x'];
    let mut tried = 0_u32;
    for length in 0..=7_u32 {
        for mut number in 0..OCTETS.len().pow(length) {
            let mut text = b"a".to_vec();
            for _ in 0..length {
                text.push(OCTETS[number % OCTETS.len()]);
                number /= OCTETS.len();
            }
            let ends = text.windows(5).any(|window| window == b"\r\n.\r\n");
            let seen = read(Framing::Dot(LineEnd::CrLf), &[&text]);
            assert_eq!(seen.end.is_some(), ends, "{}", text.escape_ascii());
            tried += 1;
        }
    }
    assert_eq!(tried, 97_656);
}
