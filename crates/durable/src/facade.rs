//! The methods of [`Dir`] and [`File`]: the raw traits under plain names, and what is built from them.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::disk::{Access, Dir, Entry, File, Meta, RawDir, RawFile, Space};
use crate::octets::Octets;
use crate::real::{RealDir, RealFile};

impl Dir {
    /// The directory at `path` on the real disk. The path comes from the configuration or from `/etc/passwd`, so
    /// symlinks in it are followed; none is followed beneath it.
    ///
    /// # Errors
    /// When it is missing, not a directory, or not allowed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(RealDir::open(path)?)))
    }

    /// A directory that was opened elsewhere, such as one inherited from a parent process.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(Arc::new(RealDir::new(fd)))
    }

    /// A directory of any disk.
    #[must_use]
    pub fn from_raw(raw: Arc<dyn RawDir>) -> Self {
        Self(raw)
    }

    /// An existing directory beneath this one; never a symlink.
    pub fn subdir(&self, name: &str) -> io::Result<Self> {
        self.0.subdir(name).map(Self)
    }

    /// The directory `name`, made durable first when it is missing.
    pub fn ensure_subdir(&self, name: &str, mode: u32) -> io::Result<Self> {
        match self.0.make_dir(name, mode) {
            Ok(()) => self.0.sync()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        self.subdir(name)
    }

    /// Makes a directory; sync this one afterwards.
    pub fn make_dir(&self, name: &str, mode: u32) -> io::Result<()> {
        self.0.make_dir(name, mode)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.0.remove_dir(name)
    }

    /// A new file, open for reading and writing; `AlreadyExists` if the name is taken.
    pub fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        self.0.create(name, mode).map(File)
    }

    /// An existing regular file; never a symlink, a device or a pipe.
    pub fn open_file(&self, name: &str, access: Access) -> io::Result<File> {
        self.0.open(name, access).map(File)
    }

    /// Replaces `to` if it exists. `other` is a directory of the same disk.
    pub fn rename(&self, from: &str, other: &Self, to: &str) -> io::Result<()> {
        self.0.rename(from, &*other.0, to)
    }

    /// As [`Dir::rename`], but fails with `AlreadyExists` instead of replacing.
    pub fn rename_new(&self, from: &str, other: &Self, to: &str) -> io::Result<()> {
        self.0.rename_new(from, &*other.0, to)
    }

    /// A second name for a file.
    pub fn link(&self, from: &str, other: &Self, to: &str) -> io::Result<()> {
        self.0.link(from, &*other.0, to)
    }

    /// Removes a name of a file.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        self.0.unlink(name)
    }

    /// All names, in no order, without `.` and `..`. Names that are not UTF-8 are left out.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        self.0.entries()
    }

    /// What a name stands for, not following a symlink.
    pub fn stat(&self, name: &str) -> io::Result<Meta> {
        self.0.stat(name)
    }

    /// The directory's own stat.
    pub fn meta(&self) -> io::Result<Meta> {
        self.0.meta()
    }

    /// Sets the modification time of a name.
    pub fn set_mtime(&self, name: &str, to: SystemTime) -> io::Result<()> {
        self.0.set_mtime(name, to)
    }

    /// Makes all names of this directory, as they are now, survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    /// As [`Dir::sync`], shared among all clones of this `Dir`: callers that come while a sync runs share the next one.
    pub fn sync_shared(&self) -> io::Result<()> {
        self.0.sync_shared()
    }

    /// The sync of files of this disk that get their names next: whichever of those a power cut leaves stands for the whole
    /// content, and once their directory is synced both are durable. By itself it promises nothing. On a journalled file system
    /// it costs no commit of the journal, see [`crate::journal`]. A file for which it failed is given up.
    #[must_use]
    pub fn sync_before_names(&self, files: &[&File]) -> Vec<io::Result<()>> {
        let files: Vec<_> = files.iter().map(|file| &*file.0).collect();
        self.0.sync_before_names(&files)
    }

    /// Finds out now how names and contents of this disk are synced at the least cost: in a jail it may be too late.
    pub fn learn(&self) {
        self.0.learn();
    }

    /// The descriptor, if somebody else may make the names of this directory durable: [`crate::Volume::commit`].
    #[must_use]
    pub fn left_to_another(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd().filter(|_| self.0.may_be_left())
    }

    /// What is left on the disk: nothing when it is read-only.
    pub fn space(&self) -> io::Result<Space> {
        self.0.space()
    }

    /// The descriptor; `None` on the forgetful disk.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }
}

impl File {
    /// A file that was opened elsewhere, such as a descriptor received from another process.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(Box::new(RealFile::new(fd)))
    }

    /// A file on no disk with this content, for others to read who are given its descriptor; nobody can change it any more
    /// (memfd_create(2)).
    ///
    /// # Errors
    /// When there is no memory for it, or there are no more descriptors.
    pub fn in_memory(content: &[u8]) -> io::Result<Self> {
        let fd = memfd_create(c"facteur", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let file = Self::from_fd(fd);
        file.write_at(content, 0)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(file.lend()?, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(file)
    }

    /// A file on no disk, for us alone to read.
    #[must_use]
    pub fn from_octets(octets: Arc<[u8]>) -> Self {
        Self(Box::new(Octets(octets)))
    }

    /// The content, of a file made of octets alone.
    #[must_use]
    pub fn octets(&self) -> Option<Arc<[u8]>> {
        self.0.octets()
    }

    /// A file of any disk.
    #[must_use]
    pub fn from_raw(raw: Box<dyn RawFile>) -> Self {
        Self(raw)
    }

    /// Reads some octets at `offset`; 0 is the end of the file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    /// Fills `buf` from `offset`, or fails with `UnexpectedEof`.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }

    /// The whole file, if it is not longer than `limit` (else `FileTooLarge`).
    pub fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        let size = self.meta()?.size;
        if size > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut content = vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?];
        self.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Writes all of `buf` at `offset`.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }

    /// Writes all of `buf` at the end of the file; returns where it begins.
    pub fn append(&self, buf: &[u8]) -> io::Result<u64> {
        self.0.append(buf)
    }

    /// Cuts or extends the file.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    /// Makes the content survive a power cut. Once failed, never call it again on this file.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    /// The file's own stat.
    pub fn meta(&self) -> io::Result<Meta> {
        self.0.meta()
    }

    /// The descriptor; `None` on the forgetful disk.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }

    /// A descriptor for another process that reads what the file holds now.
    pub fn lend(&self) -> io::Result<BorrowedFd<'_>> {
        self.0.lend()
    }

    /// Copies the octets of `range` to `to` at `at`, in the kernel where both are real files.
    ///
    /// # Errors
    /// `UnexpectedEof` when this file is shorter; what was written then stays.
    pub fn copy_range(&self, range: Range<u64>, to: &Self, at: u64) -> io::Result<()> {
        crate::copy::range(self, (range.start, range.end.saturating_sub(range.start)), to, at)
    }

    /// `io::Write` at the end of the file.
    #[must_use]
    pub fn writer(&self) -> Writer<'_> {
        Writer(self)
    }
}

/// [`File::append`] as [`io::Write`].
pub struct Writer<'a>(&'a File);

impl io::Write for Writer<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.append(buf).map(|_| buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
