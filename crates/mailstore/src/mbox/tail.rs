//! The end of an mbox while a message is written to it, and what becomes of it when the writer is killed.
//!
//! Before each piece is written it is noted in the dotlock, which is there anyway and gone a moment later: where the
//! message began, where the piece begins, and the piece. Who finds the dotlock of one who is gone cuts the mbox back to where
//! the message began, if all that follows is what was noted, and not all of it: a message that is whole is never cut off,
//! since it may be acknowledged (a power cut may bring back a dotlock that was removed). Nor is what another program has
//! appended meanwhile. Then, or when a power cut took the notes, a part of a message stays, and the queue delivers the whole
//! after it.
//!
//! Layout, after the lines that name the holder: `append INODE BEGAN AT LENGTH more|last`, padded, a line end, then the
//! piece. A note that is itself torn cuts nothing off: pieces are noted before they are written, so there is nothing of that
//! piece yet.

use std::io;

use durable::File;

use super::lock::Locked;
use crate::{Error, holder};

/// The numbers with their padding.
const NUMBERS: usize = 96;
/// No piece is longer.
const LONGEST: u64 = 1024 * 1024;

/// A message being written at the end of a locked mbox.
pub(super) struct Tail<'a> {
    locked: &'a Locked,
    inode: u64,
    began: u64,
    at: u64,
    notes: u64,
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
        let notes = holder::named().len() as u64;
        Ok(Self { locked, inode: locked.file.meta()?.inode, began, at: began, notes })
    }

    /// Writes a piece.
    pub(super) fn write(&mut self, piece: &[u8], comes: Comes) -> Result<(), Error> {
        let word = match comes {
            Comes::More => "more",
            Comes::Last => "last",
        };
        let numbers = format!("append {} {} {} {} {word}", self.inode, self.began, self.at, piece.len());
        let note = [format!("{numbers:<width$}\n", width = NUMBERS).as_bytes(), piece].concat();
        // Without a note, the worst is a torn message that stays.
        let _ = self.locked.notes().write_at(&note, self.notes);
        self.locked.file.write_at(piece, self.at)?;
        self.at += piece.len() as u64;
        Ok(())
    }
}

/// Takes away what the holder of this dotlock, who is gone, left at the end of the mbox, if it is that and nothing else. The
/// caller has the other lock of the mbox.
pub(super) fn repair(notes: &File, file: &File) -> io::Result<()> {
    let text = notes.read_all(LONGEST + 1024)?;
    let meta = file.meta()?;
    let Some(note) = Note::parse(&text).filter(|note| note.inode == meta.inode) else { return Ok(()) };
    let found = meta.size.checked_sub(note.at).and_then(|length| usize::try_from(length).ok());
    let Some(expected) = found.and_then(|found| note.piece.get(..found)) else { return Ok(()) };
    let mut octets = vec![0; expected.len()];
    file.read_exact_at(&mut octets, note.at)?;
    let is_whole = note.comes == Comes::Last && octets == note.piece;
    // A power cut may leave zeros where the data did not reach the disk.
    let is_ours = octets.iter().zip(expected).all(|(have, want)| have == want || *have == 0);
    if meta.size > note.began && is_ours && !is_whole {
        file.set_len(note.began)?;
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
    fn parse(text: &'a [u8]) -> Option<Self> {
        let rest = text.get(holder::after_holder(text)?..)?;
        let (line, piece) = rest.split_at_checked(NUMBERS + 1)?;
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
        (began <= at).then_some(Self { inode, began, at, comes, piece })
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
        for (text, found, kept) in [
            (&first, "old\n", "old\n"),
            (&first, "old\nFro", "old\n"),
            (&first, "old\nFr\0\0", "old\n"),
            (&first, "old\nFrom a", "old\n"),
            (&last, "old\nFrom a", "old\n"),
            (&last, "old\nFrom abc", "old\n"),
            (&last, "old\nFrom abcd\0", "old\n"),
            (&last, "old\nFrom abcd\n", "old\nFrom abcd\n"),
            (&last, "old\nFrom abcd\nFrom b", "old\nFrom abcd\nFrom b"),
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
