//! The real disk: descriptors, `openat2` beneath a directory, no symlinks.
//!
//! Every name is one component, so that `openat` with `O_NOFOLLOW` says the same as `openat2`; it stands in on kernels and
//! under filters without the latter.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fstatat, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::UnlinkatFlags;

use crate::disk::{Access, Entry, Kind, Meta, RawDir, RawFile, Space};
use crate::group::Group;
use crate::journal::Journal;
use crate::volume::Volume;

/// A directory by its descriptor.
pub struct RealDir {
    fd: OwnedFd,
    syncs: Group,
    journal: OnceLock<Journal>,
    may_be_left: OnceLock<bool>,
}

/// A file by its descriptor.
pub struct RealFile {
    file: std::fs::File,
}

impl RealDir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        Ok(Self::new(nix::fcntl::open(path, flags, Mode::empty())?))
    }

    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, syncs: Group::default(), journal: OnceLock::new(), may_be_left: OnceLock::new() }
    }

    fn journal(&self) -> Journal {
        *self.journal.get_or_init(|| Journal::of(&self.fd))
    }

    fn beneath(&self, name: &str, flags: OFlag, mode: u32) -> io::Result<OwnedFd> {
        static NO_OPENAT2: AtomicBool = AtomicBool::new(false);
        let name = checked(name)?;
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        let mode = Mode::from_bits_truncate(mode);
        if !NO_OPENAT2.load(Ordering::Relaxed) {
            let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
            let how = OpenHow::new().flags(flags).mode(mode).resolve(resolve);
            match retried(|| nix::fcntl::openat2(&self.fd, name, how)) {
                Err(Errno::ENOSYS) => NO_OPENAT2.store(true, Ordering::Relaxed),
                Err(Errno::EPERM) => {}
                done => return Ok(done?),
            }
        }
        Ok(retried(|| nix::fcntl::openat(&self.fd, name, flags, mode))?)
    }

    fn renamed(&self, from: &str, (other, to): (&dyn RawDir, &str), how: RenameFlags) -> io::Result<()> {
        let (from, to, other) = (checked(from)?, checked(to)?, same_disk(other)?);
        Ok(nix::fcntl::renameat2(&self.fd, from, &other.fd, to, how)?)
    }
}

impl RawDir for RealDir {
    fn subdir(&self, name: &str) -> io::Result<Arc<dyn RawDir>> {
        Ok(Arc::new(Self::new(self.beneath(name, OFlag::O_DIRECTORY | OFlag::O_RDONLY, 0)?)))
    }

    fn make_dir(&self, name: &str, mode: u32) -> io::Result<()> {
        Ok(mkdirat(&self.fd, checked(name)?, Mode::from_bits_truncate(mode))?)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(nix::unistd::unlinkat(&self.fd, checked(name)?, UnlinkatFlags::RemoveDir)?)
    }

    fn create(&self, name: &str, mode: u32) -> io::Result<Box<dyn RawFile>> {
        let fd = self.beneath(name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR, mode)?;
        Ok(Box::new(RealFile::new(fd)))
    }

    /// `O_NONBLOCK` so that a pipe put in a file's place is refused instead of waited for.
    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn RawFile>> {
        let flags = match access {
            Access::Read => OFlag::O_RDONLY,
            Access::ReadWrite => OFlag::O_RDWR,
            Access::Append => OFlag::O_RDWR | OFlag::O_APPEND,
        };
        let file = RealFile::new(self.beneath(name, flags | OFlag::O_NONBLOCK, 0)?);
        match file.meta()?.kind {
            Kind::File => Ok(Box::new(file)),
            Kind::Dir => Err(io::ErrorKind::IsADirectory.into()),
            Kind::Symlink | Kind::Other => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    fn rename(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()> {
        self.renamed(from, (other, to), RenameFlags::empty())
    }

    /// Where the file system knows no `RENAME_NOREPLACE`: a link, which never replaces, then the old name goes. A
    /// crash between leaves both names.
    fn rename_new(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()> {
        match self.renamed(from, (other, to), RenameFlags::RENAME_NOREPLACE) {
            Err(error) if matches!(error.raw_os_error(), Some(nix::libc::EINVAL | nix::libc::ENOSYS)) => {
                self.link(from, other, to)?;
                self.unlink(from)
            }
            done => done,
        }
    }

    fn link(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()> {
        let (from, to, other) = (checked(from)?, checked(to)?, same_disk(other)?);
        Ok(nix::unistd::linkat(&self.fd, from, &other.fd, to, AtFlags::empty())?)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(nix::unistd::unlinkat(&self.fd, checked(name)?, UnlinkatFlags::NoRemoveDir)?)
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        // An opening of its own: the read position belongs to the opening, and this Dir is shared between threads.
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let mut listing = nix::dir::Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in listing.iter() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::File) => Kind::File,
                Some(Type::Directory) => Kind::Dir,
                Some(Type::Symlink) => Kind::Symlink,
                Some(_) => Kind::Other,
                None => match self.stat(name) {
                    Ok(meta) => meta.kind,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                },
            };
            entries.push(Entry { name: name.to_owned(), kind });
        }
        Ok(entries)
    }

    fn stat(&self, name: &str) -> io::Result<Meta> {
        Ok(meta(&fstatat(&self.fd, checked(name)?, AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    fn meta(&self) -> io::Result<Meta> {
        Ok(meta(&nix::sys::stat::fstat(&self.fd)?))
    }

    fn set_mtime(&self, name: &str, to: SystemTime) -> io::Result<()> {
        let since = to.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (mtime, atime) = (TimeSpec::from_duration(since), TimeSpec::UTIME_OMIT);
        Ok(utimensat(&self.fd, checked(name)?, &atime, &mtime, UtimensatFlags::NoFollowSymlink)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.fd)?)
    }

    fn sync_shared(&self) -> io::Result<()> {
        self.syncs.run(|| {
            let_others_come_first();
            self.sync()
        })
    }

    fn sync_before_names(&self, files: &[&dyn RawFile]) -> Vec<io::Result<()>> {
        if files.len() > 1 {
            files.iter().filter_map(|file| file.fd()).for_each(begin_writing);
        }
        match self.journal() {
            Journal::KeepsOrder => files.iter().map(|file| file.written()).collect(),
            Journal::Unknown => sync_at_once(files),
        }
    }

    fn learn(&self) {
        self.journal();
    }

    fn may_be_left(&self) -> bool {
        *self.may_be_left.get_or_init(|| Volume::of(self.fd.as_fd()).is_some_and(Volume::keeps_order))
    }

    fn space(&self) -> io::Result<Space> {
        let free = nix::sys::statvfs::fstatvfs(&self.fd)?;
        if free.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY) {
            return Ok(Space { bytes: 0, inodes: 0 });
        }
        let bytes = free.blocks_available().saturating_mul(free.fragment_size());
        // File systems without an inode table say 0 of 0.
        let inodes = if free.files() == 0 { u64::MAX } else { free.files_available() };
        Ok(Space { bytes, inodes })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl RealFile {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { file: fd.into() }
    }
}

impl RawFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }

    /// With `O_APPEND` the kernel ignores the offset and writes at the end.
    fn append(&self, buf: &[u8]) -> io::Result<u64> {
        let end = self.file.metadata()?.len();
        self.file.write_all_at(buf, end)?;
        Ok(end)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// `fdatasync`: the length is part of what is needed to read the content back, times are not.
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn written(&self) -> io::Result<()> {
        sys::write(self.file.as_fd())
    }

    fn meta(&self) -> io::Result<Meta> {
        Ok(meta(&nix::sys::stat::fstat(&self.file)?))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn lend(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.file.as_fd())
    }
}

/// Lets others who are ready to run, in whatever program, do so: what they name meanwhile is in the same commit of the journal as
/// what we named, and one commit is done for all. Where nobody is ready it returns at once; it is no wait for time to pass.
fn let_others_come_first() {
    let began = Instant::now();
    for _ in 0..TURNS {
        std::thread::yield_now();
        if began.elapsed() > LONG {
            break;
        }
    }
}

/// Has the disk begin with this file while those before it are waited for; what is wrong with it is told then.
fn begin_writing(file: BorrowedFd<'_>) {
    let _ = sys::begin_writing(file);
}

/// Syncs files side by side, so that a slow disk makes nobody wait for all of them in turn. Where there can be no more
/// threads, fewer do it.
fn sync_at_once(files: &[&dyn RawFile]) -> Vec<io::Result<()>> {
    let outcomes: Vec<OnceLock<io::Result<()>>> = files.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((file, outcome)) = files.iter().zip(&outcomes).nth(next.fetch_add(1, Ordering::Relaxed)) {
            let _ = outcome.set(file.sync());
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..files.len().min(AT_ONCE) {
            if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    outcomes
        .into_iter()
        .map(|outcome| outcome.into_inner().unwrap_or_else(|| Err(io::ErrorKind::Other.into())))
        .collect()
}

fn retried<T>(call: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            // openat2 may say EAGAIN when a rename elsewhere raced with its walk.
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            done => return done,
        }
    }
}

/// A name that cannot lead out of its directory.
pub(crate) fn checked(name: &str) -> io::Result<&OsStr> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name in a directory"));
    }
    Ok(OsStr::new(name))
}

fn same_disk(other: &dyn RawDir) -> io::Result<&RealDir> {
    other.as_any().downcast_ref().ok_or_else(|| io::ErrorKind::CrossesDevices.into())
}

// The count of links has 32 bits on arm64, 64 on amd64.
#[allow(clippy::useless_conversion, reason = "on amd64 only")]
fn meta(stat: &FileStat) -> Meta {
    let kind = match stat.st_mode & nix::libc::S_IFMT {
        nix::libc::S_IFREG => Kind::File,
        nix::libc::S_IFDIR => Kind::Dir,
        nix::libc::S_IFLNK => Kind::Symlink,
        _ => Kind::Other,
    };
    Meta {
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        inode: stat.st_ino,
        device: stat.st_dev,
        links: u64::from(stat.st_nlink),
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
    }
}

fn time(seconds: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + nanos,
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}

/// How often others come first, and how long they may take: those who compute for long have no names to give.
const TURNS: usize = 4;
const LONG: Duration = Duration::from_millis(2);
/// The most syncs at a time.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests;
