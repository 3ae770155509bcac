//! One mbox file as a mailbox.
//!
//! Uids and flags are notes in the messages' headers. A look that finds messages without uid gives them one and writes it
//! down, under the write locks; where the file cannot be written, uids are counted from 1 under a UIDVALIDITY made of the
//! first message's date, the same at each look. Changes fit where they stand, or the end of the file is rewritten from the
//! first message that changes ([`super::journal`]).

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use durable::{Access, File, Meta};
use mail::date::Moment;
use mail::{Uid, UidValidity};

use super::journal;
use super::lock::{Locked, Missing, Place};
use super::parse::{Base, Entry, Parsed, parse};
use super::render::{self, Notes};
use crate::line_ends::to_crlf;
use crate::reading::{Reading, Source};
use crate::{Changes, Error, FlagChange, Message, Snapshot};

/// An open mbox.
pub(crate) struct Mbox {
    pub(super) place: Place,
    /// Where a message that comes may be kept meanwhile; made when it is missing.
    pub(super) scratch: PathBuf,
    /// Minutes by which the local clock is ahead of UTC.
    pub(super) offset: i16,
    snapshot: Snapshot,
    /// The messages of the snapshot, in the same order.
    pub(super) entries: Vec<Entry>,
    pub(super) base: Base,
    /// The first entry of the file is c-client's pseudo message.
    pub(super) pseudo: Option<Entry>,
    pending: Changes,
    pub(super) stamp: Option<(u64, u64, SystemTime)>,
}

impl Mbox {
    pub(crate) fn open(place: Place, scratch: &Path, offset: i16) -> Result<Self, Error> {
        let base = Base { validity: clock_validity()?, last: 0, keywords: Vec::new() };
        let uid_next = Uid::new(1).ok_or(Error::NoMessage)?;
        let snapshot = Snapshot { uid_validity: base.validity, uid_next, messages: Vec::new() };
        let (entries, pending) = (Vec::new(), Changes::default());
        let scratch = scratch.to_owned();
        let mut this = Self { place, scratch, offset, snapshot, entries, base, pseudo: None, pending, stamp: None };
        this.look()?;
        this.pending = Changes::default();
        Ok(this)
    }

    /// The directory it is in.
    pub(crate) fn directory(&self) -> Result<Meta, Error> {
        Ok(self.place.dir.meta()?)
    }

    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn keywords(&self) -> Vec<String> {
        self.base.keywords.clone()
    }

    pub(crate) fn refresh(&mut self) -> Result<Changes, Error> {
        self.look()?;
        Ok(std::mem::take(&mut self.pending))
    }

    fn look(&mut self) -> Result<(), Error> {
        let stamp = match self.place.dir.stat(&self.place.name) {
            Ok(meta) => Some((meta.inode, meta.size, meta.mtime)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if stamp.is_some() && stamp == self.stamp {
            return Ok(());
        }
        if !journal::exists(&self.place)? && !self.place.is_left_locked() {
            let Some(file) = self.place.lock_to_read()? else {
                self.take(Parsed::default(), None)?;
                return Ok(());
            };
            let parsed = parse(&file, self.known())?;
            if !parsed.orphaned
                && parsed.entries.iter().skip(usize::from(parsed.pseudo)).all(|entry| entry.uid.is_some())
            {
                return self.take(parsed, Some(&file));
            }
        }
        match self.place.lock_to_write(Missing::Fail) {
            Ok(locked) => self.look_locked(&locked),
            Err(Error::ReadOnly(_) | Error::Unsafe(_)) => self.look_unwritable(),
            Err(error) => Err(error),
        }
    }

    /// Reads the file under the write locks; every message has a uid afterwards, on disk too.
    pub(super) fn look_locked(&mut self, locked: &Locked) -> Result<(), Error> {
        journal::recover(&self.place, &locked.file)?;
        let parsed = parse(&locked.file, self.known())?;
        let orphaned = parsed.orphaned;
        let missing = parsed.entries.iter().skip(usize::from(parsed.pseudo)).position(|entry| entry.uid.is_none());
        self.take(parsed, Some(&locked.file))?;
        if missing.is_some() || orphaned {
            let first = missing.unwrap_or(self.entries.len());
            let changed: HashSet<usize> = (first..self.entries.len()).collect();
            self.write(locked, &changed, &HashSet::new())?;
        }
        Ok(())
    }

    fn known(&self) -> Option<&Base> {
        if self.entries.is_empty() { None } else { Some(&self.base) }
    }

    fn look_unwritable(&mut self) -> Result<(), Error> {
        let file = self.place.dir.open_file(&self.place.name, Access::Read)?;
        let mut parsed = parse(&file, self.known())?;
        let date = parsed.entries.first().and_then(|entry| u32::try_from(entry.date).ok());
        let validity = date.and_then(UidValidity::new).map_or_else(clock_validity, Ok)?;
        let base = parsed.base.get_or_insert(Base { validity, last: 0, keywords: Vec::new() });
        for entry in parsed.entries.iter_mut().skip(usize::from(parsed.pseudo)).filter(|entry| entry.uid.is_none()) {
            base.last = base.last.saturating_add(1);
            entry.uid = Uid::new(base.last);
        }
        self.take(parsed, Some(&file))
    }

    /// Makes what was parsed the snapshot, with uids for all, and notes what changed.
    fn take(&mut self, parsed: Parsed, file: Option<&File>) -> Result<(), Error> {
        let known_last = self.base.last;
        match parsed.base {
            Some(base) => self.base = base,
            // Another program removed the message with the base before we looked: these uids were others' perhaps a moment
            // ago, under a UIDVALIDITY nobody knows any more.
            None if parsed.stray > 0 && self.stamp.is_none() && self.entries.is_empty() => {
                self.base.validity = after(self.base.validity)?;
                self.base.last = self.base.last.max(parsed.stray);
            }
            // No note at all: all messages are new, or none is left. The numbers we gave are not given again.
            None if parsed.entries.is_empty() || self.entries.is_empty() => (),
            None => self.base.validity = after(self.base.validity)?,
        }
        if self.base.validity == self.snapshot.uid_validity {
            self.base.last = self.base.last.max(known_last);
        }
        let mut entries = parsed.entries;
        self.pseudo = if parsed.pseudo && !entries.is_empty() { Some(entries.remove(0)) } else { None };
        for entry in &mut entries {
            if entry.uid.is_none() {
                self.base.last =
                    self.base.last.checked_add(1).ok_or_else(|| Error::Damaged("no uids are left".into()))?;
                entry.uid = Uid::new(self.base.last);
            }
        }
        self.entries = entries;
        let old = self.snapshot.clone();
        self.snapshot = self.shown()?;
        self.pending.merge(Changes::between(&old, &self.snapshot));
        self.stamp = match file {
            Some(file) => file.meta().map(|meta| Some((meta.inode, meta.size, meta.mtime)))?,
            None => None,
        };
        Ok(())
    }

    fn shown(&self) -> Result<Snapshot, Error> {
        let next = self.base.last.checked_add(1).and_then(Uid::new);
        let message = |entry: &Entry| Some(Message { uid: entry.uid?, flags: entry.flags.clone(), recent: !entry.old });
        Ok(Snapshot {
            uid_validity: self.base.validity,
            uid_next: next.ok_or_else(|| Error::Damaged("no uids are left".into()))?,
            messages: self.entries.iter().filter_map(message).collect(),
        })
    }

    /// Puts changed entries (by place) on disk and takes dropped ones out, the write locks being held.
    pub(super) fn write(
        &mut self,
        locked: &Locked,
        changed: &HashSet<usize>,
        dropped: &HashSet<usize>,
    ) -> Result<(), Error> {
        let first_kept = (0..self.entries.len()).find(|at| !dropped.contains(at));
        for name in self.entries.iter().flat_map(|entry| &entry.flags.keywords) {
            if !self.base.keywords.iter().any(|have| have.eq_ignore_ascii_case(name)) {
                self.base.keywords.push(name.clone());
            }
        }
        let mut fitting = Vec::new();
        // c-client's pseudo message goes: its numbers move to the first real one.
        let pseudo = self.pseudo.take();
        let mut rewrite_from = if pseudo.is_some() { Some(0) } else { dropped.iter().min().copied() };
        for at in (0..self.entries.len()).filter(|at| !dropped.contains(at)) {
            if !changed.contains(&at) && Some(at) != first_kept {
                continue;
            }
            let notes = self.notes(at, first_kept).text().into_bytes();
            match render::region(&self.entries[at]) {
                Some((start, end)) if !self.entries[at].cut_off && end - start == notes.len() as u64 => {
                    fitting.push((at, start, notes))
                }
                _ => rewrite_from = Some(rewrite_from.map_or(at, |from: usize| from.min(at))),
            }
        }
        for (at, start, notes) in fitting {
            if rewrite_from.is_none_or(|from| at < from) {
                locked.file.write_at(&notes, start)?;
            }
        }
        match rewrite_from {
            None => locked.file.sync()?,
            // What was written in place is synced with what follows it.
            Some(from) => {
                let first = pseudo.or_else(|| self.entries.get(from).cloned());
                let offset = first.map_or(0, |entry| entry.start);
                let kept = (from..self.entries.len()).filter(|at| !dropped.contains(at));
                journal::replace_end(&self.place, &locked.file, offset, |end| {
                    kept.into_iter().try_for_each(|at| {
                        render::message(&locked.file, &self.entries[at], &self.notes(at, first_kept), end)
                    })
                })?;
            }
        }
        self.reread(locked)
    }

    fn notes(&self, at: usize, first_kept: Option<usize>) -> Notes<'_> {
        let entry = &self.entries[at];
        let base = (Some(at) == first_kept).then_some(&self.base);
        let fallback = self.snapshot.uid_next;
        let content_length = entry.counted.then_some(entry.end - entry.body + u64::from(entry.cut_off));
        Notes { base, uid: entry.uid.unwrap_or(fallback), flags: &entry.flags, old: entry.old, content_length }
    }

    /// After our own change: the file is as we wrote it.
    fn reread(&mut self, locked: &Locked) -> Result<(), Error> {
        let told = std::mem::take(&mut self.pending);
        let base = self.base.clone();
        let mut parsed = parse(&locked.file, None)?;
        parsed.base.get_or_insert(base);
        self.take(parsed, Some(&locked.file))?;
        self.pending = told;
        Ok(())
    }

    /// Where the message is that the caller knows by this uid. Callers know the uids of their last refresh: after
    /// another UIDVALIDITY was found, none of them means anything.
    fn index(&self, uid: Uid) -> Option<usize> {
        if self.pending.renumbered { None } else { self.snapshot.index(uid) }
    }

    fn entry(&self, uid: Uid) -> Result<&Entry, Error> {
        self.index(uid).and_then(|at| self.entries.get(at)).ok_or(Error::NoMessage)
    }

    /// The file as the entries describe it, locked against writers.
    fn file(&mut self, uid: Uid) -> Result<File, Error> {
        for _ in 0..3 {
            self.look()?;
            self.entry(uid)?;
            let Some(file) = self.place.lock_to_read()? else { return Err(Error::NoMessage) };
            let meta = file.meta()?;
            if self.stamp == Some((meta.inode, meta.size, meta.mtime)) {
                return Ok(file);
            }
        }
        Err(Error::Busy)
    }

    pub(crate) fn read(&mut self, uid: Uid) -> Result<Vec<u8>, Error> {
        let file = self.file(uid)?;
        let entry = self.entry(uid)?;
        let mut message = render::header(&file, entry)?;
        message.push(b'\n');
        render::read_to(&file, entry.body..entry.end, &mut message)?;
        message.extend_from_slice(entry.missing_end());
        Ok(to_crlf(message))
    }

    pub(crate) fn begin(&mut self, uid: Uid) -> Result<Reading, Error> {
        let file = self.file(uid)?;
        let mut header = render::header(&file, self.entry(uid)?)?;
        header.push(b'\n');
        Ok(Reading::new(uid, Source::Header(header)))
    }

    pub(crate) fn read_from(&mut self, reading: &mut Reading, offset: u64, limit: usize) -> Result<Vec<u8>, Error> {
        let file = self.file(reading.uid)?;
        let entry = self.entry(reading.uid)?;
        reading.read_in((&file, entry.body..entry.end, entry.missing_end()), (offset, limit))
    }

    pub(crate) fn read_header(&mut self, uid: Uid) -> Result<Vec<u8>, Error> {
        let file = self.file(uid)?;
        let mut header = render::header(&file, self.entry(uid)?)?;
        header.push(b'\n');
        Ok(to_crlf(header))
    }

    pub(crate) fn size(&self, uid: Uid) -> Result<u64, Error> {
        Ok(self.entry(uid)?.size)
    }

    pub(crate) fn date(&self, uid: Uid) -> Result<Moment, Error> {
        Ok(Moment::utc(self.entry(uid)?.date - i64::from(self.offset) * 60))
    }

    pub(crate) fn uidl(&self, uid: Uid) -> Result<String, Error> {
        self.entry(uid)?;
        Ok(format!("{:08x}{:08x}", uid.get(), self.base.validity.get()))
    }

    pub(crate) fn writable(&self) -> Result<(), Error> {
        match self.place.lock_to_write(Missing::Fail) {
            Ok(_) => Ok(()),
            Err(Error::Disk(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes the write locks and looks; `None` when there is no file.
    fn lock_and_look(&mut self) -> Result<Option<Locked>, Error> {
        let locked = match self.place.lock_to_write(Missing::Fail) {
            Err(Error::Disk(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let meta = locked.file.meta()?;
        if self.stamp != Some((meta.inode, meta.size, meta.mtime)) || journal::exists(&self.place)? {
            self.look_locked(&locked)?;
        }
        Ok(Some(locked))
    }

    pub(crate) fn claim_recent(&mut self) -> Result<Vec<Uid>, Error> {
        self.look()?;
        if self.entries.iter().all(|entry| entry.old) {
            return Ok(Vec::new());
        }
        let Some(locked) = self.lock_and_look()? else { return Ok(Vec::new()) };
        let recent: HashSet<usize> = (0..self.entries.len()).filter(|at| !self.entries[*at].old).collect();
        let mut uids: Vec<Uid> = recent.iter().filter_map(|at| self.entries[*at].uid).collect();
        for at in &recent {
            self.entries[*at].old = true;
        }
        self.commit(&locked, &recent)?;
        uids.sort_unstable();
        Ok(uids)
    }

    pub(crate) fn set_flags(&mut self, uids: &[Uid], change: &FlagChange) -> Result<Vec<Uid>, Error> {
        let Some(locked) = self.lock_and_look()? else { return Ok(Vec::new()) };
        let mut changed = HashSet::new();
        for uid in uids {
            let Some(at) = self.index(*uid) else { continue };
            let flags = change.apply(&self.entries[at].flags);
            if flags != self.entries[at].flags {
                self.entries[at].flags = flags;
                changed.insert(at);
            }
        }
        let mut told: Vec<Uid> = changed.iter().filter_map(|at| self.entries[*at].uid).collect();
        if !changed.is_empty() {
            self.commit(&locked, &changed)?;
        }
        told.sort_unstable();
        Ok(told)
    }

    /// [`Mbox::write`] of changed entries; on failure what is in memory is read again at the next look.
    fn commit(&mut self, locked: &Locked, changed: &HashSet<usize>) -> Result<(), Error> {
        let written = self.write(locked, changed, &HashSet::new());
        if written.is_err() {
            self.stamp = None;
        }
        written
    }

    pub(crate) fn expunge(&mut self, uids: &[Uid]) -> Result<Vec<Uid>, Error> {
        let Some(locked) = self.lock_and_look()? else { return Ok(Vec::new()) };
        let dropped: HashSet<usize> = uids.iter().filter_map(|uid| self.index(*uid)).collect();
        let mut gone: Vec<Uid> = dropped.iter().filter_map(|at| self.entries[*at].uid).collect();
        if !dropped.is_empty() {
            let written = self.write(&locked, &HashSet::new(), &dropped);
            if written.is_err() {
                self.stamp = None;
            }
            written?;
            if self.entries.is_empty() {
                outlive(self.base.validity);
            }
        }
        gone.sort_unstable();
        Ok(gone)
    }
}

/// No mailbox that is new from now on gets an earlier UIDVALIDITY than this.
static EARLIEST: AtomicU32 = AtomicU32::new(0);

/// A mailbox lost its name, which another one may have in this same second: its uids are not those.
pub(super) fn name_is_free() {
    let later = |earliest: u32| Some(earliest.max(clock()).saturating_add(1));
    let _ = EARLIEST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
}

/// An empty mbox keeps no UIDVALIDITY: returns when the clock gives its next messages another one. That is at once, but for a
/// mailbox that was numbered in this same second.
fn outlive(validity: UidValidity) {
    let from = clock();
    while (from..from.saturating_add(3)).contains(&validity.get()) && clock() <= validity.get() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn clock() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(now).unwrap_or(u32::MAX)
}

fn clock_validity() -> Result<UidValidity, Error> {
    UidValidity::new(clock().max(EARLIEST.load(Ordering::Relaxed))).ok_or(Error::NoMailbox)
}

/// A later UIDVALIDITY than `old`.
fn after(old: UidValidity) -> Result<UidValidity, Error> {
    let now = clock_validity()?;
    let next = old.get().saturating_add(1).max(now.get());
    UidValidity::new(next).ok_or(Error::NoMailbox)
}
