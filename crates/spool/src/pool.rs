//! Files of finished messages, used again.
//!
//! A file that is made, synced and unlinked for each message costs the file system far more than one that is overwritten:
//! no inode is sought, no block allocated, and its sync needs no commit of the journal. So the files of small finished
//! messages wait in `free/` and become the temporary files of new ones.
//!
//! | state | file | leads on | a crash leaves | mended by |
//! |---|---|---|---|---|
//! | finished | `active/ID` | `rename` → `free/ID.tmp` | either name | delivered again, or removed at start |
//! | gone | `free/ID.tmp` | sync of `active`, then `rename` → `free/ID` | a file in `free` | removed at start |
//! | free | `free/ID` | `rename_new` → `incoming/NEW.tmp` | either name | removed at start, or [`super::Spool::clean`] |
//!
//! Only after the sync may the file be overwritten: else a power cut could bring the old name back with a stranger's octets.
//! Nobody may have a file open that goes here, see [`super::Finished`]; whoever takes one checks that it has no second name.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use durable::{Access, Dir, File, Kind};
use mail::QueueId;

use super::TEMPORARY;

/// The free files, as one program sees them.
pub(crate) struct Pool {
    free: Dir,
    names: Mutex<Names>,
    /// How many have been put in since they were last counted.
    room: AtomicUsize,
}

#[derive(Default)]
struct Names {
    list: Vec<String>,
    listed: Option<Instant>,
}

impl Pool {
    pub(super) fn new(free: Dir) -> Self {
        Self { free, names: Mutex::default(), room: AtomicUsize::new(0) }
    }

    /// Takes a free file for itself as `incoming/temporary`; `None`: make a new one.
    pub(super) fn claim(&self, incoming: &Dir, temporary: &str) -> Option<File> {
        while let Some(name) = self.next_name() {
            // Another program may have been faster.
            if self.free.rename_new(&name, incoming, temporary).is_err() {
                continue;
            }
            let file = incoming.open_file(temporary, Access::ReadWrite);
            if let Ok(file) = file
                && file.meta().is_ok_and(|meta| meta.links == 1)
            {
                return Some(file);
            }
            incoming.unlink(temporary).ok();
        }
        None
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_name(&self) -> Option<String> {
        let mut names = self.names();
        if names.list.is_empty() && names.listed.is_none_or(|at| at.elapsed() > LOOK_AGAIN) {
            names.listed = Some(Instant::now());
            names.list = self.listed().unwrap_or_default();
        }
        names.list.pop()
    }

    fn listed(&self) -> io::Result<Vec<String>> {
        let entries = self.free.entries()?;
        Ok(entries
            .into_iter()
            .filter(|e| e.kind == Kind::File && QueueId::parse(&e.name).is_some())
            .map(|e| e.name)
            .collect())
    }

    /// Moves a finished message's file out of its queue, to wait for the sync of that directory. False: it was unlinked.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn take_in(&self, queue: &Dir, id: QueueId) -> io::Result<bool> {
        let name = id.name();
        let small =
            queue.stat(&name).is_ok_and(|meta| meta.kind == Kind::File && meta.size <= LARGEST && meta.links == 1);
        if small && self.has_room() && queue.rename_new(&name, &self.free, &waiting(id)).is_ok() {
            return Ok(true);
        }
        queue.unlink(&name).or_else(super::gone)?;
        Ok(false)
    }

    /// The directory a file came from is synced (or not, then the file goes).
    pub(super) fn set_free(&self, id: QueueId, synced: bool) {
        let (name, waiting) = (id.name(), waiting(id));
        if !synced || self.free.rename_new(&waiting, &self.free, &name).is_err() {
            self.free.unlink(&waiting).ok();
        }
    }

    /// Counted anew now and then: others take files out unseen.
    fn has_room(&self) -> bool {
        if self.room.load(Ordering::Relaxed) == 0 {
            let there = self.listed().map_or(MOST, |names| names.len());
            self.room.store(MOST.saturating_sub(there).min(RECOUNT), Ordering::Relaxed);
        }
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1)).is_ok()
    }

    /// Removes all free files: after a crash nobody knows which of them still have another name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn empty(&self) -> io::Result<()> {
        for entry in self.free.entries()? {
            self.free.unlink(&entry.name).ok();
        }
        self.free.sync()
    }
}

fn waiting(id: QueueId) -> String {
    format!("{id}{TEMPORARY}")
}

/// Files above this size are not kept.
const LARGEST: u64 = 64 * 1024;
/// So many free files at most, about.
const MOST: usize = 1024;
/// After so many the free files are counted again.
const RECOUNT: usize = 256;
/// An empty list is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
