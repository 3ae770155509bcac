//! 8-bit content made 7-bit for a server without 8BITMIME (RFC 6152 §3), binary content made lines for one without BINARYMIME
//! (RFC 3030 §3), part by part, as it streams by.
//!
//! A part that says `Content-Transfer-Encoding: 8bit` or `binary` becomes `quoted-printable` (RFC 2045 §6.7); a multipart or a
//! message says `7bit` from then on, since what is inside is converted too. Nothing else is touched: not parts with another
//! encoding or none, whatever octets they hold, nor header fields with octets beyond ASCII, which have no 7-bit form here.
//! Content has LF line ends, before and after. In binary content lines end in CR LF, and a part that says `binary` becomes
//! `base64`, or `quoted-printable` if it is text: each octet of it is there again when it is decoded.
//!
//! A signature (RFC 1847) covers the encoding of what is signed: [`Downgrade::sealed`] says whether one was broken.
//!
//! Promise: any split of the input gives the same output; what the parts mean is the same after as before; memory is one
//! header block or one line, each within a limit. Beyond a limit content passes as it is.

mod base64;
mod quoted;

use alloc::vec::Vec;

use mail::header;
use mail::mime::content::DefaultType;
use mail::mime::{ContentFields, MAX_DEPTH};

use base64::{Base64, Behind};
use quoted::Quoted;

/// The longest header block looked into.
const MAX_HEADER: usize = 256 * 1024;
/// The longest line that can be a boundary; longer ones are passed on in pieces.
const MAX_LINE: usize = 1024;

/// What a signature covers that must be converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sealed {
    /// Nothing.
    #[default]
    Nothing,
    /// Parts that a server without 8BITMIME cannot have.
    EightBit,
    /// Parts that a server without BINARYMIME cannot have.
    Binary,
}

/// What the peer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Lines of 7-bit octets.
    SevenBit,
    /// Lines of 8-bit octets.
    EightBit,
}

/// The conversion under way.
#[derive(Debug)]
pub struct Downgrade {
    /// The content is of BODY=BINARYMIME.
    binary: bool,
    takes: Takes,
    sealed: Sealed,
    /// The boundaries of the multiparts that are open, the outermost first.
    boundaries: Vec<Boundary>,
    place: Place,
    /// The line that is not whole yet, or the header block.
    held: Vec<u8>,
    /// Where in `held` its last line begins.
    line: usize,
    /// The beginning of the line has been passed on.
    midline: bool,
}

#[derive(Debug)]
struct Boundary {
    text: Vec<u8>,
    inside: DefaultType,
    /// What is inside is signed.
    signed: bool,
}

#[derive(Debug)]
enum Place {
    Header(DefaultType),
    /// A body that passes as it is.
    Plain,
    /// A body that is encoded.
    Eight(Quoted),
    /// A body of any octets.
    Any(Base64),
}

/// What a part says of its encoding, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    EightBit,
    Binary,
    Other,
}

impl Default for Downgrade {
    fn default() -> Self {
        Self {
            binary: false,
            takes: Takes::SevenBit,
            sealed: Sealed::Nothing,
            boundaries: Vec::new(),
            place: Place::Header(DefaultType::Text),
            held: Vec::new(),
            line: 0,
            midline: false,
        }
    }
}

impl Downgrade {
    /// For content of BODY=BINARYMIME, whose lines end in CR LF.
    #[must_use]
    pub fn of_binary(takes: Takes) -> Self {
        Self { binary: true, takes, ..Self::default() }
    }

    /// What was converted although a signature covers it: the signature is worth nothing any more.
    #[must_use]
    pub const fn sealed(&self) -> Sealed {
        self.sealed
    }

    /// Takes some of the content and appends what is certain of the result.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while !rest.is_empty() {
            let (piece, whole) = match memchr::memchr(b'\n', rest) {
                Some(at) => (at + 1, true),
                None => (rest.len(), false),
            };
            let (now, later) = rest.split_at(piece);
            rest = later;
            self.held.extend_from_slice(now);
            if whole {
                self.whole_line(out);
            } else {
                self.part_of_line(out);
            }
        }
    }

    /// Takes the end of the content.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.place {
            Place::Header(_) => out.append(&mut self.held),
            Place::Plain | Place::Eight(_) | Place::Any(_) => self.pass(out),
        }
        self.end_body(Behind::End, out);
        self.line = 0;
    }

    fn end_body(&mut self, behind: Behind, out: &mut Vec<u8>) {
        match &mut self.place {
            Place::Header(_) | Place::Plain => {}
            Place::Eight(quoted) => quoted.finish(out),
            Place::Any(base64) => base64.finish(behind, out),
        }
    }

    fn whole_line(&mut self, out: &mut Vec<u8>) {
        let begun = core::mem::take(&mut self.midline);
        let line = &self.held[self.line..];
        if !begun && let Some((which, closing)) = self.boundary(line) {
            return self.boundary_line(which, closing, out);
        }
        match self.place {
            Place::Header(inside) if line == b"\n" || line == b"\r\n" => self.end_header(inside, out),
            Place::Header(_) => {
                self.line = self.held.len();
                self.limit_header(out);
            }
            Place::Plain | Place::Eight(_) | Place::Any(_) => self.pass(out),
        }
    }

    /// A line that is longer than any boundary need not be whole to be passed on.
    fn part_of_line(&mut self, out: &mut Vec<u8>) {
        if self.limit_header(out) {
            return;
        }
        let long = self.midline || self.held.len() > MAX_LINE;
        if long && !matches!(self.place, Place::Header(_)) {
            self.midline = true;
            self.pass(out);
        }
    }

    /// Gives up on a header block that is too long. Says whether it did.
    fn limit_header(&mut self, out: &mut Vec<u8>) -> bool {
        if !matches!(self.place, Place::Header(_)) || self.held.len() <= MAX_HEADER {
            return false;
        }
        self.midline = self.line < self.held.len();
        self.place = Place::Plain;
        self.pass(out);
        true
    }

    fn pass(&mut self, out: &mut Vec<u8>) {
        match &mut self.place {
            Place::Eight(quoted) => quoted.encode(&self.held, out),
            Place::Any(base64) => base64.encode(&self.held, out),
            Place::Header(_) | Place::Plain => out.extend_from_slice(&self.held),
        }
        self.held.clear();
        self.line = 0;
    }

    /// The longest open boundary this line begins with (the innermost of equals), and whether it closes.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.strip_prefix(b"--")?;
        let open = self.boundaries.iter().enumerate().filter(|(_, boundary)| text.starts_with(&boundary.text));
        let (which, boundary) = open.max_by_key(|(_, boundary)| boundary.text.len())?;
        Some((which, text[boundary.text.len()..].starts_with(b"--")))
    }

    fn boundary_line(&mut self, which: usize, closing: bool, out: &mut Vec<u8>) {
        self.end_body(Behind::Boundary, out);
        // A header that the boundary cuts short goes as it is.
        out.append(&mut self.held);
        self.line = 0;
        self.place = if closing {
            self.boundaries.truncate(which);
            Place::Plain
        } else {
            self.boundaries.truncate(which + 1);
            Place::Header(self.boundaries[which].inside)
        };
    }

    /// The encoding that a part gets instead of its own, and how its body goes.
    fn conversion(&self, says: Says, holds_parts: bool, text: bool) -> (Option<&'static [u8]>, Place) {
        let exact = || Place::Eight(if self.binary { Quoted::exact() } else { Quoted::default() });
        match (says, self.takes) {
            (Says::Other, _) | (Says::EightBit, Takes::EightBit) => (None, Place::Plain),
            (Says::Binary, Takes::EightBit) if holds_parts => (Some(b"8bit"), Place::Plain),
            _ if holds_parts => (Some(b"7bit"), Place::Plain),
            (Says::Binary, _) if self.binary && !text => (Some(b"base64"), Place::Any(Base64::default())),
            (Says::EightBit | Says::Binary, _) => (Some(b"quoted-printable"), exact()),
        }
    }

    fn note_seal(&mut self, says: Says) {
        let seal = match says {
            Says::Binary => Sealed::Binary,
            Says::EightBit => Sealed::EightBit,
            Says::Other => return,
        };
        if self.boundaries.last().is_some_and(|boundary| boundary.signed) {
            self.sealed = self.sealed.max(seal);
        }
    }

    fn end_header(&mut self, inside: DefaultType, out: &mut Vec<u8>) {
        let content = ContentFields::of(&self.held, inside);
        let says = says(&content);
        let (multipart, message) = (content.is("multipart", "*"), content.is("message", "*"));
        let (encoding, place) = self.conversion(says, multipart || message, content.is("text", "*"));
        match encoding {
            None => out.extend_from_slice(&self.held),
            Some(encoding) => {
                self.note_seal(says);
                with_encoding(&self.held, encoding, out);
            }
        }
        self.held.clear();
        self.line = 0;
        self.place = place;
        if multipart && self.boundaries.len() < MAX_DEPTH {
            let boundary = content.parameter("boundary").map(<[u8]>::trim_ascii_end).unwrap_or_default();
            if !boundary.is_empty() && boundary.len() + 4 < MAX_LINE {
                let inside = if content.is("multipart", "digest") { DefaultType::Message } else { DefaultType::Text };
                let signed =
                    content.is("multipart", "signed") || self.boundaries.last().is_some_and(|outer| outer.signed);
                self.boundaries.push(Boundary { text: boundary.to_vec(), inside, signed });
            }
        } else if (content.is("message", "rfc822") || content.is("message", "global")) && content.is_plain() {
            self.place = Place::Header(DefaultType::Text);
        }
    }
}

/// What the header says. Content that is not of BODY=BINARYMIME has lines, whatever it says.
fn says(content: &ContentFields) -> Says {
    let is = |name: &[u8]| content.encoding.as_deref().is_some_and(|encoding| encoding.eq_ignore_ascii_case(name));
    match () {
        () if is(b"8bit") => Says::EightBit,
        () if is(b"binary") => Says::Binary,
        () => Says::Other,
    }
}

/// The header with this encoding in place of what it says.
fn with_encoding(header: &[u8], encoding: &[u8], out: &mut Vec<u8>) {
    const NAME: &str = "Content-Transfer-Encoding";
    let mut at = 0;
    for field in header::find_all(header, NAME) {
        let range = field.range();
        out.extend_from_slice(&header[at..range.start]);
        out.extend_from_slice(NAME.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(encoding);
        out.push(b'\n');
        at = range.end;
    }
    out.extend_from_slice(&header[at..]);
}

#[cfg(test)]
mod tests;
