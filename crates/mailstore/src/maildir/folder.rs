//! One Maildir as a mailbox: who is in it, under which uid, with which flags.
//!
//! The truth is in the directories; `dovecot-uidlist` binds names to uids. A look costs nothing while neither the directories
//! nor the control files changed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use durable::{Access, Dir, Meta};
use mail::{Uid, UidValidity};

use super::control::{self, LockFile};
use super::delivery::{Folders, ensure_maildir};
use super::keywords::{self, Keywords};
use super::name::{self, Naming};
use super::scan::{Folder, Found, Place, Stamp};
use super::uidlist::{self, UidList};
use crate::{Changes, Error, Message, Snapshot};

/// What all mailboxes of a tree share.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) root: Dir,
    pub(crate) naming: Arc<Naming>,
    pub(crate) timeout: Duration,
}

/// An open Maildir.
pub(crate) struct Maildir {
    pub(super) dir: Dir,
    pub(super) folders: Folders,
    pub(super) tree: Tree,
    pub(super) list: UidList,
    pub(super) keywords: Keywords,
    pub(super) snapshot: Snapshot,
    /// Where the messages of the snapshot are, in the same order.
    pub(super) places: Vec<Place>,
    /// Those of the list that are surely gone: no file ever has their uids again (RFC 9051 §2.3.1.1).
    pub(super) dead: HashSet<Uid>,
    /// Sizes in CRLF form that were counted.
    pub(super) sizes: HashMap<Uid, u64>,
    /// Found, but not yet told by [`Maildir::refresh`].
    pub(super) pending: Changes,
    seen: Option<Stamp>,
    list_stamp: FileStamp,
    keywords_stamp: FileStamp,
    /// Nothing was looked at yet.
    fresh: bool,
}

/// A control file as it was when read or written: inode, size and time.
type FileStamp = Option<(u64, u64, SystemTime)>;

impl Maildir {
    pub(crate) fn open(dir: Dir, tree: Tree) -> Result<Self, Error> {
        let folders = ensure_maildir(&dir)?;
        let validity = UidValidity::new(1).ok_or(Error::NoMailbox)?;
        let snapshot = Snapshot { uid_validity: validity, uid_next: first_uid()?, messages: Vec::new() };
        let mut this = Self {
            dir,
            folders,
            tree,
            list: UidList::new(validity, ""),
            keywords: Keywords::default(),
            snapshot,
            places: Vec::new(),
            dead: HashSet::new(),
            sizes: HashMap::new(),
            pending: Changes::default(),
            seen: None,
            list_stamp: None,
            keywords_stamp: None,
            fresh: true,
        };
        this.look()?;
        this.pending = Changes::default();
        Ok(this)
    }

    /// What changed since the last call.
    pub(crate) fn refresh(&mut self) -> Result<Changes, Error> {
        self.look()?;
        Ok(std::mem::take(&mut self.pending))
    }

    /// Brings the snapshot up to date; what changed joins `pending`.
    pub(super) fn look(&mut self) -> Result<(), Error> {
        let control = (self.stamp_of(uidlist::FILE)?, self.stamp_of(keywords::FILE)?);
        let same_control = control == (self.list_stamp, self.keywords_stamp);
        if same_control && self.seen.is_some() && self.seen == Some(self.folders.stamp()?) {
            return Ok(());
        }
        self.read_keywords()?;
        self.read_list()?;
        let mut found = self.folders.scan(|| self.known())?;
        self.part_doubles(&mut found)?;
        self.assign_unknown(&found)?;
        self.seen = found.stamp;
        let empty = self.empty_snapshot()?;
        let old = std::mem::replace(&mut self.snapshot, empty);
        self.fill(&mut found);
        self.fresh = false;
        let changes = Changes::between(&old, &self.snapshot);
        if changes.renumbered {
            self.sizes.clear();
        }
        if !changes.vanished.is_empty() {
            self.forget_dead();
        }
        self.pending.merge(changes);
        Ok(())
    }

    /// Where the message is that the caller knows by this uid. Callers know the uids of their last refresh: after
    /// another UIDVALIDITY was found, none of them means anything.
    pub(super) fn index(&self, uid: Uid) -> Option<usize> {
        if self.pending.renumbered { None } else { self.snapshot.index(uid) }
    }

    /// A file was not where it should be: look again, however quiet it seems.
    pub(super) fn look_harder(&mut self) -> Result<(), Error> {
        self.seen = None;
        self.look()
    }

    fn empty_snapshot(&self) -> Result<Snapshot, Error> {
        let uid_next = self.list.next().ok_or_else(|| Error::Damaged("no uids are left".into()))?;
        Ok(Snapshot { uid_validity: self.list.validity, uid_next, messages: Vec::with_capacity(self.places.len()) })
    }

    /// Keys whose files must be found, or surely be gone.
    fn known(&self) -> Vec<(&str, Option<&Place>)> {
        let records = self.list.records().iter();
        let wanted = records.filter_map(|record| match self.snapshot.index(record.uid) {
            Some(at) => Some((record.key(), self.places.get(at))),
            None if self.fresh || record.uid >= self.snapshot.uid_next => Some((record.key(), None)),
            None => None,
        });
        wanted.collect()
    }

    /// Messages and places of all files found, in the order of the list.
    fn fill(&mut self, found: &mut Found) {
        self.places.clear();
        let is_sure = found.stamp.is_some();
        if is_sure {
            self.dead.clear();
        }
        for record in self.list.records() {
            let Some(place) = found.files.remove(record.key()) else {
                self.dead.extend(is_sure.then_some(record.uid));
                continue;
            };
            let flags = name::flags(&place.name, &self.keywords);
            let recent = place.folder == Folder::New;
            self.snapshot.messages.push(Message { uid: record.uid, flags, recent });
            self.places.push(place);
        }
    }

    fn read_keywords(&mut self) -> Result<(), Error> {
        let stamp = self.stamp_of(keywords::FILE)?;
        if stamp != self.keywords_stamp || self.fresh {
            self.keywords = Keywords::read(&self.dir)?;
            self.keywords_stamp = stamp;
        }
        Ok(())
    }

    /// Reads the list where it changed. One that was removed or cannot be understood keeps what we know of it.
    pub(super) fn read_list(&mut self) -> Result<(), Error> {
        let stamp = self.stamp_of(uidlist::FILE)?;
        if stamp == self.list_stamp && !self.fresh {
            return Ok(());
        }
        let text = match control::read(&self.dir, uidlist::FILE)? {
            Some(text) => Some(text),
            None if self.fresh => control::read(&self.dir, uidlist::COURIER)?,
            None => None,
        };
        match text.and_then(|text| UidList::parse(&String::from_utf8_lossy(&text))) {
            Some(list) => self.list = list,
            None if self.fresh => self.list = UidList::new(self.new_validity()?, &self.guid()),
            None => self.list.must_be_rewritten(),
        }
        self.list_stamp = stamp;
        Ok(())
    }

    /// Takes those whose end was told out of the list, so that no other session gives their uids to what comes back. Where
    /// somebody writes the list just now, they are known to this process alone.
    fn forget_dead(&mut self) {
        let Ok(_lock) = LockFile::take(&self.dir, uidlist::LOCK, Duration::ZERO) else { return };
        if self.read_list().is_ok() {
            self.list.forget(&self.dead);
            // What is on disk is read again if this failed.
            let _ = self.write_list(None);
        }
    }

    /// No uid is bound to a file of this key.
    fn is_unknown(&self, key: &str) -> bool {
        self.list.find(key).is_none_or(|record| self.dead.contains(&record.uid))
    }

    /// Gives uids to files that have none, in the order of their arrival.
    fn assign_unknown(&mut self, found: &Found) -> Result<(), Error> {
        if self.list.is_appendable() && !found.files.keys().any(|key| self.is_unknown(key)) {
            return Ok(());
        }
        let lock = match LockFile::take(&self.dir, uidlist::LOCK, self.tree.timeout) {
            Ok(lock) => Some(lock),
            // Read-only media can still be read; the uids last as long as this process.
            Err(Error::ReadOnly(_)) => None,
            Err(error) => return Err(error),
        };
        if lock.is_some() {
            self.read_list()?;
        }
        let mut fresh: Vec<&Place> =
            found.files.iter().filter(|(key, _)| self.is_unknown(key)).map(|(_, place)| place).collect();
        fresh.sort_by(|a, b| (name::arrival(&a.name), &a.name).cmp(&(name::arrival(&b.name), &b.name)));
        // What came back is a new message.
        if fresh.iter().any(|place| self.list.find(&name::key(&place.name)).is_some()) {
            self.list.forget(&self.dead);
        }
        let from = self.list.len();
        for place in fresh {
            self.list.assign(&place.name).ok_or_else(|| Error::Damaged("no uids are left".into()))?;
        }
        if lock.is_none() {
            return Ok(());
        }
        let stale = self.list.len().saturating_sub(found.files.len());
        if found.stamp.is_some() && stale > 100 + found.files.len() / 2 {
            self.list.retain(|key| found.files.contains_key(key));
            return self.write_list(None);
        }
        self.write_list(Some(from))
    }

    /// Puts the list on disk, the lock being held: appends the records from `from`, or writes all of it.
    pub(super) fn write_list(&mut self, from: Option<usize>) -> Result<(), Error> {
        let written = match from {
            Some(from) if self.list.is_appendable() && self.list_stamp.is_some() => self.append_list(from),
            _ => {
                let guid = self.guid();
                self.list.complete(|| guid);
                control::replace(&self.dir, uidlist::FILE, self.list.text().as_bytes())
            }
        };
        if written.is_err() {
            // What is on disk is unknown: read it next time, and do not append to it.
            self.list.must_be_rewritten();
            self.list_stamp = None;
            return written;
        }
        self.list_stamp = self.stamp_of(uidlist::FILE)?;
        Ok(())
    }

    fn append_list(&self, from: usize) -> Result<(), Error> {
        let lines = self.list.tail(from);
        if !lines.is_empty() {
            let file = self.dir.open_file(uidlist::FILE, Access::Append)?;
            file.append(lines.as_bytes())?;
            file.sync()?;
        }
        Ok(())
    }

    fn new_validity(&self) -> Result<UidValidity, Error> {
        match control::next_validity(&self.tree.root) {
            Err(Error::Disk(error)) if error.kind() == io::ErrorKind::PermissionDenied => clock_validity(),
            Err(Error::ReadOnly(_)) => clock_validity(),
            other => other,
        }
    }

    fn guid(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let inode = self.dir.meta().map(|meta| meta.inode).unwrap_or_default();
        format!("{:08x}{:08x}{:08x}{:08x}", now.subsec_nanos(), now.as_secs() as u32, std::process::id(), inode as u32)
    }

    fn stamp_of(&self, file: &str) -> Result<FileStamp, Error> {
        match self.dir.stat(file) {
            Ok(meta) => Ok(Some((meta.inode, meta.size, meta.mtime))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn note_keywords_written(&mut self) -> Result<(), Error> {
        self.keywords_stamp = self.stamp_of(keywords::FILE)?;
        Ok(())
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> Result<Meta, Error> {
        Ok(self.dir.meta()?)
    }

    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// When all letters are taken, those that no message bears are free.
    pub(crate) fn keywords(&self) -> Vec<String> {
        let is_full = self.keywords.is_full();
        self.keywords.names().filter(|name| !is_full || self.bears(name)).map(str::to_owned).collect()
    }

    /// Some message has this keyword.
    pub(super) fn bears(&self, keyword: &str) -> bool {
        self.snapshot.messages.iter().any(|message| message.flags.keywords.contains(keyword))
    }
}

fn first_uid() -> Result<Uid, Error> {
    Uid::new(1).ok_or(Error::NoMessage)
}

fn clock_validity() -> Result<UidValidity, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UidValidity::new(u32::try_from(now).unwrap_or(u32::MAX)).ok_or(Error::NoMailbox)
}
