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
//! those; whether somebody writes one the kernel tells in `/sys/fs/ext4/DEVICE/journal_task`, or, where a container does not show
//! that, in `/proc/fs/jbd2`.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

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
            Ok(EXT4_SUPER_MAGIC) => fstat(dir.as_fd()).is_ok_and(|about| keeps_order(Path::new("/"), about.st_dev)),
            _ => false,
        };
        if keeps_order { Self::KeepsOrder } else { Self::Unknown }
    }
}

/// Whether what is mounted from this device is an ext4 whose journal somebody writes, or an xfs.
pub(crate) fn keeps_order(root: &Path, device: u64) -> bool {
    let number = format!("{}:{}", major(device), minor(device));
    let Ok(disk) = std::fs::read_link(root.join("sys/dev/block").join(number)) else { return false };
    let Some(name) = disk.file_name().and_then(OsStr::to_str) else { return false };
    has_task(root, name) || has_journal_inside(root, name) || xfs(root, name).is_dir()
}

/// There while an xfs of this device is mounted.
fn xfs(root: &Path, name: &str) -> PathBuf {
    root.join("sys/fs/xfs").join(name)
}

/// The file holds the number of the task that writes the journal, or `<none>`.
fn has_task(root: &Path, name: &str) -> bool {
    let task = std::fs::read_to_string(root.join("sys/fs/ext4").join(name).join("journal_task"));
    task.is_ok_and(|task| task.trim().parse().is_ok_and(|number: u32| number > 0))
}

/// A journal that is written has a directory called after the device and the journal's inode on it: `sda1-8`.
fn has_journal_inside(root: &Path, name: &str) -> bool {
    let is_its = |entry: OsString| {
        let inode = entry.to_str().and_then(|entry| entry.strip_prefix(name)?.strip_prefix('-'));
        inode.is_some_and(|inode| inode.parse::<u64>().is_ok())
    };
    let entries = std::fs::read_dir(root.join("proc/fs/jbd2")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(is_its)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_journal_that_is_written_counts() {
        let root = tempfile::tempdir().expect("tempdir");
        let dir = |path: &str| std::fs::create_dir_all(root.path().join(path)).expect("made");
        dir("sys/dev/block");
        dir("proc/fs/jbd2/sda4-8");
        dir("proc/fs/jbd2/sda40-x");
        let tasks =
            [("sda1", Some("302\n")), ("sda2", Some("<none>\n")), ("sda3", None), ("sda4", None), ("sda40", None)];
        for (minor, (name, task)) in (1..).zip(tasks) {
            dir(&format!("sys/fs/ext4/{name}"));
            let link = root.path().join(format!("sys/dev/block/8:{minor}"));
            std::os::unix::fs::symlink(format!("../../devices/pci/block/sda/{name}"), link).expect("link");
            if let Some(task) = task {
                let file = root.path().join(format!("sys/fs/ext4/{name}/journal_task"));
                std::fs::write(file, task).expect("written");
            }
        }
        dir("sys/fs/xfs/sda6");
        let link = root.path().join("sys/dev/block/8:6");
        std::os::unix::fs::symlink("../../devices/pci/block/sda/sda6", link).expect("link");
        let found = [1, 2, 3, 4, 5, 6, 7].map(|minor| keeps_order(root.path(), nix::sys::stat::makedev(8, minor)));
        assert_eq!(found, [true, false, false, true, false, true, false]);
    }
}
