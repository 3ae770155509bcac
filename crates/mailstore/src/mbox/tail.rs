//! The end of an mbox while a message is written to it, and what becomes of it when the writer is killed or the power fails.
//!
//! Before each piece is written it is noted in the dotlock, which is there anyway and gone a moment later: where the
//! message began, where the piece begins, and the piece. The note is synced before the mbox is touched, and a piece before
//! the next one is noted, so that after a power cut the dotlock is there and tells of the one piece that may be torn. Who
//! finds the dotlock of one who is gone cuts the mbox back to where the message began, if all that follows is what was
//! noted, and not all of it: a message that is whole is never cut off, since it may be acknowledged (a power cut may bring
//! back a dotlock that was removed). Nor is what another program has appended meanwhile.
//!
//! Layout, after the lines that name the holder: two places of [`PLACE`] octets, used in turn, so that a note that is itself
//! torn spoils not the one before it. In each `append INODE BEGAN AT LENGTH more|last`, padded, a line end, then the piece.
//! Of the last note, one torn after its numbers says what a whole one says: there is nothing of that piece in the mbox yet.

use std::io;

use durable::File;

use super::lock::Locked;
use crate::{Error, holder};

/// The numbers with their padding.
const NUMBERS: usize = 96;
/// No piece is longer. Tests have many of them.
pub(super) const LONGEST: usize = if cfg!(test) { 4096 } else { 512 * 1024 };
const PLACE: usize = NUMBERS + 1 + LONGEST;

/// A message being written at the end of a locked mbox.
pub(super) struct Tail<'a> {
    locked: &'a Locked,
    inode: u64,
    began: u64,
    at: u64,
    /// How many were made.
    notes: u64,
    sync_failed: bool,
}

/// Whether a piece ends the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    More,
    Last,
}

impl<'a> Tail<'a> {
    /// From `began` on, which is the length of the file.
    pub(super) fn new(locked: &'a Locked, began: u64) -> Result<Self, Error> {
        let inode = locked.file.meta()?.inode;
        Ok(Self { locked, inode, began, at: began, notes: 0, sync_failed: false })
    }

    /// Writes a part of the message; what was written is synced.
    pub(super) fn write(&mut self, part: &[u8], comes: Comes) -> Result<(), Error> {
        let mut pieces = part.chunks(LONGEST).peekable();
        while let Some(piece) = pieces.next() {
            self.note(piece, if pieces.peek().is_some() { Comes::More } else { comes })?;
            self.locked.file.write_at(piece, self.at)?;
            self.at += piece.len() as u64;
            self.sync()?;
        }
        Ok(())
    }

    fn note(&mut self, piece: &[u8], comes: Comes) -> Result<(), Error> {
        let word = match comes {
            Comes::More => "more",
            Comes::Last => "last",
        };
        let numbers = format!("append {} {} {} {} {word}", self.inode, self.began, self.at, piece.len());
        let place = holder::named().len() as u64 + self.notes % 2 * PLACE as u64;
        let notes = self.locked.notes();
        notes.write_at(format!("{numbers:<width$}\n", width = NUMBERS).as_bytes(), place)?;
        notes.write_at(piece, place + NUMBERS as u64 + 1)?;
        notes.sync()?;
        if self.notes == 0 {
            self.locked.sync_names()?;
        }
        self.notes += 1;
        Ok(())
    }

    /// Takes back what was written. If this fails too, the disk is beyond our help; the message is not acknowledged and
    /// comes again.
    pub(super) fn undo(mut self) {
        let cut = self.locked.file.set_len(self.began);
        if cut.is_ok() && !self.sync_failed {
            let _ = self.sync();
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        let synced = self.locked.file.sync();
        self.sync_failed = synced.is_err();
        Ok(synced?)
    }
}

/// Takes away what the holder of this dotlock, who is gone, left at the end of the mbox, if it is that and nothing else. The
/// caller has the other lock of the mbox.
pub(super) fn repair(notes: &File, file: &File) -> io::Result<()> {
    // Notes that cannot be read are not worth keeping everybody out for.
    let Ok(text) = notes.read_all(2 * PLACE as u64 + 1024) else { return Ok(()) };
    let meta = file.meta()?;
    let notes = Note::all(&text);
    let Some(last) = notes.last().filter(|last| last.inode == meta.inode && last.began < meta.size) else {
        return Ok(());
    };
    // Where nothing of the last piece is there yet, the one before it must be.
    let witness = if meta.size == last.at { &notes[0] } else { last };
    let end = meta.size.min(witness.end());
    if meta.size > last.end() || witness.at >= end {
        return Ok(());
    }
    let mut octets = vec![0; usize::try_from(end - witness.at).unwrap_or(LONGEST)];
    file.read_exact_at(&mut octets, witness.at)?;
    let is_whole = last.comes == Comes::Last && octets == last.piece;
    // A power cut may leave zeros where the data did not reach the disk.
    let is_ours = octets.iter().zip(witness.piece).all(|(have, want)| have == want || *have == 0);
    if is_ours && !is_whole {
        file.set_len(last.began)?;
        file.sync()?;
    }
    Ok(())
}

struct Note<'a> {
    inode: u64,
    began: u64,
    at: u64,
    comes: Comes,
    piece: &'a [u8],
}

impl<'a> Note<'a> {
    /// Those of the last two pieces of a message, the last one at the end.
    fn all(text: &'a [u8]) -> Vec<Self> {
        let places = holder::after_holder(text).and_then(|at| text.get(at..)).unwrap_or_default();
        let mut notes: Vec<Self> = places.chunks(PLACE).take(2).filter_map(Self::parse).collect();
        notes.sort_by_key(|note| note.at);
        if let [one, other] = &notes[..]
            && ((one.inode, one.began, one.end()) != (other.inode, other.began, other.at))
        {
            notes.remove(0);
        }
        notes
    }

    fn parse(text: &'a [u8]) -> Option<Self> {
        let (line, piece) = text.split_at_checked(NUMBERS + 1)?;
        let mut words = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_ascii_whitespace();
        if words.next()? != "append" {
            return None;
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        let (inode, began, at, length) = (number()?, number()?, number()?, number()?);
        let comes = match words.next()? {
            "more" => Comes::More,
            "last" => Comes::Last,
            _ => return None,
        };
        let piece = piece.get(..usize::try_from(length).ok()?)?;
        (began <= at && length > 0).then_some(Self { inode, began, at, comes, piece })
    }

    const fn end(&self) -> u64 {
        self.at.saturating_add(self.piece.len() as u64)
    }
}

/// The length of the file, zeros taken off that a power cut left after its last line: no mail ends in them.
pub(super) fn settled(file: &File) -> Result<u64, Error> {
    let size = file.meta()?.size;
    let mut end = size;
    let mut octets = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(octets.len() as u64);
        let length = usize::try_from(end - from).unwrap_or(octets.len());
        file.read_exact_at(&mut octets[..length], from)?;
        match octets[..length].iter().rposition(|octet| *octet != 0) {
            Some(at) if octets[at] == b'\n' => {
                end = from + at as u64 + 1;
                break;
            }
            Some(_) => return Ok(size),
            None => end = from,
        }
    }
    if end < size {
        file.set_len(end)?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use durable::Dir;

    use super::*;

    #[test]
    fn only_the_torn_end_of_a_message_is_cut_off() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        let file = dir.create("kevin", 0o600).expect("create");
        let inode = file.meta().expect("meta").inode;
        let note = |text: &str, piece: &str| format!("1\nboot\nhost\n{text:<NUMBERS$}\n{piece}");
        let first = note(&format!("append {inode} 4 4 6 more"), "From a");
        let last = note(&format!("append {inode} 4 10 4 last"), "bcd\n");
        let both = {
            let second = last.strip_prefix("1\nboot\nhost\n").expect("a note");
            let (holder, place) = first.split_at(first.len() - NUMBERS - 7);
            [holder, place, &"\0".repeat(PLACE - place.len()), second].concat()
        };
        let torn = both.replace("From a", "From \0");
        for (text, found, kept) in [
            (&first, "old\n", "old\n"),
            (&first, "old\nFro", "old\n"),
            (&first, "old\nFr\0\0", "old\n"),
            (&first, "old\nFrom a", "old\n"),
            (&last, "old\nFrom a", "old\nFrom a"),
            (&last, "old\nFrom abc", "old\n"),
            (&last, "old\nFrom abcd\0", "old\n"),
            (&last, "old\nFrom abcd\n", "old\nFrom abcd\n"),
            (&last, "old\nFrom abcd\nFrom b", "old\nFrom abcd\nFrom b"),
            (&both, "old\nFrom abc", "old\n"),
            (&both, "old\nFrom a", "old\n"),
            (&both, "old\nFrom b", "old\nFrom b"),
            (&both, "old\nFrom abcd\n", "old\nFrom abcd\n"),
            (&torn, "old\nFrom abc", "old\n"),
            (&torn, "old\nFrom a", "old\nFrom a"),
            (&first, "old\nFrom b", "old\nFrom b"),
            (&last, "old\nFrom abFrom b", "old\nFrom abFrom b"),
            (&last, "old\nFr", "old\nFr"),
            (&note(&format!("append {} 4 4 6 more", inode + 1), "From a"), "old\nFro", "old\nFro"),
            (&note(&format!("append {inode} 4 4 6 more"), "From"), "old\nFro", "old\nFro"),
            (&"1\nboot\nhost\n".to_owned(), "old\nFro", "old\nFro"),
            (&String::new(), "old\nFro", "old\nFro"),
        ] {
            let notes = dir.create("kevin.lock", 0o600).expect("create");
            notes.append(text.as_bytes()).expect("write");
            file.set_len(0).and_then(|()| file.write_at(found.as_bytes(), 0)).expect("write");
            repair(&notes, &file).expect("repair");
            assert_eq!(String::from_utf8_lossy(&file.read_all(100).expect("read")), kept, "{text:?} {found:?}");
            dir.unlink("kevin.lock").expect("unlink");
        }
    }

    #[test]
    fn zeros_after_the_last_line_go() {
        let place = tempfile::tempdir().expect("tempdir");
        let file = Dir::open(place.path()).and_then(|dir| dir.create("kevin", 0o600)).expect("create");
        for (found, length) in [("", 0), ("a\n", 2), ("a\n\0\0", 2), ("a\0", 2), ("\0\0", 0)] {
            file.set_len(0).and_then(|()| file.write_at(found.as_bytes(), 0)).expect("write");
            assert_eq!(
                (settled(&file).expect("settled"), file.meta().expect("meta").size),
                (length, length),
                "{found:?}"
            );
        }
        file.set_len(0).and_then(|()| file.write_at(&[b"a\n".to_vec(), vec![0; 9000]].concat(), 0)).expect("write");
        assert_eq!(settled(&file).expect("settled"), 2);
    }
}
