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
//! hash of the piece to be cut off, length of the new end, hash of all that and of the new end; then the new end.

use std::io;

use durable::{Access, File};

use super::lock::Place;
use crate::Error;

const MAGIC: &[u8] = b"facteur-mbox-journal 1\n";
const CHUNK: usize = 256 * 1024;

struct Journal {
    offset: u64,
    old_length: u64,
    old_hash: u64,
    cut_hash: u64,
    new_end: Vec<u8>,
}

/// Replaces everything from `offset` on by `new_end`. The caller holds the write locks.
pub(crate) fn replace_end(place: &Place, file: &File, offset: u64, new_end: Vec<u8>) -> Result<(), Error> {
    let old_length = file.meta()?.size;
    let new_length = offset + new_end.len() as u64;
    let old_hash = hash_range(file, offset, old_length)?;
    let cut_hash = hash_range(file, new_length.min(old_length), old_length)?;
    let journal = Journal { offset, old_length, old_hash, cut_hash, new_end };
    journal.store(place)?;
    if let Err(error) = journal.extend(file) {
        // The old end was not touched yet.
        let _ = file.set_len(old_length);
        let _ = remove(place);
        return Err(error);
    }
    journal.overwrite(file)?;
    if new_length < old_length {
        file.set_len(new_length)?;
    }
    file.sync()?;
    remove(place)
}

/// Finishes or undoes what a crash interrupted. The caller holds the write locks.
pub(crate) fn recover(place: &Place, file: &File) -> Result<(), Error> {
    if !exists(place)? {
        return Ok(());
    }
    let text = place.dir.open_file(&name(place), Access::Read)?.read_all(u64::MAX)?;
    if let Some(journal) = Journal::parse(&text) {
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

fn remove(place: &Place) -> Result<(), Error> {
    place.with_privilege(|| place.dir.unlink(&name(place)))?;
    place.dir.sync_shared()?;
    Ok(())
}

impl Journal {
    fn new_length(&self) -> u64 {
        self.offset + self.new_end.len() as u64
    }

    fn store(&self, place: &Place) -> Result<(), Error> {
        let name = name(place);
        let mut made = None;
        place.with_privilege(|| {
            made = Some(place.dir.create(&name, 0o600)?);
            Ok(())
        })?;
        let Some(file) = made else { return Err(Error::Damaged(name)) };
        let stored = file.append(&self.text()).and_then(|_| file.sync()).and_then(|()| place.dir.sync_shared());
        if let Err(error) = stored {
            let _ = remove(place);
            return Err(error.into());
        }
        Ok(())
    }

    fn text(&self) -> Vec<u8> {
        let numbers = [self.offset, self.old_length, self.old_hash, self.cut_hash, self.new_end.len() as u64];
        let mut text = MAGIC.to_vec();
        for number in numbers {
            text.extend(number.to_le_bytes());
        }
        let mut hash = Hash::new();
        hash.add(&text);
        hash.add(&self.new_end);
        text.extend(hash.0.to_le_bytes());
        text.extend_from_slice(&self.new_end);
        text
    }

    /// `None` when it is not whole.
    fn parse(text: &[u8]) -> Option<Self> {
        let numbers = text.strip_prefix(MAGIC)?;
        let number = |at: usize| Some(u64::from_le_bytes(numbers.get(at * 8..at * 8 + 8)?.try_into().ok()?));
        let new_end = numbers.get(48..)?.to_vec();
        let this =
            Self { offset: number(0)?, old_length: number(1)?, old_hash: number(2)?, cut_hash: number(3)?, new_end };
        (number(4)? == this.new_end.len() as u64 && this.text() == text).then_some(this)
    }

    /// What goes beyond the old length is written first: it alone needs room, and some disks say at the sync that there is
    /// none.
    fn extend(&self, file: &File) -> Result<(), Error> {
        let inside = usize::try_from(self.old_length - self.offset).unwrap_or(usize::MAX);
        if let Some(more) = self.new_end.get(inside..).filter(|more| !more.is_empty()) {
            file.write_at(more, self.old_length)?;
            file.sync()?;
        }
        Ok(())
    }

    fn overwrite(&self, file: &File) -> Result<(), Error> {
        let inside = usize::try_from(self.old_length - self.offset).unwrap_or(usize::MAX).min(self.new_end.len());
        Ok(file.write_at(&self.new_end[..inside], self.offset)?)
    }

    fn replay(&self, file: &File) -> Result<(), Error> {
        let length = file.meta()?.size;
        if length >= self.old_length && hash_range(file, self.offset, self.old_length)? == self.old_hash {
            let extension = read_range(file, self.old_length, length)?;
            if self.is_extension(&extension) {
                file.set_len(self.old_length)?;
                file.sync()?;
            }
            return Ok(());
        }
        let cut_is_there = self.new_length() < self.old_length
            && length >= self.old_length
            && hash_range(file, self.new_length(), self.old_length)? == self.cut_hash;
        let kept_from = if cut_is_there { self.old_length } else { self.new_length() };
        let appended = if length > kept_from { read_range(file, kept_from, length)? } else { Vec::new() };
        file.write_at(&self.new_end, self.offset)?;
        file.write_at(&appended, self.new_length())?;
        file.set_len(self.new_length() + appended.len() as u64)?;
        file.sync()?;
        Ok(())
    }

    /// Whether the octets after the old length are what [`Journal::extend`] wrote, or tore.
    fn is_extension(&self, found: &[u8]) -> bool {
        let inside = usize::try_from(self.old_length - self.offset).unwrap_or(usize::MAX);
        let wanted = self.new_end.get(inside..).unwrap_or_default();
        found.len() <= wanted.len() && found.iter().zip(wanted).all(|(have, want)| have == want || *have == 0)
    }
}

fn read_range(file: &File, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(to.saturating_sub(from)).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut octets = vec![0; length];
    file.read_exact_at(&mut octets, from)?;
    Ok(octets)
}

fn hash_range(file: &File, mut from: u64, to: u64) -> Result<u64, Error> {
    let mut hash = Hash::new();
    let mut chunk = vec![0; CHUNK.min(usize::try_from(to.saturating_sub(from)).unwrap_or(CHUNK))];
    while from < to {
        let want = usize::try_from(to - from).unwrap_or(CHUNK).min(CHUNK);
        file.read_exact_at(&mut chunk[..want], from)?;
        hash.add(&chunk[..want]);
        from += want as u64;
    }
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
}
