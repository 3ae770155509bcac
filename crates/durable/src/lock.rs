//! Locks on files, with a deadline.
//!
//! [`File::lock`] takes an open-file-description record lock on the whole file: it conflicts with the `fcntl` locks of
//! other programs (mbox readers) and, unlike those, also between two openings inside this process. [`File::flock`] takes
//! a BSD lock, for the few formats that want it. Both end when the file is closed. The forgetful disk has one user and
//! grants every lock.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
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
            Lock::Shared => nix::fcntl::FlockArg::LockSharedNonblock,
            Lock::Exclusive => nix::fcntl::FlockArg::LockExclusiveNonblock,
        };
        #[allow(deprecated, reason = "the owning Flock cannot hold a borrowed descriptor; closing the file unlocks")]
        self.locked(patience, |fd| nix::fcntl::flock(fd.as_raw_fd(), how))
    }

    fn locked(&self, patience: Patience, attempt: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>) -> io::Result<()> {
        let Some(fd) = self.fd() else { return Ok(()) };
        let mut pause = Duration::from_millis(1);
        loop {
            match attempt(fd) {
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
