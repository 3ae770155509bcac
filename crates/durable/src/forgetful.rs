//! A disk in memory that forgets what was not synced, for tests of every commit path.
//!
//! Every change and every sync is one numbered step. [`Forgetful::cut_at`] cuts the power before a step: from then on every
//! operation fails, and [`Forgetful::survivor`] is the disk as the next start finds it. What was synced is there; of the
//! rest either nothing ([`Survival::Synced`]) or a random part ([`Survival::Seeded`]): some directory changes and not
//! others, some writes whole, torn or missing, lengths grown over octets that never came. One thing holds as on every
//! journalled file system: a rename may leave both names, never none.
//!
//! [`at_every_step`] runs a closure with the power cut at each of its steps and hands what survived to a check;
//! [`needless_syncs`] leaves out one sync after the other and tells which of them the check does not miss.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use crate::disk::{Access, Dir, Entry, File, Kind, Meta, RawDir, RawFile, Space};

mod survive;
mod world;

use world::{DataChange, NameChange, Node, World};

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct Forgetful(Arc<Mutex<World>>);

/// What of the unsynced changes is there after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Synced,
    /// A random part, drawn from this seed.
    Seeded(u64),
    /// Everything that happened before the cut, as after `kill -9` of the program.
    Everything,
}

/// When and how the power was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first step that did not happen, from 0.
    pub step: u64,
    /// What survived of the steps before.
    pub survival: Survival,
}

/// The syncs of `run` that can be left out without the check failing: each that is in the code should be missed. A check
/// fails by a panic.
pub fn needless_syncs<T>(
    seeds: u64,
    prepare: impl Fn(&Dir),
    run: impl Fn(&Dir) -> T,
    check: impl Fn(Cut, &T, &Dir),
) -> Vec<String> {
    let disk = Forgetful::default();
    prepare(&disk.root());
    disk.settle();
    let begin = disk.steps();
    run(&disk.root());
    let syncs = disk.world().syncs.split_off(&begin);
    let is_missed = |step: u64| {
        let tried = || cut_everywhere((seeds, Some(step - begin)), &prepare, &run, &check);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(tried)).is_err()
    };
    let needless = syncs.into_iter().filter(|(step, _)| !is_missed(*step));
    needless.map(|(step, what)| format!("step {} syncs {what}", step - begin)).collect()
}

/// [`at_every_step`], and then again with each sync left out in turn, which the check must miss.
///
/// # Panics
/// When a sync is not missed: it is not needed, or not tested.
pub fn at_every_step_and_sync<T>(
    seeds: u64,
    prepare: impl Fn(&Dir),
    run: impl Fn(&Dir) -> T,
    check: impl Fn(Cut, &T, &Dir),
) -> u64 {
    let steps = at_every_step(seeds, &prepare, &run, &check);
    assert_eq!(needless_syncs(seeds, prepare, run, check), [""; 0], "not missed when left out");
    steps
}

/// Runs `run` on what `prepare` made, once whole and once with the power cut at each of its steps, each for `seeds` random
/// survivals, for the one where nothing unsynced survives, and for the one where all does. `check` gets what
/// `run` returned (what it had promised by then) and the disk as it survived. Returns the number of steps of a whole run.
pub fn at_every_step<T>(
    seeds: u64,
    prepare: impl Fn(&Dir),
    run: impl Fn(&Dir) -> T,
    check: impl Fn(Cut, &T, &Dir),
) -> u64 {
    cut_everywhere((seeds, None), &prepare, &run, &check)
}

fn cut_everywhere<T>(
    (seeds, lie): (u64, Option<u64>),
    prepare: &impl Fn(&Dir),
    run: &impl Fn(&Dir) -> T,
    check: &impl Fn(Cut, &T, &Dir),
) -> u64 {
    let mut step = 0;
    loop {
        let disk = Forgetful::default();
        prepare(&disk.root());
        disk.settle();
        let begin = disk.steps();
        disk.cut_at(begin + step);
        disk.world().lie = lie.map(|step| begin + step);
        let promised = run(&disk.root());
        let ends = [Survival::Synced, Survival::Everything];
        for survival in ends.into_iter().chain((0..seeds).map(|n| Survival::Seeded(n ^ step.rotate_left(32)))) {
            check(Cut { step, survival }, &promised, &disk.survivor(survival).root());
        }
        if !disk.is_cut() {
            return disk.steps() - begin;
        }
        step += 1;
    }
}

impl Forgetful {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The top directory.
    #[must_use]
    pub fn root(&self) -> Dir {
        Dir::from_raw(Arc::new(FakeDir { disk: self.clone(), node: world::ROOT }))
    }

    /// How many steps have happened.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.world().steps
    }

    /// Cuts the power before the step of this number (from 0).
    pub fn cut_at(&self, step: u64) {
        self.world().cut_at = Some(step);
    }

    /// Whether the power has been cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.world().cut
    }

    /// Everything up to now survives.
    pub fn settle(&self) {
        self.world().settle();
    }

    /// Lets the step of this number fail with `errno`; the disk goes on. A sync that fails so loses what it was to keep.
    pub fn fail_at(&self, step: u64, errno: i32) {
        self.world().failures.insert(step, errno);
    }

    /// From now on only this many octets more can be written; then `ENOSPC`, after a short write.
    pub fn set_space(&self, octets: Option<u64>) {
        self.world().space = octets;
    }

    /// The disk as the next start finds it.
    #[must_use]
    pub fn survivor(&self, survival: Survival) -> Self {
        Self(Arc::new(Mutex::new(self.world().survivor(survival))))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct FakeDir {
    disk: Forgetful,
    node: usize,
}

struct FakeFile {
    disk: Forgetful,
    node: usize,
    lent: OnceLock<OwnedFd>,
}

impl FakeFile {
    fn content(&self) -> io::Result<Vec<u8>> {
        let world = self.disk.world();
        world.powered()?;
        world.content(self.node).map(<[u8]>::to_vec)
    }
}

impl FakeDir {
    fn opened(&self, node: usize) -> Box<dyn RawFile> {
        Box::new(FakeFile { disk: self.disk.clone(), node, lent: OnceLock::new() })
    }

    fn same_disk<'a>(&self, other: &'a dyn RawDir) -> io::Result<&'a Self> {
        let other: Option<&Self> = other.as_any().downcast_ref();
        other.filter(|dir| Arc::ptr_eq(&dir.disk.0, &self.disk.0)).ok_or_else(|| io::ErrorKind::CrossesDevices.into())
    }

    fn moved(&self, from: &str, (other, to): (&dyn RawDir, &str), may_replace: bool) -> io::Result<()> {
        crate::real::checked(to)?;
        let other = self.same_disk(other)?.node;
        let mut world = self.disk.world();
        let node = world.lookup(self.node, from)?;
        if !may_replace && world.lookup(other, to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.step()?;
        if (self.node, from) == (other, to) {
            return Ok(());
        }
        let both = world.next_pair();
        world.change(other, NameChange::new(to, Some(node), Some(both)));
        world.change(self.node, NameChange::new(from, None, Some(both)));
        Ok(())
    }
}

impl RawDir for FakeDir {
    fn subdir(&self, name: &str) -> io::Result<Arc<dyn RawDir>> {
        let world = self.disk.world();
        let node = world.lookup(self.node, name)?;
        match world.node(node) {
            Node::Dir(_) => Ok(Arc::new(Self { disk: self.disk.clone(), node })),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn make_dir(&self, name: &str, _mode: u32) -> io::Result<()> {
        self.disk.world().make(self.node, name, Node::Dir(world::DirNode::default())).map(drop)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        let mut world = self.disk.world();
        let node = world.lookup(self.node, name)?;
        match world.node(node) {
            Node::File(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Node::Dir(dir) if !dir.names.is_empty() => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            Node::Dir(_) => {}
        }
        world.step()?;
        world.change(self.node, NameChange::new(name, None, None));
        Ok(())
    }

    fn create(&self, name: &str, _mode: u32) -> io::Result<Box<dyn RawFile>> {
        let node = self.disk.world().make(self.node, name, Node::File(world::FileNode::default()))?;
        Ok(self.opened(node))
    }

    fn open(&self, name: &str, _access: Access) -> io::Result<Box<dyn RawFile>> {
        let world = self.disk.world();
        let node = world.lookup(self.node, name)?;
        match world.node(node) {
            Node::File(_) => Ok(self.opened(node)),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn rename(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()> {
        self.moved(from, (other, to), true)
    }

    fn rename_new(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()> {
        self.moved(from, (other, to), false)
    }

    fn link(&self, from: &str, other: &dyn RawDir, to: &str) -> io::Result<()> {
        crate::real::checked(to)?;
        let other = self.same_disk(other)?.node;
        let mut world = self.disk.world();
        let node = world.lookup(self.node, from)?;
        if world.lookup(other, to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.step()?;
        world.change(other, NameChange::new(to, Some(node), None));
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut world = self.disk.world();
        let node = world.lookup(self.node, name)?;
        if matches!(world.node(node), Node::Dir(_)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        world.step()?;
        world.change(self.node, NameChange::new(name, None, None));
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let world = self.disk.world();
        let kind = |node: usize| match world.node(node) {
            Node::File(_) => Kind::File,
            Node::Dir(_) => Kind::Dir,
        };
        let names = &world.dir(self.node)?.names;
        Ok(names.iter().map(|(name, node)| Entry { name: name.clone(), kind: kind(*node) }).collect())
    }

    fn stat(&self, name: &str) -> io::Result<Meta> {
        let world = self.disk.world();
        let node = world.lookup(self.node, name)?;
        Ok(world.meta(node))
    }

    fn meta(&self) -> io::Result<Meta> {
        let world = self.disk.world();
        world.powered()?;
        Ok(world.meta(self.node))
    }

    /// Times survive or not with nobody depending on it: kept at once.
    fn set_mtime(&self, name: &str, to: SystemTime) -> io::Result<()> {
        let mut world = self.disk.world();
        let node = world.lookup(self.node, name)?;
        world.step()?;
        world.set_mtime(node, to);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.world().sync(self.node)
    }

    fn sync_shared(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_before_names(&self, files: &[&dyn RawFile]) -> Vec<io::Result<()>> {
        files.iter().map(|file| file.written()).collect()
    }

    fn space(&self) -> io::Result<Space> {
        let world = self.disk.world();
        world.powered()?;
        Ok(Space { bytes: world.space.unwrap_or(1 << 40), inodes: 1 << 20 })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl RawFile for FakeFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.world();
        world.powered()?;
        let data = world.content(self.node)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let n = buf.len().min(data.len() - from);
        buf[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.disk.world().write(self.node, buf, Some(offset)).map(drop)
    }

    fn append(&self, buf: &[u8]) -> io::Result<u64> {
        self.disk.world().write(self.node, buf, None)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.step()?;
        world.edit(self.node, DataChange::Length(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.world().sync(self.node)
    }

    fn written(&self) -> io::Result<()> {
        self.disk.world().order(self.node)
    }

    fn meta(&self) -> io::Result<Meta> {
        let world = self.disk.world();
        world.powered()?;
        Ok(world.meta(self.node))
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn lend(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(lent) = self.lent.get() {
            return Ok(lent.as_fd());
        }
        let copy = nix::sys::memfd::memfd_create(c"lent", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        std::os::unix::fs::FileExt::write_all_at(&std::fs::File::from(copy.try_clone()?), &self.content()?, 0)?;
        Ok(self.lent.get_or_init(|| copy).as_fd())
    }
}

/// The content of a file, for checks.
///
/// # Errors
/// When it cannot be opened or read.
pub fn content(dir: &Dir, name: &str) -> io::Result<Vec<u8>> {
    let file: File = dir.open_file(name, Access::Read)?;
    file.read_all(u64::MAX)
}

#[cfg(test)]
mod tests;
