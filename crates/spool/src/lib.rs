//! The spool: one file per message, moved between directories by `rename`.
//!
//! Promise: when [`Incoming::commit`] has returned a queue id, the message survives kill -9 of anything and a power cut.
//! Before that, nothing is left that could be delivered. The layout of a file is in [`format`](mod@format).
//!
//! # States
//! What exists, the one system call that leads on, what a crash there leaves and who mends it. "synced" marks the calls
//! after which a power cut cannot take the step back; the others may be taken back, and then are done again.
//!
//! | state | file | leads on | a crash leaves | mended by |
//! |---|---|---|---|---|
//! | coming in | `incoming/ID.tmp`, growing | file sync, then `rename_new` → `incoming/ID` | a part of a message nobody was promised | [`Spool::clean`]: unlink |
//! | named | `incoming/ID`, whole | sync of `incoming` (synced): **the promise** | a whole message, sent again by a client that heard nothing: a copy | nobody |
//! | incoming | `incoming/ID` | `rename_new` → `active/ID` | either name, or both of one file | [`Spool::open`] at either place; [`Spool::shift`] drops the second name |
//! | active | `active/ID` | append of a record, file sync (synced) | the record, or a torn tail that counts as never written: one more delivery | the next append cuts the tail |
//! | active, tried in vain | `active/ID` | `utimensat` (next try), `rename_new` → `deferred/ID` | either name | qmgr scans both |
//! | deferred | `deferred/ID` | `rename_new` → `active/ID` when due | either name | qmgr scans both |
//! | held | `hold/ID` | `rename_new` from or to `deferred` by the operator | either name | nobody |
//! | all recipients finished | `active/ID` | `unlink` or `rename` into `free`, sync of `active` (synced): the last done record | the file: one more delivery of the recipients without a done record | qmgr delivers again |
//! | unreadable | any | `rename_new` → `corrupt/ID` | either name | found again on the next reading |

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use durable::{Access, Dir, Lock, Patience};
use mail::{Envelope, QueueId};

pub mod format;
mod incoming;
mod pool;
mod queue_file;

pub use format::{Damage, Origin, Progress, Sasl, Slot};
pub use incoming::Incoming;
pub(crate) use incoming::Place;
pub(crate) use pool::Pool;
pub use queue_file::{OpenError, QueueFile};

/// A directory of the spool that holds queue files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Accepted, not yet seen by qmgr.
    Incoming,
    /// Being delivered.
    Active,
    /// Waiting for the next try; the file's modification time says when.
    Deferred,
    /// Put aside by the operator.
    Hold,
    /// Unreadable.
    Corrupt,
}

/// The queue directories; clones share syncs and the naming of messages.
#[derive(Clone)]
pub struct Spool(Arc<Inner>);

struct Inner {
    incoming: Dir,
    active: Dir,
    deferred: Dir,
    hold: Dir,
    corrupt: Dir,
    pool: Arc<Pool>,
    names: Names,
}

/// Names messages: ascending, whatever the clock does.
pub struct Names(Mutex<QueueId>);

impl Default for Names {
    fn default() -> Self {
        Self(Mutex::new(QueueId::new(0, salt())))
    }
}

impl Names {
    /// The next name.
    #[must_use]
    pub fn next(&self) -> QueueId {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = last.after(u64::try_from(since.as_micros()).unwrap_or(0));
        *last
    }
}

/// Who may have a finished message's file open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Nobody: every delivery that was given it has answered. The file may be used again.
    None,
    /// A delivery whose answer was lost, of a program that went down. It must never read what comes later.
    Perhaps,
}

/// A message that has been taken out of `active`, not yet synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its name.
    pub id: QueueId,
    /// Its file is in the pool.
    kept: bool,
}

impl Queue {
    /// In the order of a message's life.
    pub const ALL: [Self; 5] = [Self::Incoming, Self::Active, Self::Deferred, Self::Hold, Self::Corrupt];

    /// The directory's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Corrupt => "corrupt",
        }
    }
}

impl Spool {
    /// Opens the spool in a queue directory whose parts exist.
    ///
    /// # Errors
    /// When one of them is missing or not allowed.
    pub fn open(root: &Dir) -> io::Result<Self> {
        let this = Self(Arc::new(Inner {
            incoming: root.subdir(Queue::Incoming.name())?,
            active: root.subdir(Queue::Active.name())?,
            deferred: root.subdir(Queue::Deferred.name())?,
            hold: root.subdir(Queue::Hold.name())?,
            corrupt: root.subdir(Queue::Corrupt.name())?,
            pool: Arc::new(Pool::new(root.subdir(FREE)?)),
            names: Names::default(),
        }));
        this.0.incoming.learn();
        Ok(this)
    }

    /// Makes what is missing of the queue directories, durably, and opens the spool.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn create(root: &Dir) -> io::Result<Self> {
        for queue in Queue::ALL {
            root.ensure_subdir(queue.name(), 0o700)?;
        }
        root.ensure_subdir(FREE, 0o700)?;
        Self::open(root)
    }

    /// The directory of a queue, for a watch or a jail.
    #[must_use]
    pub fn dir(&self, queue: Queue) -> &Dir {
        match queue {
            Queue::Incoming => &self.0.incoming,
            Queue::Active => &self.0.active,
            Queue::Deferred => &self.0.deferred,
            Queue::Hold => &self.0.hold,
            Queue::Corrupt => &self.0.corrupt,
        }
    }

    /// A name for a message that is about to come in.
    #[must_use]
    pub fn new_id(&self) -> QueueId {
        self.0.names.next()
    }

    /// Begins a message under a new name.
    #[must_use]
    pub fn enter(&self, envelope: &Envelope, origin: &Origin) -> Incoming {
        self.enter_as(self.new_id(), envelope, origin)
    }

    /// Begins a message under a name from [`Spool::new_id`] that has been told already. Nothing touches the disk yet.
    #[must_use]
    pub fn enter_as(&self, id: QueueId, envelope: &Envelope, origin: &Origin) -> Incoming {
        let pool = Some(Arc::clone(&self.0.pool));
        Incoming::new(Place { dir: self.0.incoming.clone(), id, mode: 0o600, pool }, envelope, origin)
    }

    /// Opens a queue file and reads all of it but the content.
    ///
    /// # Errors
    /// [`OpenError::Gone`] is normal when several look at a directory; [`OpenError::Damaged`]: see [`Spool::set_aside`].
    pub fn read(&self, queue: Queue, id: QueueId) -> Result<QueueFile, OpenError> {
        QueueFile::open(self.dir(queue), id, Access::ReadWrite)
    }

    /// As [`Spool::read`], but a damaged file is put aside with a line in the log, and `None` says that there is nothing
    /// to do here.
    ///
    /// # Errors
    /// The disk's: try again later.
    pub fn read_or_set_aside(&self, queue: Queue, id: QueueId) -> io::Result<Option<QueueFile>> {
        match self.read(queue, id) {
            Ok(file) => Ok(Some(file)),
            Err(OpenError::Gone) => Ok(None),
            Err(OpenError::Disk(error)) => Err(error),
            Err(OpenError::Damaged(damage)) => {
                self.set_aside(queue, id, damage)?;
                Ok(None)
            }
        }
    }

    /// Moves an unreadable file to `corrupt` and says so in the log.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_aside(&self, queue: Queue, id: QueueId, damage: Damage) -> io::Result<()> {
        tracing::error!("{id}: error: damaged queue file in {}: {damage}; moved to corrupt", queue.name());
        self.shift(id, queue, Queue::Corrupt)?;
        self.0.corrupt.sync_shared()
    }

    /// Moves a message to another queue. Not synced: a power cut may take it back, and every queue is scanned at start.
    ///
    /// # Errors
    /// `NotFound` when it is not there any more; `AlreadyExists` when another message has its name there.
    pub fn shift(&self, id: QueueId, from: Queue, to: Queue) -> io::Result<()> {
        let (name, from, to) = (id.name(), self.dir(from), self.dir(to));
        match from.rename_new(&name, to, &name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (here, there) = (from.stat(&name)?, to.stat(&name)?);
                if (here.device, here.inode) == (there.device, there.inode) { from.unlink(&name) } else { Err(error) }
            }
            done => done,
        }
    }

    /// Moves a message to `deferred`, to be tried again at `next`.
    ///
    /// # Errors
    /// As [`Spool::shift`].
    pub fn defer(&self, id: QueueId, from: Queue, next: SystemTime) -> io::Result<()> {
        self.dir(from).set_mtime(&id.name(), next)?;
        self.shift(id, from, Queue::Deferred)
    }

    /// Removes a message all of whose recipients are finished. Returns when no power cut can bring it back.
    ///
    /// # Errors
    /// The disk's; a file that is gone already is none.
    pub fn remove(&self, queue: Queue, id: QueueId) -> io::Result<()> {
        let dir = self.dir(queue);
        dir.unlink(&id.name()).or_else(gone)?;
        dir.sync_shared()
    }

    /// Takes a message all of whose recipients are finished out of `active`; [`Spool::make_last`] must follow.
    ///
    /// # Errors
    /// The disk's; a file that is gone already is none.
    pub fn take_out(&self, id: QueueId, readers: Readers) -> io::Result<Finished> {
        let kept = match readers {
            Readers::None => self.0.pool.take_in(&self.0.active, id)?,
            Readers::Perhaps => {
                self.0.active.unlink(&id.name()).or_else(gone)?;
                false
            }
        };
        Ok(Finished { id, kept })
    }

    /// One sync for many finished messages: no power cut brings them back. Their files may be used again from now on.
    ///
    /// # Errors
    /// The disk's: a power cut may have them delivered again.
    pub fn make_last(&self, finished: &[Finished]) -> io::Result<()> {
        let synced = self.0.active.sync_shared();
        for one in finished.iter().filter(|one| one.kept) {
            self.0.pool.set_free(one.id, synced.is_ok());
        }
        synced
    }

    /// Removes the files that wait to be used again, and those of finished messages that a crash left among them. To be
    /// called at start, while nothing else runs.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn empty_pool(&self) -> io::Result<()> {
        self.0.pool.empty()
    }

    /// Every message of a queue, oldest first. One pass over the directory, no file is touched.
    ///
    /// # Errors
    /// The disk's.
    pub fn scan(&self, queue: Queue) -> io::Result<Vec<QueueId>> {
        let entries = self.dir(queue).entries()?;
        let mut ids: Vec<_> = entries.iter().filter_map(|entry| QueueId::parse(&entry.name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Every message of a queue with its file's modification time: in `deferred`, when to try it again.
    ///
    /// # Errors
    /// The disk's.
    pub fn scan_times(&self, queue: Queue) -> io::Result<Vec<(QueueId, SystemTime)>> {
        let dir = self.dir(queue);
        let mut found = Vec::new();
        for id in self.scan(queue)? {
            match dir.stat(&id.name()) {
                Ok(meta) => found.push((id, meta.mtime)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Removes parts of messages left in `incoming` by a crash: not locked by a writer, unchanged for `age` (a minute or
    /// more: a small message is not locked for the moment it takes). Returns how many.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn clean(&self, age: Duration) -> io::Result<usize> {
        clean(&self.0.incoming, age)
    }
}

fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Removes the temporary files of `dir` that nobody writes any more, as [`Spool::clean`] does; one that cannot be looked
/// at is left.
///
/// # Errors
/// When the directory cannot be read.
pub fn clean(dir: &Dir, age: Duration) -> io::Result<usize> {
    let mut removed = 0;
    for entry in dir.entries()? {
        if entry.name.ends_with(TEMPORARY) && is_stale(dir, &entry.name, age) && dir.unlink(&entry.name).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_stale(dir: &Dir, name: &str, age: Duration) -> bool {
    let Ok(file) = dir.open_file(name, Access::Read) else { return false };
    let Ok(meta) = file.meta() else { return false };
    let old = SystemTime::now().duration_since(meta.mtime).is_ok_and(|since| since >= age);
    old && file.lock(Lock::Shared, Patience::None).is_ok()
}

/// Two hexadecimal digits of a queue id, so that programs that name messages in the same microsecond differ.
fn salt() -> u8 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish() as u8
}

/// Where files of finished messages wait to be used again.
pub(crate) const FREE: &str = "free";
/// The end of the name of a file that is being written.
pub(crate) const TEMPORARY: &str = ".tmp";

#[cfg(test)]
mod tests;
