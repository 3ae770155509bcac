//! Delivery into a Maildir: write in `tmp/`, sync, rename into `new/`, sync of the folder; many at once share that last sync.
//!
//! | state | files | a power cut or kill leaves | mended by |
//! |---|---|---|---|
//! | writing | `tmp/NAME` | perhaps a part of it in `tmp/` | readers, which remove files of `tmp/` after 36 h |
//! | synced before its name | `tmp/NAME` | the same | as above; the queue still has the message |
//! | renamed | `new/NAME,S=…,W=…` or still `tmp/NAME`, whole | either of them | if it is in `new/`, the queue delivers a second copy |
//! | folder synced | `new/NAME,S=…,W=…` | that | – |
//!
//! Only the last state is acknowledged. The sync of the folder may be left to another process that does it for many folders
//! ([`Delivery::name_all`]). A file in `new/` is always whole: see [`durable::Dir::sync_before_names`].

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use durable::{Dir, File, Kind};

use super::name::Naming;
use crate::line_ends::Bare;
use crate::{Content, Error};

const CHUNK: usize = 128 * 1024;

/// An open Maildir to deliver to. Shared by many threads.
pub struct Delivery {
    tmp: Dir,
    new: Dir,
    /// Device and inode of `new`.
    identity: (u64, u64),
    naming: Naming,
}

/// A message written and synced in `tmp/`; dropping it removes the file.
pub struct Pending {
    tmp: Dir,
    temporary: String,
    name: String,
    size: u64,
    done: bool,
}

/// A message that is in `new/` for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The file name in `new/`.
    pub name: String,
    /// Octets of the file.
    pub size: u64,
}

impl Delivery {
    /// Opens the Maildir `path` (relative to `home`, e.g. `Maildir/` or `Maildir/.Junk`), making it (0700, parents
    /// synced) where it is missing. `host` goes into file names.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when something in the way is a symlink or not ours.
    pub fn open(home: &Dir, path: &str, host: &str) -> Result<Self, Error> {
        let mut dir = home.clone();
        for level in path.split('/').filter(|level| !level.is_empty() && *level != ".") {
            if level == ".." {
                return Err(Error::Unsafe(format!("{path}: leads upwards")));
            }
            dir = ensure_ours(&dir, level)?;
        }
        let root = ensure_maildir(&dir)?;
        let about = root.new.meta()?;
        Ok(Self { tmp: root.tmp, new: root.new, identity: (about.device, about.inode), naming: Naming::new(host) })
    }

    /// Whether `path` is this Maildir still, and not another that took its place.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path.join("new")).is_ok_and(|named| (named.dev(), named.ino()) == self.identity)
    }

    /// Writes and syncs one message in `tmp/`. Call it from several threads at once to share the disk's work.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left then.
    pub fn write(&self, content: &Content<'_>) -> Result<Pending, Error> {
        let (pending, file) = self.write_only(content)?;
        self.tmp.sync_before_names(&[&file]).into_iter().collect::<io::Result<()>>()?;
        Ok(pending)
    }

    /// Delivers many messages: all are written, then synced together, then moved into `new/` together.
    pub fn deliver_all(&self, contents: &[Content<'_>]) -> Vec<Result<Delivered, Error>> {
        self.synced(self.name_all(contents))
    }

    /// The folder, if its sync may be left to another process.
    #[must_use]
    pub fn left_to_another(&self) -> Option<&Dir> {
        self.new.left_to_another().map(|_| &self.new)
    }

    /// As [`Delivery::deliver_all`] but for the sync of the folder. An `Ok` may be acknowledged only when somebody did that
    /// afterwards.
    pub fn name_all(&self, contents: &[Content<'_>]) -> Vec<Result<Delivered, Error>> {
        let written: Vec<_> = contents.iter().map(|content| self.write_only(content)).collect();
        let files: Vec<&File> = written.iter().flatten().map(|(_, file)| file).collect();
        let mut synced = self.tmp.sync_before_names(&files).into_iter();
        let mut pending = Vec::with_capacity(written.len());
        let results: Vec<Result<(), Error>> = written
            .into_iter()
            .map(|one| {
                let (one, _) = one?;
                synced.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into()))?;
                pending.push(one);
                Ok(())
            })
            .collect();
        let mut delivered = self.publish_all(pending).into_iter();
        results.into_iter().map(|one| one.and_then(|()| delivered.next().unwrap_or(Err(Error::NoMessage)))).collect()
    }

    fn write_only(&self, content: &Content<'_>) -> Result<(Pending, File), Error> {
        let (temporary, file) = create_unique(&self.tmp, &self.naming)?;
        let mut pending = Pending { tmp: self.tmp.clone(), temporary, name: String::new(), size: 0, done: false };
        let bare = copy(content, &file)?;
        pending.size = content.prefix.len() as u64 + (content.range.end - content.range.start);
        pending.name = format!("{},S={},W={}", pending.temporary, pending.size, pending.size + bare);
        Ok((pending, file))
    }

    /// Moves written messages into `new/` and syncs the folder once. Only an `Ok` may be acknowledged.
    pub fn commit(&self, pending: Vec<Pending>) -> Vec<Result<Delivered, Error>> {
        self.synced(self.publish_all(pending))
    }

    fn publish_all(&self, pending: Vec<Pending>) -> Vec<Result<Delivered, Error>> {
        pending.into_iter().map(|one| self.publish(one)).collect()
    }

    /// Syncs the folder, if anything was named.
    fn synced(&self, mut results: Vec<Result<Delivered, Error>>) -> Vec<Result<Delivered, Error>> {
        if !results.iter().any(Result::is_ok) {
            return results;
        }
        if let Err(error) = self.new.sync_shared() {
            for result in &mut results {
                if let Ok(delivered) = result {
                    // It will be delivered again: the copy that nobody vouches for goes.
                    let _ = self.new.unlink(&delivered.name);
                    *result = Err(again(&error).into());
                }
            }
        }
        results
    }

    /// [`Delivery::write`] and [`Delivery::commit`] of one message; syncs of the folder are shared between threads.
    ///
    /// # Errors
    /// When the disk refuses; then the message is not delivered.
    pub fn deliver(&self, content: &Content<'_>) -> Result<Delivered, Error> {
        let pending = self.write(content)?;
        self.commit(vec![pending]).pop().unwrap_or(Err(Error::NoMessage))
    }

    fn publish(&self, mut pending: Pending) -> Result<Delivered, Error> {
        self.tmp.rename_new(&pending.temporary, &self.new, &pending.name)?;
        pending.done = true;
        Ok(Delivered { name: std::mem::take(&mut pending.name), size: pending.size })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done {
            // Best effort; what stays is removed by readers after 36 hours.
            let _ = self.tmp.unlink(&self.temporary);
        }
    }
}

/// The folders of a Maildir.
pub(crate) struct Folders {
    pub(crate) tmp: Dir,
    pub(crate) new: Dir,
    pub(crate) cur: Dir,
}

/// Opens `tmp`, `new` and `cur`, making what is missing and syncing once for all.
pub(crate) fn ensure_maildir(dir: &Dir) -> Result<Folders, Error> {
    let is_missing = |name: &&str| dir.stat(name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let missing: Vec<&str> = ["tmp", "new", "cur"].into_iter().filter(is_missing).collect();
    for name in &missing {
        match dir.make_dir(name, 0o700) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => (),
        }
    }
    if !missing.is_empty() {
        dir.sync_shared()?;
    }
    Ok(Folders { tmp: ensure_ours(dir, "tmp")?, new: ensure_ours(dir, "new")?, cur: ensure_ours(dir, "cur")? })
}

/// The directory `name`, made durable when it is missing; refused when it is a symlink, not ours or open to all.
pub(crate) fn ensure_ours(parent: &Dir, name: &str) -> Result<Dir, Error> {
    match parent.stat(name) {
        Ok(meta) if meta.kind != Kind::Dir => return Err(Error::Unsafe(format!("{name} is not a directory"))),
        Ok(_) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            parent.ensure_subdir(name, 0o700)?;
        }
        Err(error) => return Err(error.into()),
    }
    let dir = parent.subdir(name)?;
    let meta = dir.meta()?;
    if meta.uid != nix::unistd::geteuid().as_raw() {
        return Err(Error::Unsafe(format!("{name} belongs to user {}", meta.uid)));
    }
    if meta.mode & 0o002 != 0 {
        return Err(Error::Unsafe(format!("{name} can be written by everybody")));
    }
    Ok(dir)
}

/// A new file in `tmp/` under a name of its own.
pub(crate) fn create_unique(tmp: &Dir, naming: &Naming) -> Result<(String, File), Error> {
    loop {
        let name = naming.next();
        match tmp.create(&name, 0o600) {
            Ok(file) => return Ok((name, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes prefix and range; returns how many line feeds have no carriage return before them.
fn copy(content: &Content<'_>, to: &File) -> Result<u64, Error> {
    let mut left = content
        .range
        .end
        .checked_sub(content.range.start)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut from = content.range.start;
    let (mut at, mut bare, mut counter) = (0, 0, Bare::default());
    let mut chunk = Vec::with_capacity(CHUNK.min(content.prefix.len() + usize::try_from(left).unwrap_or(CHUNK)));
    chunk.extend_from_slice(content.prefix);
    loop {
        let begin = chunk.len();
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK.saturating_sub(begin));
        chunk.resize(begin + want, 0);
        content.file.read_exact_at(&mut chunk[begin..], from)?;
        (from, left) = (from + want as u64, left - want as u64);
        bare += counter.count(&chunk);
        to.write_at(&chunk, at)?;
        at += chunk.len() as u64;
        chunk.clear();
        if left == 0 {
            return Ok(bare);
        }
    }
}

fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::Access;
    use durable::forgetful::{Forgetful, at_every_step_and_sync, content};

    const BODY: &[u8] = b"xxReceived: by vm\r\n\tid 1\nSubject: a\n\nbody\nyy";

    fn source(dir: &Dir) -> File {
        let file = dir.create("queued", 0o600).expect("create");
        file.append(BODY).expect("append");
        file.sync().expect("sync");
        dir.sync().expect("sync");
        file
    }

    fn of<'a>(file: &'a File, prefix: &'a [u8]) -> Content<'a> {
        Content { prefix, file, range: 2..BODY.len() as u64 - 2 }
    }

    #[test]
    fn a_message_arrives_with_its_sizes() {
        let place = tempfile::tempdir().expect("tempdir");
        let home = Dir::open(place.path()).expect("open");
        let file = source(&home);
        let delivery = Delivery::open(&home, "Maildir/", "vm").expect("open");
        let delivered = delivery.deliver(&of(&file, b"Return-Path: <a@b>\n")).expect("deliver");
        let new = home.subdir("Maildir").and_then(|dir| dir.subdir("new")).expect("new");
        let text = content(&new, &delivered.name).expect("content");
        assert_eq!(text, b"Return-Path: <a@b>\nReceived: by vm\r\n\tid 1\nSubject: a\n\nbody\n");
        assert_eq!(delivered.size, text.len() as u64);
        assert!(delivered.name.ends_with(&format!(",S={},W={}", text.len(), text.len() + 5)), "{}", delivered.name);
        assert!(
            home.subdir("Maildir")
                .and_then(|dir| dir.subdir("tmp"))
                .and_then(|tmp| tmp.entries())
                .expect("tmp")
                .is_empty()
        );
        assert_eq!(home.subdir("Maildir").and_then(|dir| dir.meta()).expect("meta").mode & 0o777, 0o700);
    }

    #[test]
    fn a_maildir_that_was_moved_away_is_another() {
        let home = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(home.path()).expect("open");
        let (root, old) = (home.path().join("Maildir"), home.path().join("Maildir.old"));
        let maildir = Delivery::open(&dir, "Maildir", "pc").expect("a Maildir");
        assert!(maildir.is_at(&root));
        std::fs::rename(&root, &old).expect("moved");
        assert!(!maildir.is_at(&root));
        let _new = Delivery::open(&dir, "Maildir", "pc").expect("a new one");
        assert!(!maildir.is_at(&root) && maildir.is_at(&old));
    }

    #[test]
    fn symlinks_and_open_directories_are_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let place = tempfile::tempdir().expect("tempdir");
        let home = Dir::open(place.path()).expect("open");
        std::fs::create_dir(place.path().join("real")).expect("mkdir");
        symlink(place.path().join("real"), place.path().join("Maildir")).expect("symlink");
        assert!(matches!(Delivery::open(&home, "Maildir/", "vm"), Err(Error::Unsafe(_))));
        std::fs::set_permissions(place.path().join("real"), std::fs::Permissions::from_mode(0o777)).expect("chmod");
        assert!(matches!(Delivery::open(&home, "real", "vm"), Err(Error::Unsafe(_))));
        assert!(matches!(Delivery::open(&home, "../real", "vm"), Err(Error::Unsafe(_))));
    }

    #[test]
    fn a_full_disk_leaves_nothing() {
        let disk = Forgetful::default();
        let home = disk.root();
        let file = source(&home);
        let delivery = Delivery::open(&home, "Maildir", "vm").expect("open");
        disk.set_space(Some(10));
        assert!(matches!(delivery.deliver(&of(&file, b"")), Err(Error::Full)));
        for name in ["tmp", "new"] {
            assert!(
                home.subdir("Maildir")
                    .and_then(|dir| dir.subdir(name))
                    .and_then(|dir| dir.entries())
                    .expect("list")
                    .is_empty()
            );
        }
        disk.set_space(None);
        delivery.deliver(&of(&file, b"")).expect("again");
    }

    #[test]
    fn acknowledged_mail_is_there_and_whole_at_every_cut() {
        let want = [b"P: x\n", &BODY[2..BODY.len() - 2]].concat();
        let all_ways = |home: &Dir, promised: &mut Vec<String>| -> Result<(), Error> {
            let file = home.open_file("queued", Access::Read)?;
            let delivery = Delivery::open(home, "Maildir/", "vm")?;
            promised.push(delivery.deliver(&of(&file, b"P: x\n"))?.name);
            let group = vec![delivery.write(&of(&file, b"P: x\n"))?, delivery.write(&of(&file, b"P: x\n"))?];
            for result in delivery.commit(group) {
                promised.push(result?.name);
            }
            let many: Vec<Content<'_>> = (0..5).map(|_| of(&file, b"P: x\n")).collect();
            promised.extend(delivery.deliver_all(&many).into_iter().flatten().map(|delivered| delivered.name));
            let named = delivery.name_all(&many);
            home.subdir("Maildir")?.subdir("new")?.sync()?;
            promised.extend(named.into_iter().flatten().map(|delivered| delivered.name));
            Ok(())
        };
        let steps = at_every_step_and_sync(
            8,
            |home| drop(source(home)),
            |home| {
                let mut promised = Vec::new();
                let _ = all_ways(home, &mut promised);
                promised
            },
            |cut, promised, home| {
                let new = home.subdir("Maildir").and_then(|dir| dir.subdir("new"));
                let entries = new.as_ref().ok().and_then(|new| new.entries().ok()).unwrap_or_default();
                for entry in &entries {
                    let new = new.as_ref().expect("listed");
                    assert_eq!(content(new, &entry.name).expect("content"), want, "torn at {cut:?}");
                }
                for name in promised {
                    assert!(entries.iter().any(|entry| entry.name == *name), "lost at {cut:?}");
                }
            },
        );
        assert!(steps > 10, "{steps}");
    }
}
