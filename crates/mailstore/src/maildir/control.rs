//! Writing control files: a lock file beside them, a new file under a temporary name, one rename.
//!
//! Locks are Dovecot's: `NAME.lock`, made so that only one can, broken when it is older than two minutes.

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use durable::{Access, Dir};

use crate::Error;

/// Largest control file that is read.
pub(crate) const LARGEST: u64 = 1 << 30;
const STALE: Duration = Duration::from_secs(120);

/// A held lock file; removed when dropped.
pub(crate) struct LockFile {
    dir: Dir,
    name: String,
}

impl LockFile {
    /// Makes `name`, waiting for who has it.
    pub(crate) fn take(dir: &Dir, name: &str, patience: Duration) -> Result<Self, Error> {
        let end = Instant::now() + patience;
        loop {
            match dir.create(name, 0o600) {
                Ok(_) => return Ok(Self { dir: dir.clone(), name: name.to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break_stale(dir, name),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Error::ReadOnly(format!("{name}: {error}")));
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= end {
                return Err(Error::Busy);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = self.dir.unlink(&self.name);
    }
}

fn break_stale(dir: &Dir, name: &str) {
    let Ok(meta) = dir.stat(name) else { return };
    let age = SystemTime::now().duration_since(meta.mtime).unwrap_or_default();
    if age > STALE {
        let _ = dir.unlink(name);
    }
}

/// Replaces the control file `name`: after a crash there is the old one or the new one, whole.
pub(crate) fn replace(dir: &Dir, name: &str, content: &[u8]) -> Result<(), Error> {
    let temporary = format!("{name}.tmp");
    match dir.unlink(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => (),
    }
    let file = dir.create(&temporary, 0o600)?;
    let written = file.append(content).and_then(|_| file.sync()).and_then(|()| dir.rename(&temporary, dir, name));
    if let Err(error) = written {
        let _ = dir.unlink(&temporary);
        return Err(error.into());
    }
    dir.sync_shared()?;
    Ok(())
}

/// The content of a control file; `None` when there is none.
pub(crate) fn read(dir: &Dir, name: &str) -> Result<Option<Vec<u8>>, Error> {
    match dir.open_file(name, Access::Read) {
        Ok(file) => Ok(Some(file.read_all(LARGEST)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
