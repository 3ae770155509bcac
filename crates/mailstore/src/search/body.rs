//! The bodies of messages: their text parts, and the headers of messages inside.

use std::ops::Range;

use mail::Uid;
use mail::mime::{Kind, Part, Scanned, Scanner};

use super::{any_field_contains, fold};
use crate::decode::Decoder;
use crate::{Error, Mailbox, Reading};

/// Messages up to this size are held in memory while they are looked through.
const AT_ONCE: u64 = 256 * 1024;
const PIECE: usize = 64 * 1024;
const MOST_OF_A_HEADER: usize = 1024 * 1024;

/// A message whose parts are known.
pub struct Body {
    octets: Octets,
    scanned: Scanned,
}

enum Octets {
    Whole(Vec<u8>),
    Pieces(Pieces),
}

/// A message of which the piece read last is kept: small parts stand in it by the thousand.
struct Pieces {
    reading: Reading,
    at: u64,
    piece: Vec<u8>,
}

impl Body {
    /// Reads a message once to find its parts.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn open(mailbox: &mut Mailbox, uid: Uid) -> Result<Self, Error> {
        let mut octets = match mailbox.size(uid)? {
            0..=AT_ONCE => Octets::Whole(mailbox.read(uid)?),
            _ => Octets::Pieces(Pieces { reading: mailbox.begin(uid)?, at: 0, piece: Vec::new() }),
        };
        let scanned = octets.scan(mailbox)?;
        Ok(Self { octets, scanned })
    }

    /// Whether any text part, or the header of a message inside, contains the text. It is the same mailbox.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn contains(&mut self, mailbox: &mut Mailbox, text: &str) -> Result<bool, Error> {
        let Self { octets, scanned } = self;
        body_contains(scanned, text, |at, limit| octets.read(mailbox, at, limit))
    }
}

impl Octets {
    fn scan(&mut self, mailbox: &mut Mailbox) -> Result<Scanned, Error> {
        let (mut scanner, mut at) = (Scanner::default(), 0);
        loop {
            let piece = self.read(mailbox, at, PIECE)?;
            if piece.is_empty() {
                return Ok(scanner.finish());
            }
            scanner.feed(&piece);
            at += piece.len() as u64;
        }
    }

    fn read(&mut self, mailbox: &mut Mailbox, at: u64, limit: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::Whole(octets) => {
                let rest = usize::try_from(at).ok().and_then(|at| octets.get(at..)).unwrap_or_default();
                Ok(rest[..rest.len().min(limit)].to_vec())
            }
            Self::Pieces(pieces) => pieces.read(mailbox, at, limit),
        }
    }
}

impl Pieces {
    fn read(&mut self, mailbox: &mut Mailbox, at: u64, limit: usize) -> Result<Vec<u8>, Error> {
        if !(self.at..self.at + self.piece.len() as u64).contains(&at) {
            self.piece = mailbox.read_from(&mut self.reading, at, PIECE)?;
            self.at = at;
        }
        let rest = usize::try_from(at - self.at).ok().and_then(|from| self.piece.get(from..)).unwrap_or_default();
        Ok(rest[..rest.len().min(limit)].to_vec())
    }
}

/// Whether any text part of a message, or the header of a message inside, contains the text. `read` gives octets of it from
/// an offset on, at most so many, none at the end.
fn body_contains(
    scanned: &Scanned,
    text: &str,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, Error>,
) -> Result<bool, Error> {
    let text = fold(text);
    if text.is_empty() {
        return Ok(true);
    }
    for part in scanned.structure.parts() {
        let found = match part.kind {
            Kind::Leaf if part.content.is("text", "*") => part_contains(part, &text, &mut read)?,
            Kind::Message => match scanned.structure.inner(part) {
                Some(inner) => inner_header_contains(inner, &text, &mut read)?,
                None => false,
            },
            Kind::Leaf | Kind::Multipart => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn part_contains(
    part: &Part,
    text: &str,
    read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, Error>,
) -> Result<bool, Error> {
    let (mut decoder, mut seen, mut found) = (Decoder::of(&part.content), Seen::default(), false);
    each_piece(part.body.clone(), read, |piece| {
        let mut decoded = String::new();
        decoder.feed(piece, &mut decoded);
        found = seen.contains(&decoded, text);
        if found { Go::Enough } else { Go::On }
    })?;
    let mut end = String::new();
    decoder.finish(&mut end);
    Ok(found || seen.contains(&end, text))
}

fn inner_header_contains(
    inner: &Part,
    text: &str,
    read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, Error>,
) -> Result<bool, Error> {
    let (mut header, mut range) = (Vec::new(), inner.header.clone());
    range.end = range.end.min(range.start.saturating_add(MOST_OF_A_HEADER));
    each_piece(range, read, |piece| {
        header.extend_from_slice(piece);
        Go::On
    })?;
    Ok(any_field_contains(&header, text))
}

enum Go {
    On,
    Enough,
}

fn each_piece(
    range: Range<usize>,
    read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, Error>,
    mut take: impl FnMut(&[u8]) -> Go,
) -> Result<(), Error> {
    let mut at = range.start;
    while at < range.end {
        let piece = read(at as u64, (range.end - at).min(PIECE))?;
        if piece.is_empty() {
            return Ok(());
        }
        at += piece.len();
        if let Go::Enough = take(&piece) {
            return Ok(());
        }
    }
    Ok(())
}

/// The end of what was looked at, in case what is looked for begins there.
#[derive(Default)]
struct Seen(String);

impl Seen {
    fn contains(&mut self, more: &str, text: &str) -> bool {
        self.0.push_str(&fold(more));
        let found = self.0.contains(text);
        let from = self.0.floor_char_boundary(self.0.len().saturating_sub(text.len()));
        self.0.drain(..from);
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::MAIL;
    use super::*;

    fn body(message: &[u8], text: &str, limit: usize) -> bool {
        let mut scanner = Scanner::default();
        scanner.feed(message);
        let read = |at: u64, most: usize| {
            let rest = message.get(usize::try_from(at).expect("small")..).unwrap_or_default();
            Ok(rest[..rest.len().min(most).min(limit)].to_vec())
        };
        body_contains(&scanner.finish(), text, read).expect("read")
    }

    #[test]
    fn what_is_found_in_a_body_however_it_is_cut() {
        for (text, want) in [
            ("à BIENTÔT", true),
            ("splitword", true),
            ("secret message", true),
            ("inner", true),
            ("hidden", false),
            ("résumé", false),
            ("word\u{301}", false),
            ("", true),
        ] {
            for limit in 1..20 {
                assert_eq!(body(MAIL, text, limit), want, "{text} in pieces of {limit}");
            }
        }
        assert!(body("\r\nΟΔΟΣ".as_bytes(), "οδος", 3));
    }

    proptest! {
        #[test]
        fn never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300), limit in 1_usize..50) {
            let _ = body(&octets, "é", limit);
        }
    }
}
