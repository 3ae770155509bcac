//! One commit of a journal for names that many processes gave.
//!
//! Where the journal keeps the order of things ([`crate::journal`]), one commit makes durable all that was done on the file
//! system before it began, whoever did it. So a process that named files may leave the sync to another, which does it for
//! many: it hands over the directory, and promises nothing before it hears that the commit is done.
//!
//! Who commits does not trust who hands over: a call on a directory of a file system that a user serves himself (FUSE) may never
//! return. So nothing is asked of it but its device, which the kernel has at hand, and what is mounted from that device the kernel
//! tells in `/sys` and `/proc`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::stat::{futimens, makedev};
use nix::sys::time::TimeSpec;
use rustix::fs::{AtFlags, FileType, StatxFlags, statx};

use crate::journal;

/// A file system, by its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Volume(u64);

impl Volume {
    /// That of a directory; `None` for anything else.
    #[must_use]
    pub fn of(dir: BorrowedFd<'_>) -> Option<Self> {
        let about = statx(dir, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
        let is_dir = FileType::from_raw_mode(about.stx_mode.into()) == FileType::Directory;
        is_dir.then(|| Self(makedev(about.stx_dev_major.into(), about.stx_dev_minor.into())))
    }

    /// Whether one commit makes durable whatever was done on it before, in order. False also where that cannot be learnt.
    #[must_use]
    pub fn keeps_order(self) -> bool {
        journal::keeps_order(Path::new("/"), self.0)
    }

    /// Makes durable what was done to directories of one volume that [keeps order](Volume::keeps_order) before this call.
    ///
    /// Syncing a directory commits up to the last change of its own, and who handed his over last need not have made his
    /// names last. So the last one is changed once more (the time of its last reading becomes now), after all of them.
    ///
    /// # Errors
    /// The disk's: then of none of them is known whether it is durable.
    pub fn commit(dirs: &[OwnedFd]) -> io::Result<()> {
        let Some(last) = dirs.last() else { return Ok(()) };
        match futimens(last, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_OMIT) {
            Ok(()) => sync(last),
            Err(_) => dirs.iter().try_for_each(sync),
        }
    }
}

fn sync(dir: &OwnedFd) -> io::Result<()> {
    Ok(nix::unistd::fsync(dir.as_fd())?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn directories_have_a_volume_and_files_none() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = File::open(place.path()).expect("opened");
        let file = File::create(place.path().join("file")).expect("created");
        let volume = Volume::of(dir.as_fd()).expect("a directory");
        assert_eq!(volume.0, nix::sys::stat::fstat(&dir).expect("stat").st_dev);
        assert_eq!(Volume::of(file.as_fd()), None);
        let proc = File::open("/proc/self").expect("opened");
        assert!(Volume::of(proc.as_fd()).is_some_and(|volume| !volume.keeps_order()));
    }

    #[test]
    fn a_commit_changes_the_last_directory_first() {
        let places = [(); 2].map(|()| tempfile::tempdir().expect("tempdir"));
        let long_ago = TimeSpec::new(1, 0);
        let dirs: Vec<OwnedFd> = places.iter().map(|place| File::open(place.path()).expect("opened").into()).collect();
        dirs.iter().for_each(|dir| futimens(dir, &long_ago, &long_ago).expect("times set"));
        Volume::commit(&dirs).expect("committed");
        let times =
            dirs.iter().map(|dir| nix::sys::stat::fstat(dir).expect("stat")).map(|stat| (stat.st_atime, stat.st_mtime));
        let [first, last] = times.collect::<Vec<_>>()[..] else { panic!("two") };
        assert_eq!(first, (1, 1));
        assert!(last.0 > 1 && last.1 == 1);
        Volume::commit(&[]).expect("nothing to do");
    }
}
