//! A message as it is written to an mbox: its header without foreign notes, our notes, its body.
//!
//! Notes have fixed widths as far as possible, so that most changes of flags fit where they stand.

use durable::File;
use mail::{Flag, Flags, Uid};

use super::journal::NewEnd;
use super::parse::{Base, Entry};
use crate::Error;

/// Keywords are padded to a multiple of this.
const PADDING: usize = 24;

/// The notes of one message.
pub(crate) struct Notes<'a> {
    /// In the first message only.
    pub(crate) base: Option<&'a Base>,
    pub(crate) uid: Uid,
    pub(crate) flags: &'a Flags,
    pub(crate) old: bool,
    /// For a body that holds what looks like a `From ` line.
    pub(crate) content_length: Option<u64>,
}

impl Notes<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(base) = self.base {
            let names = padded(&base.keywords.join(" "), PADDING);
            text += &format!("X-IMAPbase: {} {:010} {names}\n", base.validity, base.last);
        }
        let letters = |known: &[(Flag, char)]| -> String {
            known.iter().filter(|(flag, _)| self.flags.has(*flag)).map(|(_, letter)| *letter).collect()
        };
        let status = letters(&[(Flag::Seen, 'R')]) + if self.old { "O" } else { "" };
        let more = letters(&[(Flag::Answered, 'A'), (Flag::Flagged, 'F'), (Flag::Draft, 'T'), (Flag::Deleted, 'D')]);
        let keywords: Vec<&str> = self.flags.keywords.iter().map(String::as_str).collect();
        let names = padded(&keywords.join(" "), PADDING);
        if let Some(length) = self.content_length {
            text += &format!("Content-Length: {length}\n");
        }
        text + &format!("X-UID: {}\nStatus: {status:<2}\nX-Status: {more:<4}\nX-Keywords: {names}\n", self.uid)
    }
}

fn padded(text: &str, step: usize) -> String {
    format!("{text:<width$}", width = text.len().next_multiple_of(step).max(step))
}

/// Where the notes of a message stand, if they stand together.
pub(crate) fn region(entry: &Entry) -> Option<(u64, u64)> {
    let (first, last) = (entry.notes.first()?, entry.notes.last()?);
    let together = entry.notes.windows(2).all(|pair| pair[0].end == pair[1].start);
    together.then_some((first.start, last.end))
}

/// The header without notes and without the empty line.
pub(crate) fn header(file: &File, entry: &Entry) -> Result<Vec<u8>, Error> {
    let mut header = Vec::new();
    let mut from = entry.header;
    for note in &entry.notes {
        read_to(file, from..note.start, &mut header)?;
        from = note.end;
    }
    read_to(file, from..entry.body, &mut header)?;
    if !header.is_empty() && !header.ends_with(b"\n") {
        header.push(b'\n');
    }
    for blank in [&b"\r\n"[..], b"\n"] {
        if header == blank || header.ends_with(&[b"\n", blank].concat()) {
            header.truncate(header.len() - blank.len());
            break;
        }
    }
    Ok(header)
}

/// Writes the whole message with these notes, `From ` line and dividing empty line included.
pub(crate) fn message(file: &File, entry: &Entry, notes: &Notes<'_>, into: &mut NewEnd<'_>) -> Result<(), Error> {
    into.copy(file, entry.start..entry.header)?;
    into.push(&header(file, entry)?)?;
    into.push(notes.text().as_bytes())?;
    into.push(b"\n")?;
    into.copy(file, entry.body..entry.end)?;
    let mut last = *b"\n";
    if entry.body < entry.end {
        file.read_exact_at(&mut last, entry.end - 1)?;
    }
    into.push(if last == *b"\n" { b"\n" } else { b"\n\n" })
}

pub(crate) fn read_to(file: &File, range: std::ops::Range<u64>, into: &mut Vec<u8>) -> Result<(), Error> {
    let at = into.len();
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| Error::Damaged("mbox".into()))?;
    into.resize(at + length, 0);
    file.read_exact_at(&mut into[at..], range.start)?;
    Ok(())
}
