//! A whole file system, to be synced for many who write to it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::{major, minor};

use crate::forgetful::Forgetful;

/// A mounted file system on a disk of this machine.
pub struct FileSystem {
    root: Root,
    rests_until: Option<Instant>,
    failed: bool,
}

enum Root {
    Real(File),
    /// A test's.
    Forgetful(Forgetful),
}

impl FileSystem {
    pub(crate) fn forgetful(disk: Forgetful) -> Self {
        Self { root: Root::Forgetful(disk), rests_until: None, failed: false }
    }

    /// The file system with this device number. `None`: there is none whose sync is known to be worth something, or that
    /// can be looked at.
    #[must_use]
    pub fn of(device: u64) -> Option<Self> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let root = File::open(mounted(&table, device)?).ok()?;
        Some(Self { root: Root::Real(root), rests_until: None, failed: false })
    }

    /// Makes everything survive a power cut that was written to it before. `None`: it is better done file by file, because
    /// the last time took long (what others have written hangs on it), or failed: the kernel tells of a write error only once,
    /// and then nobody knows whom it concerned.
    pub fn sync(&mut self) -> Option<io::Result<()>> {
        if self.failed || self.rests_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let begin = Instant::now();
        let synced = match &self.root {
            Root::Real(root) => nix::unistd::syncfs(root).map_err(io::Error::from),
            Root::Forgetful(disk) => disk.sync_all(),
        };
        let took = begin.elapsed();
        self.failed = synced.is_err();
        self.rests_until = (took > SLOW).then(|| Instant::now() + (took * RESTS).max(REST));
        Some(synced)
    }
}

/// A place where this device is mounted, by the kernel's table (proc(5)): `36 35 98:0 / /mnt rw - ext4 /dev/sda1 rw`.
fn mounted(table: &str, device: u64) -> Option<PathBuf> {
    let number = format!("{}:{}", major(device), minor(device));
    table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let right = fields.next()? == number && KINDS.contains(&kind.split(' ').next()?);
        let place = fields.nth(1)?;
        // A place with a space in it is written in octal: it is left alone.
        (right && !place.contains('\\')).then(|| Path::new(place).to_owned())
    })
}

/// Whose `syncfs` waits for the disk and says how it went.
const KINDS: [&str; 5] = ["ext4", "ext3", "ext2", "xfs", "f2fs"];
/// A sync that takes longer writes out what is not ours.
const SLOW: Duration = Duration::from_millis(250);
/// For so many times as long it is not tried again, and for this long at least.
const RESTS: u32 = 20;
const REST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_device_is_found() {
        let table = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     23 22 0:21 / /proc rw - proc proc rw\n\
                     30 22 8:1 / /my\\040home rw - ext4 /dev/sda1 rw\n\
                     31 22 8:1 /x /srv/mail rw master:2 - ext4 /dev/sda1 rw\n\
                     32 22 0:55 / /home/kevin/remote rw - fuse.sshfs there: rw\n";
        let find = |major, minor| mounted(table, nix::sys::stat::makedev(major, minor));
        assert_eq!(find(254, 0), Some("/".into()));
        assert_eq!(find(8, 1), Some("/srv/mail".into()));
        assert_eq!(find(0, 55), None, "a user's own file system is not waited for");
        assert_eq!(find(9, 9), None);
    }
}
