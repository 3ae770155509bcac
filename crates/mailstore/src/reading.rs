//! A message read piece by piece with CRLF line ends, so that however large it is, no more than a piece is in memory.
//!
//! [`crate::Mailbox::begin`] makes a [`Reading`], [`crate::Mailbox::read_from`] gives octets from any offset on; going on
//! where the last piece ended costs nothing, going back begins anew. A Maildir message can be read to its end after others
//! have removed it; of an mbox the file is locked only while a piece is read, and a message that is gone is
//! [`Error::NoMessage`].

use std::io;
use std::ops::Range;

use durable::File;
use mail::Uid;

use crate::Error;
use crate::line_ends::{Bare, widen};

/// Octets that are looked at together.
pub(crate) const PIECE: usize = 64 * 1024;

/// A message under way.
pub struct Reading {
    pub(crate) uid: Uid,
    pub(crate) source: Source,
    at: Cursor,
}

pub(crate) enum Source {
    /// A file that is the message.
    File(File),
    /// The header as it is shown; the body is in the mbox.
    Header(Vec<u8>),
}

/// Where the piece read last begins: octets on disk, octets with CRLF line ends, and the octet before it.
#[derive(Clone, Copy, Default)]
struct Cursor {
    raw: u64,
    wide: u64,
    last: u8,
}

/// The octets of a message as they are kept: a header in memory, then a range of a file, then what the file lacks.
pub(crate) struct Raw<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) file: &'a File,
    pub(crate) range: Range<u64>,
    pub(crate) end: &'a [u8],
}

impl Reading {
    pub(crate) fn new(uid: Uid, source: Source) -> Self {
        Self { uid, source, at: Cursor::default() }
    }

    /// Octets from `offset` on, at most `limit` and not always so many; none at the end.
    pub(crate) fn read(&mut self, offset: u64, limit: usize) -> Result<Vec<u8>, Error> {
        let Self { source: Source::File(file), at, .. } = self else { return Err(Error::NoMessage) };
        read(&Raw { header: &[], file, range: 0..u64::MAX, end: &[] }, at, (offset, limit))
    }

    /// The same of an mbox, whose body is there now.
    pub(crate) fn read_in(
        &mut self,
        (file, range, end): (&File, Range<u64>, &[u8]),
        (offset, limit): (u64, usize),
    ) -> Result<Vec<u8>, Error> {
        let Self { source: Source::Header(header), at, .. } = self else { return Err(Error::NoMessage) };
        read(&Raw { header, file, range, end }, at, (offset, limit))
    }
}

fn read(raw: &Raw<'_>, at: &mut Cursor, (offset, limit): (u64, usize)) -> Result<Vec<u8>, Error> {
    if offset < at.wide {
        *at = Cursor::default();
    }
    loop {
        let piece = raw.piece(at.raw)?;
        let mut bare = Bare::after(at.last);
        let wide = piece.len() as u64 + bare.count(&piece);
        let next = Cursor { raw: at.raw + piece.len() as u64, wide: at.wide + wide, last: bare.last() };
        if piece.is_empty() {
            return Ok(piece);
        }
        if offset < next.wide {
            let from = usize::try_from(offset - at.wide).unwrap_or(usize::MAX);
            let mut octets = widen(piece, at.last);
            octets.truncate(from.saturating_add(limit));
            octets.drain(..from);
            if offset + octets.len() as u64 == next.wide {
                *at = next;
            }
            return Ok(octets);
        }
        *at = next;
    }
}

impl Raw<'_> {
    fn piece(&self, at: u64) -> io::Result<Vec<u8>> {
        let header = self.header.len() as u64;
        if let Some(rest) =
            usize::try_from(at).ok().and_then(|at| self.header.get(at..)).filter(|rest| !rest.is_empty())
        {
            return Ok(rest[..rest.len().min(PIECE)].to_vec());
        }
        let from = self.range.start.saturating_add(at - header);
        if from >= self.range.end {
            let past = usize::try_from(from - self.range.end).unwrap_or(usize::MAX);
            return Ok(self.end.get(past..).unwrap_or_default().to_vec());
        }
        let left = usize::try_from(self.range.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut piece = vec![0; PIECE.min(left)];
        let mut filled = 0;
        while filled < piece.len() {
            match self.file.read_at(&mut piece[filled..], from + filled as u64)? {
                0 => break,
                got => filled += got,
            }
        }
        piece.truncate(filled);
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use durable::Dir;
    use proptest::prelude::*;

    use super::*;
    use crate::line_ends::to_crlf;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_make_the_whole(
            lines in prop::collection::vec(("[a-z]{0,9}", 0_usize..40_000, "(\n|\r\n|\r)"), 0..12),
            starts in prop::collection::vec((any::<u32>(), 1_usize..200_000), 1..8),
        ) {
            let text: Vec<u8> = lines.iter().flat_map(|(word, times, end)| [word.repeat(times / 9), end.clone()].concat().into_bytes()).collect();
            let place = tempfile::tempdir().expect("tempdir");
            let dir = Dir::open(place.path()).expect("open");
            let file = dir.create("x", 0o600).expect("create");
            file.append(&text).expect("append");
            let whole = to_crlf(text);
            let mut reading = Reading::new(Uid::new(1).expect("uid"), Source::File(file));
            for (start, limit) in starts {
                let start = start as usize % (whole.len() + 1);
                let got = reading.read(start as u64, limit).expect("read");
                prop_assert!(got.len() <= limit && whole[start..].starts_with(&got) && got.is_empty() == (start == whole.len()));
            }
            let mut all = Vec::new();
            loop {
                let got = reading.read(all.len() as u64, 100_000).expect("read");
                if got.is_empty() { break }
                all.extend(got);
            }
            prop_assert!(all == whole);
        }
    }
}
