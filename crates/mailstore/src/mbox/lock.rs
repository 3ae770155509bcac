//! Locks of an mbox in Debian's order (policy 11.6): fcntl first, then the dotlock `NAME.lock`.
//!
//! Programs that lock in the other order exist (procmail), so nobody waits for the second lock while holding the first: both
//! are given back and tried again. Programs that replace the file exist too: after locking, the name must still be the
//! file that was opened, else it is opened again.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use durable::{Access, Dir, File, Kind, Lock, Patience};

use super::tail;
use crate::store::Privileged;
use crate::{Error, holder};

const PAUSE: Duration = Duration::from_millis(5);

/// What to do where there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Create,
    Fail,
}

/// Where an mbox is, and how to lock it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) dir: Dir,
    pub(crate) name: String,
    pub(crate) privileged: Option<Privileged>,
    pub(crate) timeout: Duration,
}

/// An mbox locked for writing. The fields are given up in this order: dotlock, then the file with its fcntl lock.
pub(crate) struct Locked {
    dotlock: Dotlock,
    pub(crate) file: File,
}

struct Dotlock {
    place: Place,
    name: String,
    file: File,
}

impl Locked {
    /// The dotlock, in which [`super::tail`] keeps its notes.
    pub(super) const fn notes(&self) -> &File {
        &self.dotlock.file
    }

    /// Makes the dotlock survive a power cut.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        self.dotlock.place.dir.sync_shared()
    }
}

impl Place {
    /// Opens the file and takes both locks.
    pub(crate) fn lock_to_write(&self, missing: Missing) -> Result<Locked, Error> {
        let end = Instant::now() + self.timeout;
        loop {
            let file = self.open_to_write(missing)?;
            match file.lock(Lock::Exclusive, Patience::Until(end)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Busy),
                other => other?,
            }
            if let Some(dotlock) = self.dotlock(&file)?
                && self.is_still(&file)
            {
                return Ok(Locked { dotlock, file });
            }
            drop(file);
            if Instant::now() >= end {
                return Err(Error::Busy);
            }
            // The kernel wakes nobody when a dotlock goes.
            thread::sleep(PAUSE);
        }
    }

    /// Opens the file with a lock against writers; `None` when there is none.
    pub(crate) fn lock_to_read(&self) -> Result<Option<File>, Error> {
        let end = Instant::now() + self.timeout;
        loop {
            let file = match self.dir.open_file(&self.name, Access::Read) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            match file.lock(Lock::Shared, Patience::Until(end)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Error::Busy),
                other => other?,
            }
            if self.is_still(&file) {
                return Ok(Some(file));
            }
            if Instant::now() >= end {
                return Err(Error::Busy);
            }
        }
    }

    fn open_to_write(&self, missing: Missing) -> Result<File, Error> {
        let file = match self.dir.open_file(&self.name, Access::ReadWrite) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Create => self.create()?,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::ReadOnly(format!("{}: {error}", self.name)));
            }
            Err(error) => return Err(error.into()),
        };
        let meta = file.meta()?;
        if meta.kind != Kind::File || meta.links > 1 {
            return Err(Error::Unsafe(format!("{} is not a plain file with one name", self.name)));
        }
        if meta.uid != nix::unistd::geteuid().as_raw() {
            return Err(Error::Unsafe(format!("{} belongs to user {}", self.name, meta.uid)));
        }
        Ok(file)
    }

    /// An empty file; its name is synced with the notes of its first message.
    fn create(&self) -> Result<File, Error> {
        match self.with_privilege(|| self.dir.create(&self.name, 0o660).map(drop)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            other => other.map_err(|error| self.refused(error))?,
        }
        Ok(self.dir.open_file(&self.name, Access::ReadWrite)?)
    }

    /// Makes the dotlock for this file, on which we have the other lock; `None` while somebody else has it.
    fn dotlock(&self, file: &File) -> Result<Option<Dotlock>, Error> {
        let name = self.dotlock_name();
        let mut made = None;
        self.with_privilege(|| {
            made = holder::make(&self.dir, &name, 0o644)?;
            Ok(())
        })
        .map_err(|error| self.refused(error))?;
        if made.is_none() {
            self.break_stale(&name, file)?;
        }
        Ok(made.map(|made| Dotlock { place: self.clone(), name, file: made }))
    }

    fn dotlock_name(&self) -> String {
        format!("{}.lock", self.name)
    }

    /// Whether a writer that is gone left its dotlock, and perhaps a part of a message.
    pub(crate) fn is_left_locked(&self) -> bool {
        holder::stale(&self.dir, &self.dotlock_name()).is_some_and(|stale| stale.is_gone)
    }

    /// A dotlock that cannot be removed keeps us out like a directory in which none can be made.
    fn break_stale(&self, name: &str, file: &File) -> Result<(), Error> {
        let Some(stale) = holder::stale(&self.dir, name) else { return Ok(()) };
        if stale.is_gone && self.is_still(file) {
            tail::repair(&stale.file, file)?;
        }
        match self.with_privilege(|| self.dir.unlink(name)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(self.refused(error)),
            _ => Ok(()),
        }
    }

    /// Removes what writers of this mbox left that were killed on the way to the dotlock.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        let lock = self.dotlock_name();
        for name in holder::left_behind(&self.dir, &lock)? {
            let _ = self.with_privilege(|| self.dir.unlink(&name));
        }
        Ok(())
    }

    /// Does it as we are; where that is not allowed, with the group that may write the spool.
    pub(crate) fn with_privilege(&self, mut action: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        match (action(), &self.privileged) {
            (Err(error), Some(privileged)) if error.kind() == io::ErrorKind::PermissionDenied => {
                privileged(&mut action)
            }
            (result, _) => result,
        }
    }

    fn refused(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::PermissionDenied {
            let what = "no file can be made in its directory (is mail_privileged_group the group of the directory?)";
            return Error::ReadOnly(format!("{}: {what}", self.name));
        }
        error.into()
    }

    fn is_still(&self, file: &File) -> bool {
        match (self.dir.stat(&self.name), file.meta()) {
            (Ok(named), Ok(open)) => {
                named.kind == Kind::File && (named.inode, named.device) == (open.inode, open.device)
            }
            _ => false,
        }
    }
}

impl Drop for Dotlock {
    fn drop(&mut self) {
        let _ = self.place.with_privilege(|| self.place.dir.unlink(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_empty_lock_of_before_this_boot_is_broken() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        let mbox = Place { dir: dir.clone(), name: "kevin".into(), privileged: None, timeout: Duration::ZERO };
        let file = dir.create("kevin", 0o600).expect("create");
        let before = SystemTime::now() - holder::uptime() - Duration::from_secs(1);
        for (text, then, taken) in [("", before, true), ("", SystemTime::now(), false), ("0", SystemTime::now(), false)]
        {
            dir.create("kevin.lock", 0o644).and_then(|lock| lock.append(text.as_bytes())).expect("create");
            dir.set_mtime("kevin.lock", then).expect("mtime");
            assert!(mbox.dotlock(&file).expect("dotlock").is_none());
            assert_eq!(mbox.dotlock(&file).expect("dotlock").is_some(), taken, "{text:?} {then:?}");
            let _ = dir.unlink("kevin.lock");
        }
    }
}
