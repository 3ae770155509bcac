//! Rewriting the end of an mbox so that a crash at any moment loses nothing.
//!
//! The file is changed in place, because other programs hold locks on it: renaming a new file over it would let a program
//! that waits for the lock of the old one write where nobody reads. So the new end is first written to a journal beside it.
//!
//! | state | journal | mbox | next start |
//! |---|---|---|---|
//! | journal being written | part | old | journal is not whole: removed |
//! | journal synced | whole | old, perhaps longer | old end is intact: cut to its old length, journal removed |
//! | writing | whole | old and new mixed | written again from the journal |
//! | written and cut, synced | whole | new | the same |
//! | journal removed | none | new | – |
//!
//! What another program appended in between, not knowing of the journal, is kept.
//! Layout: the line `facteur-mbox-journal 1`, then as little-endian 64-bit numbers offset, old length, hash of the old end,
//! hash of the piece to be cut off, length of the new end, hash of all that and of the new end; then the new end. Nothing is
//! held in memory: the new end is written piece by piece, and what stands before it last.

use std::io;
use std::ops::Range;

use durable::{Access, File};

use super::lock::Place;
use crate::Error;

const MAGIC: &[u8] = b"facteur-mbox-journal 1\n";
/// Where the new end begins in the journal.
const HEADER: u64 = MAGIC.len() as u64 + 6 * 8;
const CHUNK: usize = if cfg!(test) { 64 } else { 256 * 1024 };

/// A journal that is whole.
struct Journal {
    /// Here the new end stands, from [`HEADER`] on.
    file: File,
    numbers: Numbers,
}

struct Numbers {
    offset: u64,
    old_length: u64,
    old_hash: u64,
    cut_hash: u64,
    /// Of the new end.
    length: u64,
}

/// The new end of an mbox on its way into the journal, piece by piece.
pub(crate) struct NewEnd<'a> {
    journal: &'a File,
    /// How much is in the journal.
    length: u64,
    waiting: Vec<u8>,
}

impl NewEnd<'_> {
    /// Adds octets.
    pub(crate) fn push(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.waiting.extend_from_slice(octets);
        if self.waiting.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Adds a part of a file.
    pub(crate) fn copy(&mut self, from: &File, range: Range<u64>) -> Result<(), Error> {
        let length = range.end.saturating_sub(range.start);
        if length < CHUNK as u64 {
            return self.push(&read_range(from, range.start, range.end)?);
        }
        self.flush()?;
        from.copy_range(range, self.journal, HEADER + self.length)?;
        self.length += length;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.waiting.is_empty() {
            self.journal.write_at(&self.waiting, HEADER + self.length)?;
            self.length += self.waiting.len() as u64;
            self.waiting.clear();
        }
        Ok(())
    }
}

/// Replaces everything from `offset` on by what `write` gives. The caller holds the write locks.
pub(crate) fn replace_end(
    place: &Place,
    file: &File,
    offset: u64,
    write: impl FnOnce(&mut NewEnd<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let old_length = file.meta()?.size;
    let stored = Journal::write(create(place)?, file, offset..old_length, write).and_then(|journal| {
        place.dir.sync_shared()?;
        Ok(journal)
    });
    let journal = match stored {
        Ok(journal) => journal,
        Err(error) => {
            let _ = remove(place);
            return Err(error);
        }
    };
    if let Err(error) = journal.extend(file) {
        // The old end was not touched yet.
        let _ = file.set_len(old_length);
        let _ = remove(place);
        return Err(error);
    }
    journal.overwrite(file)?;
    if journal.new_length() < old_length {
        file.set_len(journal.new_length())?;
    }
    file.sync()?;
    remove(place)
}

/// Finishes or undoes what a crash interrupted. The caller holds the write locks.
pub(crate) fn recover(place: &Place, file: &File) -> Result<(), Error> {
    if !exists(place)? {
        return Ok(());
    }
    if let Some(journal) = Journal::read(place.dir.open_file(&name(place), Access::Read)?)? {
        journal.replay(file)?;
    }
    remove(place)
}

pub(crate) fn exists(place: &Place) -> Result<bool, Error> {
    match place.dir.stat(&name(place)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn name(place: &Place) -> String {
    format!(".{}.facteur-journal", place.name)
}

fn create(place: &Place) -> Result<File, Error> {
    let mut made = None;
    place.with_privilege(|| {
        made = Some(place.dir.create(&name(place), 0o600)?);
        Ok(())
    })?;
    made.ok_or_else(|| Error::Damaged(name(place)))
}

fn remove(place: &Place) -> Result<(), Error> {
    place.with_privilege(|| place.dir.unlink(&name(place)))?;
    place.dir.sync_shared()?;
    Ok(())
}

impl Numbers {
    /// The line and the numbers but the last, which is a hash over these and the new end.
    fn octets(&self) -> Vec<u8> {
        let numbers = [self.offset, self.old_length, self.old_hash, self.cut_hash, self.length];
        numbers.into_iter().fold(MAGIC.to_vec(), |mut octets, number| {
            octets.extend(number.to_le_bytes());
            octets
        })
    }

    /// The numbers of a journal, and the hash.
    fn read(octets: &[u8]) -> Option<(Self, u64)> {
        let numbers = octets.strip_prefix(MAGIC)?;
        let number = |at: usize| Some(u64::from_le_bytes(numbers.get(at * 8..at * 8 + 8)?.try_into().ok()?));
        let read = Self {
            offset: number(0)?,
            old_length: number(1)?,
            old_hash: number(2)?,
            cut_hash: number(3)?,
            length: number(4)?,
        };
        Some((read, number(5)?))
    }
}

impl Journal {
    fn new_length(&self) -> u64 {
        self.numbers.offset + self.numbers.length
    }

    /// How much of the new end takes the place of old octets; the rest comes after them.
    fn inside(&self) -> u64 {
        self.numbers.old_length.saturating_sub(self.numbers.offset).min(self.numbers.length)
    }

    /// Writes what comes in the place of the old end, then in front of it what makes the journal whole; synced.
    fn write(
        file: File,
        mbox: &File,
        old: Range<u64>,
        write: impl FnOnce(&mut NewEnd<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut end = NewEnd { journal: &file, length: 0, waiting: Vec::new() };
        write(&mut end)?;
        end.flush()?;
        let length = end.length;
        let old_hash = hash_range(mbox, old.start, old.end)?;
        let cut_hash = hash_range(mbox, (old.start + length).min(old.end), old.end)?;
        let numbers = Numbers { offset: old.start, old_length: old.end, old_hash, cut_hash, length };
        let this = Self { file, numbers };
        let mut header = this.numbers.octets();
        header.extend(this.hash()?.to_le_bytes());
        this.file.write_at(&header, 0)?;
        this.file.sync()?;
        Ok(this)
    }

    /// `None` when it is not whole.
    fn read(file: File) -> Result<Option<Self>, Error> {
        let size = file.meta()?.size;
        let Some((numbers, hash)) = Numbers::read(&read_range(&file, 0, size.min(HEADER))?) else { return Ok(None) };
        let this = Self { file, numbers };
        let is_whole = this.numbers.length.checked_add(HEADER) == Some(size) && this.hash()? == hash;
        Ok(is_whole.then_some(this))
    }

    fn hash(&self) -> Result<u64, Error> {
        let mut hash = Hash::new();
        hash.add(&self.numbers.octets());
        hash.add_range(&self.file, HEADER, HEADER + self.numbers.length)?;
        Ok(hash.0)
    }

    /// Puts this part of the new end where it belongs.
    fn put(&self, part: Range<u64>, file: &File) -> Result<(), Error> {
        Ok(self.file.copy_range(HEADER + part.start..HEADER + part.end, file, self.numbers.offset + part.start)?)
    }

    /// What goes beyond the old length is written first: it alone needs room, and some disks say at the sync that there is
    /// none.
    fn extend(&self, file: &File) -> Result<(), Error> {
        if self.inside() < self.numbers.length {
            self.put(self.inside()..self.numbers.length, file)?;
            file.sync()?;
        }
        Ok(())
    }

    fn overwrite(&self, file: &File) -> Result<(), Error> {
        self.put(0..self.inside(), file)
    }

    fn replay(&self, file: &File) -> Result<(), Error> {
        let (length, old_length) = (file.meta()?.size, self.numbers.old_length);
        if length >= old_length && hash_range(file, self.numbers.offset, old_length)? == self.numbers.old_hash {
            if self.is_extension(file, length)? {
                file.set_len(old_length)?;
                file.sync()?;
            }
            return Ok(());
        }
        let cut_is_there = self.new_length() < old_length
            && length >= old_length
            && hash_range(file, self.new_length(), old_length)? == self.numbers.cut_hash;
        let kept_from = if cut_is_there { old_length } else { self.new_length() };
        let appended = if length > kept_from { read_range(file, kept_from, length)? } else { Vec::new() };
        self.put(0..self.numbers.length, file)?;
        file.write_at(&appended, self.new_length())?;
        file.set_len(self.new_length() + appended.len() as u64)?;
        file.sync()?;
        Ok(())
    }

    /// Whether the octets after the old length are what [`Journal::extend`] wrote, or tore.
    fn is_extension(&self, file: &File, length: u64) -> Result<bool, Error> {
        let (mut at, end) = (self.numbers.old_length, length);
        if end > self.new_length().max(at) {
            return Ok(false);
        }
        while at < end {
            let next = end.min(at + CHUNK as u64);
            let found = read_range(file, at, next)?;
            let from = HEADER + at - self.numbers.offset;
            let wanted = read_range(&self.file, from, from + (next - at))?;
            if !found.iter().zip(&wanted).all(|(have, want)| have == want || *have == 0) {
                return Ok(false);
            }
            at = next;
        }
        Ok(true)
    }
}

fn read_range(file: &File, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(to.saturating_sub(from)).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut octets = vec![0; length];
    file.read_exact_at(&mut octets, from)?;
    Ok(octets)
}

fn hash_range(file: &File, from: u64, to: u64) -> Result<u64, Error> {
    let mut hash = Hash::new();
    hash.add_range(file, from, to)?;
    Ok(hash.0)
}

/// FNV-1a: tells old from torn; no defence against anybody.
struct Hash(u64);

impl Hash {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn add_range(&mut self, file: &File, mut from: u64, to: u64) -> Result<(), Error> {
        while from < to {
            let next = to.min(from + CHUNK as u64);
            self.add(&read_range(file, from, next)?);
            from = next;
        }
        Ok(())
    }
}
