//! What a sync of a directory is worth on this disk, and files that get their names before they are synced.
//!
//! Syncing a file, then giving it its name, then syncing the directory costs two commits of a file system's journal. One is
//! enough where the journal keeps the order of things: the content is written to the disk and waited for, which brings
//! the file's length and place into the journal, but commits nothing; then the name comes into the journal, after them; the
//! sync of the directory commits all of it, in that order, and empties the disk's cache before.
//!
//! | state | a power cut leaves |
//! |---|---|
//! | written | the old name or none, with anything in the file |
//! | named | that, or the new name and the whole content: the commit with the name holds what came before it |
//! | directory synced | the new name and the whole content |
//!
//! So it is on ext4 and ext3 with a journal, whatever their `data=` mode, and on xfs, which has one always. Of
//! any other file system nothing is assumed: there each file is synced before it is named. ext4 without a journal is one of
//! those; the kernel tells in `/sys/fs/ext4/DEVICE/journal_task` whether somebody writes one.

use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::stat::{fstat, major, minor};
use nix::sys::statfs::{EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, fstatfs};

/// Whether a file system's journal is known to keep the order described above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    KeepsOrder,
    Unknown,
}

impl Journal {
    /// Of the file system that holds this directory.
    pub(crate) fn of(dir: impl AsFd) -> Self {
        let keeps_order = match fstatfs(dir.as_fd()).map(|about| about.filesystem_type()) {
            Ok(XFS_SUPER_MAGIC) => true,
            Ok(EXT4_SUPER_MAGIC) => fstat(dir.as_fd()).is_ok_and(|about| is_written(Path::new("/sys"), about.st_dev)),
            _ => false,
        };
        if keeps_order { Self::KeepsOrder } else { Self::Unknown }
    }
}

/// Whether there is a task that writes the journal of the ext4 on this device: the file holds its number, or `<none>`.
fn is_written(sys: &Path, device: u64) -> bool {
    let number = format!("{}:{}", major(device), minor(device));
    let Ok(disk) = std::fs::read_link(sys.join("dev/block").join(number)) else { return false };
    let Some(name) = disk.file_name() else { return false };
    let task = std::fs::read_to_string(sys.join("fs/ext4").join(name).join("journal_task"));
    task.is_ok_and(|task| task.trim().parse().is_ok_and(|number: u32| number > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_journal_that_is_written_counts() {
        let sys = tempfile::tempdir().expect("tempdir");
        let dir = |path: &str| std::fs::create_dir_all(sys.path().join(path)).expect("made");
        for (minor, name, task) in [(1, "sda1", Some("302\n")), (2, "sda2", Some("<none>\n")), (3, "sda3", None)] {
            dir("dev/block");
            dir(&format!("fs/ext4/{name}"));
            let link = sys.path().join(format!("dev/block/8:{minor}"));
            std::os::unix::fs::symlink(format!("../../devices/pci/block/sda/{name}"), link).expect("link");
            if let Some(task) = task {
                let file = sys.path().join(format!("fs/ext4/{name}/journal_task"));
                std::fs::write(file, task).expect("written");
            }
        }
        let found = |minor| is_written(sys.path(), nix::sys::stat::makedev(8, minor));
        assert_eq!([found(1), found(2), found(3), found(4)], [true, false, false, false]);
    }
}
