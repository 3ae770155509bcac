//! Writing control files: a lock file beside them, a new file under a temporary name, one rename.
//!
//! Locks are Dovecot's: `NAME.lock`, made so that only one can, broken when its holder is gone (see [`crate::holder`]).

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use durable::{Access, Dir};

use crate::{Error, holder};

/// Largest control file that is read.
pub(crate) const LARGEST: u64 = 1 << 30;
const VALIDITY_PATIENCE: Duration = Duration::from_secs(10);

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
            match holder::make(dir, name, 0o600) {
                Ok(Some(_)) => return Ok(Self { dir: dir.clone(), name: name.to_owned() }),
                Ok(None) => {
                    if let Some(_kept) = holder::stale(dir, name) {
                        let _ = dir.unlink(name);
                    }
                }
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

/// A UIDVALIDITY that no mailbox of this tree had: the clock, or one more than the last in `dovecot-uidvalidity`.
///
/// Dovecot keeps the last value as eight hex digits in that file and in the name of an empty one beside it. That one is not
/// synced: the greater of both counts.
pub(crate) fn next_validity(root: &Dir) -> Result<mail::UidValidity, Error> {
    // Sessions that open a new mailbox at the same moment must neither meet in the temporary file nor get one value twice.
    let _lock = LockFile::take(root, &format!("{VALIDITY}.lock"), VALIDITY_PATIENCE)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = u32::try_from(now).unwrap_or(u32::MAX);
    let hex = |text: &str| u32::from_str_radix(text.trim(), 16).ok();
    let from_file = read(root, VALIDITY)?.and_then(|text| hex(&String::from_utf8_lossy(&text)));
    let marks: Vec<String> =
        root.entries()?.into_iter().map(|entry| entry.name).filter(|name| mark(name).is_some()).collect();
    let last = marks.iter().filter_map(|name| mark(name)).chain(from_file).max();
    let value = last.map_or(now, |last| now.max(last.saturating_add(1))).max(1);
    replace(root, VALIDITY, format!("{value:08x}").as_bytes())?;
    let fresh = format!("{VALIDITY}.{value:08x}");
    match marks.first() {
        Some(old) => root.rename(old, root, &fresh)?,
        None => drop(root.create(&fresh, 0o444)?),
    }
    mail::UidValidity::new(value).ok_or_else(|| Error::Damaged(VALIDITY.into()))
}

fn mark(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(VALIDITY)?.strip_prefix('.').filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

const VALIDITY: &str = "dovecot-uidvalidity";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_a_killed_holder_is_broken_at_once() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let dead = child.id();
        child.wait().expect("wait");
        let take = || LockFile::take(&dir, "x.lock", Duration::ZERO);
        for (text, breaks) in [(format!("{dead}\n"), true), (holder::named(), false), (String::new(), false)] {
            dir.create("x.lock", 0o600).and_then(|lock| lock.append(text.as_bytes())).expect("create");
            assert!(take().is_err(), "{text:?}");
            assert_eq!(take().is_ok(), breaks, "{text:?}");
            let _ = dir.unlink("x.lock");
        }
        let held = take().expect("free");
        assert_eq!(std::fs::read_to_string(place.path().join("x.lock")).expect("read"), holder::named());
        drop(held);
        assert!(dir.stat("x.lock").is_err());
    }
}
