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
    /// Lines end in CR LF, and a CR or LF alone is an octet like others.
    exact: bool,
    /// A CR that may be half of a line end.
    cr: bool,
}

impl Quoted {
    /// For content whose lines end in CR LF, each octet of which counts.
    pub(super) fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }

    pub(super) fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for &octet in octets {
            let cr = core::mem::take(&mut self.cr);
            if octet == b'\n' && (cr || !self.exact) {
                self.end_line(out);
                continue;
            }
            if cr {
                self.text(b'\r', out);
            }
            match octet {
                b'\r' if self.exact => self.cr = true,
                octet => self.text(octet, out),
            }
        }
    }

    fn text(&mut self, octet: u8, out: &mut Vec<u8>) {
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

    /// The end of the content. A line without end is kept so by a soft break, which adds none when it is decoded.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if core::mem::take(&mut self.cr) {
            self.text(b'\r', out);
        }
        self.last_blank(out);
        if self.unended {
            out.extend_from_slice(b"=\n");
        }
        *self = Self { exact: self.exact, ..Self::default() };
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
