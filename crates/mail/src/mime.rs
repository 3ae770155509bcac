//! The MIME structure of a message (RFC 2045, RFC 2046): its parts, each with the octet ranges of header and body.
//!
//! One pass over the lines, no recursion; lines may end in LF or CRLF, and sizes are also told as if all were CRLF.
//! Nothing here fails: what is malformed or beyond a budget is an opaque leaf. Doubling a message at most doubles the time.
//! A boundary line belongs to the longest open boundary that it begins with (RFC 2046 §5.1.1 taken literally would end an
//! inner `BB2` at the outer `BB`).

use alloc::vec::Vec;
use core::ops::Range;

pub mod content;
mod scan;

pub use content::{ContentFields, Disposition, Parameter};
pub use scan::Scanner;

/// Deepest nesting that is looked into; what lies deeper is one opaque leaf.
pub const MAX_DEPTH: usize = 100;
/// Most parts; what comes after them belongs to the last.
pub const MAX_PARTS: usize = 10_000;
/// Most parameters of one field.
pub const MAX_PARAMETERS: usize = 200;

/// All parts of a message, the message itself first, each before the parts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    parts: Vec<Part>,
}

/// What a [`Scanner`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The parts.
    pub structure: Structure,
    /// The headers of the message and of those inside it, by where they begin; few of very many or very large ones are
    /// left out or cut.
    pub headers: Vec<(usize, Vec<u8>)>,
}

/// What a part has inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing we look into.
    Leaf,
    /// Parts between boundaries; none when no boundary line ever came.
    Multipart,
    /// One message: its only child.
    Message,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its header, with the empty line that ends it.
    pub header: Range<usize>,
    /// Its body, without the line break before a boundary.
    pub body: Range<usize>,
    /// What is inside.
    pub kind: Kind,
    /// Its `Content-…` fields; defaults filled in.
    pub content: ContentFields,
    /// Line breaks in the body.
    pub lines: usize,
    /// Places of the parts directly inside, for [`Structure::part`].
    pub children: Vec<usize>,
    header_bare: usize,
    body_bare: usize,
}

impl Part {
    /// Octets of the header when all lines end in CRLF.
    #[must_use]
    pub fn header_size(&self) -> usize {
        self.header.len() + self.header_bare
    }

    /// Octets of the body when all lines end in CRLF.
    #[must_use]
    pub fn body_size(&self) -> usize {
        self.body.len() + self.body_bare
    }
}

impl Structure {
    /// Scans a whole message.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        let mut scanner = Scanner::default();
        scanner.feed(message);
        scanner.finish().structure
    }

    /// The message itself.
    #[must_use]
    pub fn root(&self) -> &Part {
        &self.parts[0]
    }

    /// The part at a place from [`Part::children`].
    #[must_use]
    pub fn part(&self, place: usize) -> Option<&Part> {
        self.parts.get(place)
    }

    /// All parts, each before those inside it.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The parts directly inside.
    pub fn children<'a>(&'a self, part: &'a Part) -> impl ExactSizeIterator<Item = &'a Part> {
        part.children.iter().map(|place| &self.parts[*place])
    }

    /// The message inside a [`Kind::Message`] part.
    #[must_use]
    pub fn inner(&self, part: &Part) -> Option<&Part> {
        if part.kind == Kind::Message { part.children.first().map(|place| &self.parts[*place]) } else { None }
    }

    /// The part with an IMAP part number (RFC 9051 §6.4.5.1): `[1, 2]` is `1.2`. An empty path is the message. The `1` of
    /// a message that is no multipart is that message.
    #[must_use]
    pub fn find(&self, path: &[u32]) -> Option<&Part> {
        let mut at = self.root();
        for (level, number) in path.iter().enumerate() {
            let container = match at.kind {
                _ if level == 0 => at,
                Kind::Leaf => return None,
                Kind::Multipart => at,
                Kind::Message => self.inner(at)?,
            };
            at = match container.kind {
                Kind::Multipart => {
                    let index = usize::try_from(number.checked_sub(1)?).ok()?;
                    &self.parts[*container.children.get(index)?]
                }
                Kind::Leaf | Kind::Message if *number == 1 => container,
                Kind::Leaf | Kind::Message => return None,
            };
            // A message found as its own part 1 is a leaf to the numbers that follow, unless it holds a message.
            if core::ptr::eq(at, container) && at.kind == Kind::Leaf && level + 1 < path.len() {
                return None;
            }
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests;
