//! Header fields in the octets of a message (RFC 5322 §2.2), found without copying; lines may end in LF or CRLF.
//!
//! The header ends at the first empty line or at the end of the text. Nothing here fails: a line that is malformed is
//! simply no field and passed over. Address lists are in [`address_list`].

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Range;

pub mod address_list;

pub use address_list::{AddressItem, addresses};

/// One field, as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Where the field begins, counted from the start of the text given to [`fields`].
    pub offset: usize,
    /// All its octets, line ends included.
    pub raw: &'a [u8],
    /// Its name, without the colon or blanks before it.
    pub name: &'a [u8],
    /// What follows the colon, still folded, without the last line end.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Compares the name as fields are compared: without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, without blanks at its ends.
    #[must_use]
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }

    /// The octets the field takes in the text given to [`fields`].
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.raw.len()
    }
}

/// Goes over the fields of a message or header, from the top. A leading mbox `From ` line and lines that are no field
/// are passed over as long as the header has not ended.
#[must_use]
pub const fn fields(octets: &[u8]) -> Fields<'_> {
    Fields { octets, at: 0 }
}

/// The first field of that name.
#[must_use]
pub fn find<'a>(octets: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(octets).find(|field| field.is(name))
}

/// All fields of that name, from the top.
pub fn find_all<'a>(octets: &'a [u8], name: &str) -> impl Iterator<Item = Field<'a>> {
    fields(octets).filter(move |field| field.is(name))
}

/// The length of the header, the empty line that ends it included; all of it when there is none.
#[must_use]
pub fn length(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(line) = line_at(octets, at) {
        at = line.end;
        if octets[line.start..line.end].iter().all(|b| matches!(b, b'\r' | b'\n')) {
            break;
        }
    }
    at
}

/// Takes the line breaks of folding away, and blanks at both ends.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<u8>>())
}

/// Iterator of [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let first = line_at(self.octets, self.at)?;
            let start = first.start;
            let mut end = first.end;
            let line = &self.octets[first];
            if line.iter().all(|b| matches!(b, b'\r' | b'\n')) {
                self.at = self.octets.len();
                return None;
            }
            while let Some(next) = line_at(self.octets, end) {
                if !is_continuation(&self.octets[next.clone()]) {
                    break;
                }
                end = next.end;
            }
            self.at = end;
            let raw = &self.octets[start..end];
            if let Some((name, value)) = divide(raw) {
                return Some(Field { offset: start, raw, name, value });
            }
        }
    }
}

/// The line that begins at `at`, its end included.
fn line_at(octets: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = octets.get(at..).filter(|rest| !rest.is_empty())?;
    let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
    Some(at..at + length)
}

/// A line that begins with a blank continues the field, unless it is blank lines' end itself.
fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Name and value, where the name is one (RFC 5322 §2.2: printable, no colon; §4.5: blanks may follow it).
fn divide(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr2(b':', b'\n', raw).filter(|at| raw[*at] == b':')?;
    let name = raw[..colon].trim_ascii_end();
    if name.is_empty() || name.iter().any(|b| !(33..=126).contains(b)) {
        return None;
    }
    let value = &raw[colon + 1..];
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    Some((name, value.strip_suffix(b"\r").unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAIL: &[u8] = b"From kevin Fri Nov 20 2026\nSubject : a\r\n\tb\r\nTo:x\nnonsense\n\xff: y\nX:\n\nBody: no\n";

    #[test]
    fn fields_of_any_line_end() {
        let all: Vec<_> = fields(MAIL).map(|field| (field.name, field.unfolded().into_owned())).collect();
        assert_eq!(all, [(&b"Subject"[..], b"a\tb".to_vec()), (b"To", b"x".to_vec()), (b"X", Vec::new())],);
        assert_eq!(&MAIL[length(MAIL)..], b"Body: no\n");
        assert_eq!(find(MAIL, "subject").map(|field| &MAIL[field.range()]), Some(&b"Subject : a\r\n\tb\r\n"[..]));
        assert_eq!(find(MAIL, "body"), None);
        assert_eq!(length(b"\r\nbody"), 2);
        assert_eq!(length(b"A: b"), 4);
    }

    proptest! {
        #[test]
        fn never_panics_and_moves_forward(octets in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..300)) {
            let mut last = 0;
            for field in fields(&octets) {
                prop_assert!(field.offset >= last && !field.raw.is_empty());
                last = field.range().end;
            }
            prop_assert!(last <= length(&octets));
        }
    }
}
