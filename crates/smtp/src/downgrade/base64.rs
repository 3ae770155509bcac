//! Base64 for bodies (RFC 2045 §6.8), as octets stream by.

use alloc::vec::Vec;

/// Octets of an encoded line: 76 letters.
const WIDTH: usize = 57;

/// Keeps the line that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    line: Vec<u8>,
    /// A line end that is the last so far: it may belong to the boundary that follows.
    end: &'static [u8],
}

/// What comes after a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// A boundary, to which the line end before it belongs (RFC 2046 §5.1.1).
    Boundary,
    /// Nothing.
    End,
}

impl Base64 {
    pub(super) fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            self.end = match (self.end, octet) {
                (b"\r", b'\n') => b"\r\n",
                (end, octet) => {
                    self.put(end, out);
                    match octet {
                        b'\r' => b"\r",
                        b'\n' => b"\n",
                        octet => {
                            self.put(&[octet], out);
                            b""
                        }
                    }
                }
            };
        }
    }

    pub(super) fn finish(&mut self, behind: Behind, out: &mut Vec<u8>) {
        let end = core::mem::take(&mut self.end);
        if behind == Behind::End {
            self.put(end, out);
        }
        self.end_line(out);
    }

    fn put(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            self.line.push(octet);
            if self.line.len() == WIDTH {
                self.end_line(out);
            }
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            out.extend_from_slice(sasl::base64::encode(&self.line).as_bytes());
            out.push(b'\n');
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_end_is_the_boundary_s() {
        let encoded = |text: &[u8], behind| {
            let (mut base64, mut out) = (Base64::default(), Vec::new());
            base64.encode(text, &mut out);
            base64.finish(behind, &mut out);
            out
        };
        for (text, behind, wire) in [
            (&b"abc\r\n"[..], Behind::Boundary, &b"YWJj\n"[..]),
            (b"abc\r\n", Behind::End, b"YWJjDQo=\n"),
            (b"abc\n\n", Behind::Boundary, b"YWJjCg==\n"),
            (b"a\r\r\n", Behind::Boundary, b"YQ0=\n"),
            (b"\r\n", Behind::Boundary, b""),
            (b"", Behind::End, b""),
        ] {
            assert_eq!(encoded(text, behind), wire, "{}", text.escape_ascii());
        }
        assert_eq!(encoded(&[0; 58], Behind::End), [&[b'A'; 76][..], b"\nAA==\n"].concat());
    }
}
