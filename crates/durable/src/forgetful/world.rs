//! The state of the forgetful disk: what programs see, what has been synced, and the changes between the two.

use super::{BTreeMap, BTreeSet, Duration, Kind, Meta, SystemTime, io};

/// The top directory's number.
pub(super) const ROOT: usize = 0;

pub(super) struct World {
    nodes: Vec<Entry>,
    pub(super) steps: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) cut: bool,
    pub(super) failures: BTreeMap<u64, i32>,
    pub(super) space: Option<u64>,
    /// The steps that were syncs, and of what.
    pub(super) syncs: BTreeMap<u64, String>,
    /// A sync that does nothing.
    pub(super) lie: Option<u64>,
    pairs: u64,
}

#[derive(Clone)]
struct Entry {
    node: Node,
    mtime: SystemTime,
}

#[derive(Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Default)]
pub(super) struct FileNode {
    pub(super) data: Vec<u8>,
    pub(super) synced: Vec<u8>,
    pub(super) unsynced: Vec<DataChange>,
    /// What is with the disk, unsynced, and of how many changes: a name given from now on brings it along.
    pub(super) written: Option<(Vec<u8>, usize)>,
    /// A failed sync dropped its changes: a later sync of the same file proves nothing and fails too.
    pub(super) broken: bool,
}

#[derive(Clone, Default)]
pub(super) struct DirNode {
    pub(super) names: BTreeMap<String, usize>,
    pub(super) synced: BTreeMap<String, usize>,
    pub(super) unsynced: Vec<NameChange>,
}

#[derive(Clone)]
pub(super) enum DataChange {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// `name` now stands for `to`, or for nothing.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) name: String,
    pub(super) to: Option<usize>,
    /// The two halves of one rename bear the same number.
    pub(super) pair: Option<u64>,
    /// The content of the file was with the disk before.
    pub(super) brings: bool,
}

impl Default for World {
    fn default() -> Self {
        let root = Entry { node: Node::Dir(DirNode::default()), mtime: SystemTime::UNIX_EPOCH };
        Self {
            nodes: vec![root],
            steps: 0,
            cut_at: None,
            cut: false,
            failures: BTreeMap::new(),
            space: None,
            syncs: BTreeMap::new(),
            lie: None,
            pairs: 0,
        }
    }
}

impl World {
    /// A disk of these nodes, at rest.
    pub(super) fn of(nodes: Vec<(Node, SystemTime)>) -> Self {
        let nodes = nodes.into_iter().map(|(node, mtime)| Entry { node, mtime }).collect();
        Self { nodes, ..Self::default() }
    }

    pub(super) fn powered(&self) -> io::Result<()> {
        if self.cut { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }

    /// Counts one step; fails when the power goes or a fault was asked for.
    pub(super) fn step(&mut self) -> io::Result<()> {
        self.cut |= self.cut_at.is_some_and(|at| self.steps >= at);
        self.powered()?;
        let step = self.steps;
        self.steps += 1;
        match self.failures.get(&step) {
            Some(errno) => Err(io::Error::from_raw_os_error(*errno)),
            None => Ok(()),
        }
    }

    fn sync_step(&mut self, what: impl FnOnce(&Self) -> String) -> io::Result<()> {
        let (step, what) = (self.steps, what(self));
        let done = self.step();
        if done.is_ok() {
            self.syncs.insert(step, what);
        }
        done
    }

    /// Whether the step that was just done is to do nothing.
    fn is_lie(&self) -> bool {
        self.lie.is_some_and(|lie| lie + 1 == self.steps)
    }

    /// What programs call this node, or called it.
    fn name(&self, node: usize) -> String {
        let named = |(name, to): (&String, &usize)| (*to == node).then(|| name.clone());
        let is_of = |change: &NameChange| (change.to == Some(node)).then(|| change.name.clone());
        let dirs =
            || self.nodes.iter().filter_map(|entry| if let Node::Dir(dir) = &entry.node { Some(dir) } else { None });
        let now = dirs().find_map(|dir| dir.names.iter().find_map(named));
        let once = || dirs().find_map(|dir| dir.unsynced.iter().find_map(is_of));
        now.or_else(once).unwrap_or_else(|| "the top".into())
    }

    pub(super) fn next_pair(&mut self) -> u64 {
        self.pairs += 1;
        self.pairs
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node].node
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Node, SystemTime)> {
        self.nodes.iter().map(|entry| (&entry.node, entry.mtime))
    }

    pub(super) fn dir(&self, node: usize) -> io::Result<&DirNode> {
        self.powered()?;
        match self.node(node) {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn content(&self, node: usize) -> io::Result<&[u8]> {
        match self.node(node) {
            Node::File(file) => Ok(&file.data),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn lookup(&self, dir: usize, name: &str) -> io::Result<usize> {
        crate::real::checked(name)?;
        self.dir(dir)?.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn make(&mut self, dir: usize, name: &str, node: Node) -> io::Result<usize> {
        if self.lookup(dir, name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        crate::real::checked(name)?;
        self.step()?;
        let mtime = self.now();
        self.nodes.push(Entry { node, mtime });
        let made = self.nodes.len() - 1;
        self.change(dir, NameChange::new(name, Some(made), None));
        Ok(made)
    }

    pub(super) fn change(&mut self, dir: usize, mut change: NameChange) {
        self.nodes[dir].mtime = self.now();
        change.brings =
            change.to.is_some_and(|node| matches!(self.node(node), Node::File(FileNode { written: Some(_), .. })));
        let Node::Dir(dir) = &mut self.nodes[dir].node else { return };
        change.apply(&mut dir.names);
        dir.unsynced.push(change);
    }

    pub(super) fn edit(&mut self, file: usize, change: DataChange) -> io::Result<()> {
        self.nodes[file].mtime = self.now();
        let Node::File(file) = &mut self.nodes[file].node else { return Err(io::ErrorKind::IsADirectory.into()) };
        change.apply(&mut file.data);
        file.unsynced.push(change);
        Ok(())
    }

    /// A write at `offset` or at the end; returns where it began.
    pub(super) fn write(&mut self, file: usize, buf: &[u8], offset: Option<u64>) -> io::Result<u64> {
        self.step()?;
        let offset = offset.unwrap_or(self.content(file)?.len() as u64);
        let room = self.space.unwrap_or(u64::MAX).min(buf.len() as u64);
        if let Some(space) = &mut self.space {
            *space -= room;
        }
        let written = &buf[..usize::try_from(room).unwrap_or(buf.len())];
        self.edit(file, DataChange::Write(offset, written.to_vec()))?;
        if written.len() < buf.len() {
            return Err(io::Error::from_raw_os_error(nix::libc::ENOSPC));
        }
        Ok(offset)
    }

    pub(super) fn sync(&mut self, node: usize) -> io::Result<()> {
        if let Node::File(FileNode { broken: true, .. }) = self.node(node) {
            return Err(io::Error::from_raw_os_error(nix::libc::EIO));
        }
        let done = self.sync_step(|world| world.name(node));
        if self.is_lie() {
            return done;
        }
        match &mut self.nodes[node].node {
            Node::File(file) if done.is_ok() => {
                file.synced.clone_from(&file.data);
                file.unsynced.clear();
                file.written = None;
            }
            Node::File(file) => file.broken |= !self.cut,
            Node::Dir(_) if done.is_ok() => self.sync_names(node),
            Node::Dir(_) => {}
        }
        done
    }

    /// The content is with the disk from now on; names that the file gets later bring it along.
    pub(super) fn order(&mut self, node: usize) -> io::Result<()> {
        if let Node::File(FileNode { broken: true, .. }) = self.node(node) {
            return Err(io::Error::from_raw_os_error(nix::libc::EIO));
        }
        let done = self.sync_step(|world| world.name(node));
        let (is_lie, cut) = (self.is_lie(), self.cut);
        let Node::File(file) = &mut self.nodes[node].node else { return done };
        match &done {
            Ok(()) if is_lie => {}
            Ok(()) => file.written = Some((file.data.clone(), file.unsynced.len())),
            Err(_) => file.broken |= !cut,
        }
        done
    }

    /// A synced half of a rename takes the other half along.
    fn sync_names(&mut self, dir: usize) {
        let mut pairs = BTreeSet::new();
        let mut brought = Vec::new();
        if let Node::Dir(dir) = &mut self.nodes[dir].node {
            pairs.extend(dir.unsynced.iter().filter_map(|change| change.pair));
            brought.extend(dir.unsynced.iter().filter_map(NameChange::brought));
            dir.synced.clone_from(&dir.names);
            dir.unsynced.clear();
        }
        for entry in &mut self.nodes {
            let Node::Dir(dir) = &mut entry.node else { continue };
            let DirNode { synced, unsynced, .. } = dir;
            unsynced.retain(|change| {
                let other_half = change.pair.is_some_and(|pair| pairs.contains(&pair));
                if other_half {
                    change.apply(synced);
                    brought.extend(change.brought());
                }
                !other_half
            });
        }
        brought.into_iter().for_each(|node| self.bring(node));
    }

    fn bring(&mut self, node: usize) {
        let Node::File(file) = &mut self.nodes[node].node else { return };
        if let Some((written, changes)) = file.written.take() {
            file.synced = written;
            file.unsynced.drain(..changes);
        }
    }

    pub(super) fn settle(&mut self) {
        for entry in &mut self.nodes {
            match &mut entry.node {
                Node::File(file) => {
                    file.synced.clone_from(&file.data);
                    file.unsynced.clear();
                    file.written = None;
                }
                Node::Dir(dir) => {
                    dir.synced.clone_from(&dir.names);
                    dir.unsynced.clear();
                }
            }
        }
    }

    pub(super) fn set_mtime(&mut self, node: usize, to: SystemTime) {
        self.nodes[node].mtime = to;
    }

    pub(super) fn meta(&self, node: usize) -> Meta {
        let (kind, size, mode) = match self.node(node) {
            Node::File(file) => (Kind::File, file.data.len() as u64, 0o600),
            Node::Dir(_) => (Kind::Dir, 0, 0o700),
        };
        let links = self.nodes.iter().map(|entry| entry.node.links_to(node)).sum();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Meta { kind, size, mtime: self.nodes[node].mtime, inode: node as u64, device: 1, links, uid, gid, mode }
    }

    /// The disk's clock is its step counter.
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.steps)
    }
}

impl Node {
    fn links_to(&self, node: usize) -> u64 {
        match self {
            Self::Dir(dir) => dir.names.values().filter(|to| **to == node).count() as u64,
            Self::File(_) => 0,
        }
    }
}

impl NameChange {
    pub(super) fn new(name: &str, to: Option<usize>, pair: Option<u64>) -> Self {
        Self { name: name.into(), to, pair, brings: false }
    }

    /// The file whose content comes with this name.
    pub(super) fn brought(&self) -> Option<usize> {
        self.to.filter(|_| self.brings)
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self.to {
            Some(node) => names.insert(self.name.clone(), node),
            None => names.remove(&self.name),
        };
    }
}

impl DataChange {
    pub(super) fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Length(len) => data.resize(usize::try_from(*len).unwrap_or(0), 0),
            Self::Write(offset, octets) => {
                let from = usize::try_from(*offset).unwrap_or(0);
                let end = from + octets.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[from..end].copy_from_slice(octets);
            }
        }
    }
}
