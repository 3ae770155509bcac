//! What is left of the forgetful disk after a power cut.

use super::world::{DataChange, DirNode, FileNode, NameChange, Node, World};
use super::{BTreeMap, BTreeSet, Survival};

impl World {
    /// The disk as the next start finds it.
    pub(super) fn survivor(&self, survival: Survival) -> Self {
        let mut chance = Chance(match survival {
            Survival::Seeded(seed) => seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            Survival::Synced | Survival::Everything => 1,
        });
        let kept = self.kept_names(survival, &mut chance);
        let brought = self.brought(&kept);
        let nodes = self.nodes().enumerate().map(|(number, (node, mtime))| {
            let node = match node {
                Node::File(file) => Node::File(file_after(file, (survival, brought.contains(&number)), &mut chance)),
                Node::Dir(dir) => Node::Dir(dir_after(dir, number, &kept)),
            };
            (node, mtime)
        });
        Self::of(nodes.collect())
    }

    /// The directory changes that survive, by directory and place. The vanishing half of a rename survives only
    /// together with the appearing half.
    fn kept_names(&self, survival: Survival, chance: &mut Chance) -> BTreeSet<(usize, usize)> {
        let mut kept = BTreeSet::new();
        let mut appeared = BTreeMap::new();
        for pass in [true, false] {
            for (number, (node, _)) in self.nodes().enumerate() {
                let Node::Dir(dir) = node else { continue };
                for (place, change) in dir.unsynced.iter().enumerate() {
                    if change.to.is_some() != pass {
                        continue;
                    }
                    let keep = match survival {
                        Survival::Synced => false,
                        Survival::Everything => true,
                        Survival::Seeded(_) => chance.half(),
                    };
                    let partner = change.pair.map(|pair| appeared.get(&pair).copied().unwrap_or(true));
                    let keep = keep && (pass || partner.unwrap_or(true));
                    if let (true, Some(pair)) = (pass, change.pair) {
                        appeared.insert(pair, keep);
                    }
                    if keep {
                        kept.insert((number, place));
                    }
                }
            }
        }
        kept
    }
}

impl World {
    /// The files whose content came with a name that survives.
    fn brought(&self, kept: &BTreeSet<(usize, usize)>) -> BTreeSet<usize> {
        let kept_changes = kept.iter().filter_map(|(dir, place)| match self.node(*dir) {
            Node::Dir(dir) => dir.unsynced.get(*place),
            Node::File(_) => None,
        });
        kept_changes.filter_map(NameChange::brought).collect()
    }
}

fn dir_after(dir: &DirNode, number: usize, kept: &BTreeSet<(usize, usize)>) -> DirNode {
    let mut names = dir.synced.clone();
    for (place, change) in dir.unsynced.iter().enumerate() {
        if kept.contains(&(number, place)) {
            change.apply(&mut names);
        }
    }
    DirNode { synced: names.clone(), names, unsynced: Vec::new() }
}

fn file_after(file: &FileNode, (survival, brought): (Survival, bool), chance: &mut Chance) -> FileNode {
    let data = match survival {
        Survival::Synced => file.synced.clone(),
        Survival::Everything => file.data.clone(),
        Survival::Seeded(_) => {
            let (mut data, changes) = match &file.written {
                Some((written, changes)) if brought => (written.clone(), *changes),
                _ => (file.synced.clone(), 0),
            };
            for change in &file.unsynced[changes..] {
                chance.part_of(change, &mut data);
            }
            data
        }
    };
    FileNode { synced: data.clone(), data, ..FileNode::default() }
}

/// Xorshift: the same seed gives the same accident.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn half(&mut self) -> bool {
        self.next() >> 33 & 1 == 1
    }

    /// Whole, missing, torn, or only the length grown.
    fn part_of(&mut self, change: &DataChange, data: &mut Vec<u8>) {
        match (change, self.next() >> 40 & 3) {
            (_, 0) => {}
            (DataChange::Write(offset, octets), 1) => {
                let torn = usize::try_from(self.next() >> 1).unwrap_or(0) % (octets.len() + 1);
                DataChange::Write(*offset, octets[..torn].to_vec()).apply(data);
            }
            (DataChange::Write(offset, octets), 2) => {
                let end = usize::try_from(*offset).unwrap_or(0) + octets.len();
                data.resize(data.len().max(end), 0);
            }
            (whole, _) => whole.apply(data),
        }
    }
}
