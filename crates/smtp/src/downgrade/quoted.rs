//! Quoted-printable (RFC 2045 §6.7), as octets stream by.

use alloc::vec::Vec;

/// Octets of an encoded line, its end not counted.
const WIDTH: usize = 76;

/// Keeps its place in the line.
#[derive(Debug, Default)]
pub(super) struct Quoted {
    /// Octets of the encoded line so far.
    column: usize,
    /// A blank that may be the line's last, and then must be encoded.
    blank: Option<u8>,
    /// The content so far ends within a line.
    unended: bool,
}

impl Quoted {
    pub(super) fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            if octet == b'\n' {
                self.end_line(out);
                continue;
            }
            self.unended = true;
            if let Some(blank) = self.blank.take() {
                self.put(&[blank], out);
            }
            match octet {
                b' ' | b'\t' => self.blank = Some(octet),
                b'!'..=b'<' | b'>'..=b'~' => self.put(&[octet], out),
                _ => self.put(&hex(octet), out),
            }
        }
    }

    /// The end of the content. A line without end is kept so by a soft break, which adds none when it is decoded.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.last_blank(out);
        if self.unended {
            out.extend_from_slice(b"=\n");
        }
        *self = Self::default();
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        self.last_blank(out);
        out.push(b'\n');
        self.column = 0;
        self.unended = false;
    }

    fn last_blank(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.put(&hex(blank), out);
        }
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        // One place is kept for the `=` of a soft break.
        if self.column + text.len() > WIDTH - 1 {
            out.extend_from_slice(b"=\n");
            self.column = 0;
        }
        out.extend_from_slice(text);
        self.column += text.len();
    }
}

fn hex(octet: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [b'=', DIGITS[usize::from(octet >> 4)], DIGITS[usize::from(octet & 15)]]
}
