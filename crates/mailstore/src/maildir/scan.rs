//! Looking at `new/` and `cur/` while other programs rename, add and remove files.
//!
//! A file renamed while a directory is read can be missed. So a message that was known and is not found counts as gone
//! only after a look during which the directories did not change, and whose last change lies far enough back that the
//! kernel's clock (a tick of up to 10 ms) would have shown another one.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, SystemTime};

use durable::{Dir, Kind, Meta};

use super::delivery::Folders;
use super::name;
use crate::Error;

const TICK: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(2);
const ATTEMPTS: u32 = 12;

/// Where a message's file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) folder: Folder,
}

/// Which of the two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    New,
    Cur,
}

/// What both directories looked like at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    new: (SystemTime, u64),
    cur: (SystemTime, u64),
}

/// What a look found.
pub(crate) struct Found {
    /// By key of the name.
    pub(crate) files: HashMap<String, Place>,
    /// More files of the same keys. In a disturbed look one file may show under two names.
    pub(crate) doubles: Vec<Place>,
    /// The state of the directories this shows; `None` when they may have changed during the look.
    pub(crate) stamp: Option<Stamp>,
}

impl Folders {
    pub(crate) fn dir(&self, folder: Folder) -> &Dir {
        match folder {
            Folder::New => &self.new,
            Folder::Cur => &self.cur,
        }
    }

    /// Makes what was done in these folders survive a power cut.
    pub(crate) fn sync(&self, changed: &[Folder]) -> Result<(), Error> {
        for folder in [Folder::New, Folder::Cur] {
            if changed.contains(&folder) {
                self.dir(folder).sync_shared()?;
            }
        }
        Ok(())
    }

    pub(crate) fn stamp(&self) -> Result<Stamp, Error> {
        let of = |meta: Meta| (meta.mtime, meta.inode);
        Ok(Stamp { new: of(self.new.meta()?), cur: of(self.cur.meta()?) })
    }

    /// All files; the `known` ones among them for sure.
    pub(crate) fn scan<'a>(&self, known: impl Fn() -> Vec<(&'a str, Option<&'a Place>)>) -> Result<Found, Error> {
        let mut attempt = 0;
        loop {
            let before = self.stamp()?;
            let (files, doubles) = self.list()?;
            let mut found = Found { files, doubles, stamp: None };
            let quiet = before == self.stamp()? && before.is_settled(attempt);
            found.stamp = quiet.then_some(before);
            let known = known();
            let missing = || known.iter().filter(|(key, _)| !found.files.contains_key(*key));
            if quiet || found.doubles.is_empty() && missing().next().is_none() {
                return Ok(found);
            }
            attempt += 1;
            if attempt >= ATTEMPTS {
                // Never quiet: better to believe for now that they are where they were.
                let kept: Vec<_> =
                    missing().filter_map(|(key, place)| Some(((*key).to_owned(), (*place)?.clone()))).collect();
                found.files.extend(kept);
                return Ok(found);
            }
            thread::sleep(PAUSE);
        }
    }

    /// `new/` first: a file moved to `cur/` meanwhile is then seen there.
    fn list(&self) -> Result<(HashMap<String, Place>, Vec<Place>), Error> {
        let (mut files, mut doubles) = (HashMap::new(), Vec::new());
        for folder in [Folder::New, Folder::Cur] {
            let entries = self.dir(folder).entries()?;
            files.reserve(entries.len());
            for entry in entries {
                if entry.name.starts_with('.') || matches!(entry.kind, Kind::Dir | Kind::Symlink) {
                    continue;
                }
                let key = name::key(&entry.name).into_owned();
                doubles.extend(files.insert(key, Place { name: entry.name, folder }));
            }
        }
        Ok((files, doubles))
    }
}

impl Stamp {
    /// Whether a change after this stamp would show. A stamp from the future (a clock was set back) counts after two looks.
    fn is_settled(&self, attempt: u32) -> bool {
        match SystemTime::now().duration_since(self.new.0.max(self.cur.0)) {
            Ok(age) => age > TICK,
            Err(_) => attempt >= 2,
        }
    }
}
