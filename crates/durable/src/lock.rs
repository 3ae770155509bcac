//! Locks on files, with a deadline.
//!
//! [`File::lock`] takes an open-file-description record lock on the whole file: it conflicts with the `fcntl` locks of
//! other programs (mbox readers) and, unlike those, also between two openings inside this process. [`File::flock`] takes
//! a BSD lock, for the few formats that want it; [`hold`] takes one on a file opened elsewhere until it is dropped. All
//! end when the file is closed. The forgetful disk has one user and grants every lock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FlockArg, fcntl};
use nix::libc;

use crate::disk::File;

/// What a lock shuts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Writers.
    Shared,
    /// Everybody; needs a file open for writing.
    Exclusive,
}

/// How long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Once.
    None,
    /// Until this moment.
    Until(Instant),
}

impl Patience {
    /// For this long from now.
    #[must_use]
    pub fn for_duration(duration: Duration) -> Self {
        Instant::now().checked_add(duration).map_or(Self::None, Self::Until)
    }
}

impl File {
    /// A record lock on the whole file.
    ///
    /// # Errors
    /// `WouldBlock` when patience ended first.
    pub fn lock(&self, lock: Lock, patience: Patience) -> io::Result<()> {
        let kind = match lock {
            Lock::Shared => libc::F_RDLCK,
            Lock::Exclusive => libc::F_WRLCK,
        };
        self.locked(patience, |fd| record(fd, kind))
    }

    /// Gives a record lock back; closing the file does too.
    ///
    /// # Errors
    /// When the kernel does not know such locks.
    pub fn unlock(&self) -> io::Result<()> {
        self.locked(Patience::None, |fd| record(fd, libc::F_UNLCK))
    }

    /// A BSD lock.
    ///
    /// # Errors
    /// `WouldBlock` when patience ended first.
    pub fn flock(&self, lock: Lock, patience: Patience) -> io::Result<()> {
        let how = match lock {
            Lock::Shared => FlockArg::LockSharedNonblock,
            Lock::Exclusive => FlockArg::LockExclusiveNonblock,
        };
        self.locked(patience, |fd| flock(fd, how))
    }

    fn locked(&self, patience: Patience, attempt: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>) -> io::Result<()> {
        self.fd().map_or(Ok(()), |fd| tried(patience, || attempt(fd)))
    }
}

/// A shared BSD lock, until it is dropped.
#[derive(Debug)]
pub struct Held<'a>(BorrowedFd<'a>);

/// Takes a shared BSD lock on a file. One opening of a file has one such lock: threads that share it must take turns.
///
/// # Errors
/// `WouldBlock` when patience ended first.
pub fn hold(file: &impl AsFd, patience: Patience) -> io::Result<Held<'_>> {
    let fd = file.as_fd();
    tried(patience, || flock(fd, FlockArg::LockSharedNonblock)).map(|()| Held(fd))
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A lock that is there can be given back.
        let _ = flock(self.0, FlockArg::Unlock);
    }
}

fn tried(patience: Patience, attempt: impl Fn() -> Result<(), Errno>) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN | Errno::EACCES) => {}
            Err(error) => return Err(error.into()),
        }
        let left = match patience {
            Patience::None => Duration::ZERO,
            Patience::Until(end) => end.saturating_duration_since(Instant::now()),
        };
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // The kernel knows no lock with a deadline.
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[allow(deprecated, reason = "the owning Flock cannot hold a borrowed descriptor; closing the file unlocks")]
fn flock(fd: BorrowedFd<'_>, how: FlockArg) -> Result<(), Errno> {
    nix::fcntl::flock(fd.as_raw_fd(), how)
}

fn record(fd: BorrowedFd<'_>, kind: i32) -> Result<(), Errno> {
    let whole = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(fd, FcntlArg::F_OFD_SETLK(&whole)).map(drop)
}
