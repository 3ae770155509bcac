//! Directories and files as the rest of Facteur sees them.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::SystemTime;

/// An open directory, cheap to clone. Names hold no slash.
#[derive(Clone)]
pub struct Dir(pub(crate) Arc<dyn RawDir>);

/// An open file.
pub struct File(pub(crate) Box<dyn RawFile>);

/// What opening an existing file allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
    /// Every write goes to the end.
    Append,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Symlink,
    Other,
}

/// One name in a directory, as `readdir` tells it (no `.` and `..`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub kind: Kind,
}

/// What `stat` tells, never following a symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub kind: Kind,
    pub size: u64,
    pub mtime: SystemTime,
    pub inode: u64,
    pub device: u64,
    pub links: u64,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// What is free on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub bytes: u64,
    pub inodes: u64,
}

/// The directory half of a disk.
pub trait RawDir: Send + Sync {
    /// An existing directory beneath this one; never a symlink.
    fn subdir(&self, name: &str) -> io::Result<Arc<dyn RawDir>>;
    /// Makes a directory; the caller syncs this one.
    fn make_dir(&self, name: &str, mode: u32) -> io::Result<()>;
    fn remove_dir(&self, name: &str) -> io::Result<()>;
    /// A new file, open for reading and writing; fails if the name exists.
    fn create(&self, name: &str, mode: u32) -> io::Result<Box<dyn RawFile>>;
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn RawFile>>;
    /// Replaces `to` if it exists. `other` is a directory of the same disk.
    fn rename(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()>;
    /// As rename, but fails with `AlreadyExists` instead of replacing.
    fn rename_new(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()>;
    fn link(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()>;
    fn unlink(&self, name: &str) -> io::Result<()>;
    fn entries(&self) -> io::Result<Vec<Entry>>;
    fn stat(&self, name: &str) -> io::Result<Meta>;
    /// The directory's own stat (its mtime shows that names changed).
    fn meta(&self) -> io::Result<Meta>;
    fn set_mtime(&self, name: &str, to: SystemTime) -> io::Result<()>;
    /// Makes all names of this directory, as they are now, survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// As `sync`; callers that come while one runs share the next one.
    fn sync_shared(&self) -> io::Result<()>;
    /// Has the content of these files of this disk survive a power cut if names do that they get afterwards: see
    /// [`crate::Dir::sync_before_names`].
    fn sync_before_names(&self, files: &[&dyn RawFile]) -> Vec<io::Result<()>>;
    /// Finds out now what [`RawDir::sync_before_names`] needs to know.
    fn learn(&self) {}
    /// Whether [`crate::Volume::commit`] of this directory by another process is as good as `sync`.
    fn may_be_left(&self) -> bool {
        false
    }
    /// What is left on the disk for an unprivileged writer.
    fn space(&self) -> io::Result<Space>;
    /// The descriptor, for a watch or a jail; the forgetful disk has none.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
    /// For `rename` between directories.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// The file half of a disk.
pub trait RawFile: Send + Sync {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at the end of the file; returns where it begins.
    fn append(&self, buf: &[u8]) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the content survive a power cut. Once failed, never call it again on this file.
    fn sync(&self) -> io::Result<()>;
    /// For [`RawDir::sync_before_names`] of one file, where that is possible.
    fn written(&self) -> io::Result<()>;
    fn meta(&self) -> io::Result<Meta>;
    /// The descriptor, to be passed to another process or locked; the forgetful disk has none.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
    /// A descriptor for somebody who reads what the file holds now; the forgetful disk gives one of a copy.
    fn lend(&self) -> io::Result<BorrowedFd<'_>>;
    /// All of it, of a file that is no more than that.
    fn octets(&self) -> Option<Arc<[u8]>> {
        None
    }
}
