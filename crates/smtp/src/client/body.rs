//! Content on its way out: line feeds become CR LF, dots at the start of lines are doubled (RFC 5321 §4.5.2), lines that are
//! too long are broken as Postfix does (`smtp_line_length_limit`).
//!
//! Promise: whatever the content holds, CR LF . CR LF does not come in it, nor a CR or LF that stands alone; so no two servers
//! can disagree about where the message ends. A CR before LF is dropped, any other becomes a blank.

use alloc::vec::Vec;

/// Keeps its place from one piece of content to the next.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Octets a line may have; 0: any number.
    limit: usize,
    /// Octets of the line so far, as sent, stuffing not counted.
    column: usize,
    /// The piece before ended in a CR.
    cr: bool,
}

impl Encoder {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, column: 0, cr: false }
    }

    /// Appends `octets` as they go over the wire.
    pub(super) fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        out.reserve(octets.len() + octets.len() / 32 + 2);
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            if core::mem::take(&mut self.cr) && first != b'\n' {
                self.text(b" ", out);
            }
            let plain = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (text, tail) = rest.split_at(plain);
            self.text(text, out);
            rest = match tail {
                [] => tail,
                [b'\n', tail @ ..] => {
                    self.end_line(out);
                    tail
                }
                [_, tail @ ..] => {
                    self.cr = true;
                    tail
                }
            };
        }
    }

    /// Ends the last line, if it has no end, and the message.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if core::mem::take(&mut self.cr) {
            self.text(b" ", out);
        }
        if self.column > 0 {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            if self.limit > 0 && self.column >= self.limit {
                out.extend_from_slice(b"\r\n ");
                self.column = 1;
            }
            let room = if self.limit > 0 { (self.limit - self.column).min(rest.len()) } else { rest.len() };
            let (now, later) = rest.split_at(room.max(1));
            if self.column == 0 && now.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(now);
            self.column += now.len();
            rest = later;
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::{Framing, LineEnd, Piece, Reader};

    fn encoded(pieces: &[&[u8]], limit: usize) -> Vec<u8> {
        let (mut encoder, mut out) = (Encoder::new(limit), Vec::new());
        for piece in pieces {
            encoder.encode(piece, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn examples() {
        for (content, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\nb\n", b"a\r\nb\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".\n..\n.a\n", b"..\r\n...\r\n..a\r\n.\r\n"),
            (b"\n.\n", b"\r\n..\r\n.\r\n"),
            (b"a\r\nb\rc\r", b"a\r\nb c \r\n.\r\n"),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
            (b"\r.\n", b" .\r\n.\r\n"),
        ] {
            assert_eq!(encoded(&[content], 998), wire, "{}", content.escape_ascii());
        }
    }

    #[test]
    fn long_lines_are_broken() {
        assert_eq!(encoded(&[b"abcdefghij\n"], 4), b"abcd\r\n efg\r\n hij\r\n.\r\n");
        assert_eq!(encoded(&[b"abcd\n"], 4), b"abcd\r\n.\r\n");
        assert_eq!(encoded(&[b"abcd.\n"], 4), b"abcd\r\n .\r\n.\r\n");
        assert_eq!(encoded(&[b"abcdefghij\n"], 0), b"abcdefghij\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(content in "[a.\r\n]{0,40}", cut in 0..40_usize, limit in 0..6_usize) {
            let cut = cut.min(content.len());
            let (a, b) = content.as_bytes().split_at(cut);
            prop_assert_eq!(encoded(&[a, b], limit * 2), encoded(&[content.as_bytes()], limit * 2));
        }

        #[test]
        fn a_server_reads_what_was_written(content in "[a.\n]{0,40}") {
            let mut reader = Reader::default();
            reader.feed(&encoded(&[content.as_bytes()], 998));
            reader.set_framing(Framing::Dot(LineEnd::CrLf));
            let mut read = Vec::new();
            while let Some(Piece::Chunk(octets)) = reader.next() {
                read.extend_from_slice(octets);
            }
            prop_assert!(reader.buffered().is_empty());
            let mut expected = content.into_bytes();
            if expected.last().is_some_and(|last| *last != b'\n') {
                expected.push(b'\n');
            }
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn nothing_else_can_end_it(content in "[a.\r\n]{0,40}", limit in 0..6_usize) {
            let wire = encoded(&[content.as_bytes()], limit * 2);
            let body = &wire[..wire.len() - 3];
            prop_assert!(body.is_empty() || body.ends_with(b"\r\n"));
            for line in body.split_inclusive(|octet| *octet == b'\n') {
                let line = line.strip_suffix(b"\r\n").expect("CR LF ends lines");
                prop_assert!(line != b"." && !line.contains(&b'\r'));
                prop_assert!(limit == 0 || line.len() <= limit * 2 + 1);
            }
        }
    }
}
