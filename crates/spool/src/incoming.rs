//! A message on its way into the spool.
//!
//! A small message waits in memory and goes to the disk in one write at the commit; a large one flows into the
//! temporary file. Whatever goes wrong, the temporary file is removed when this value goes.

use std::io;
use std::sync::Arc;

use durable::{Dir, File, Lock, Patience};
use mail::{Envelope, QueueId};

use super::format::{self, MESSAGE_RECORD, Origin};
use super::pool::Pool;
use super::{Names, TEMPORARY};

/// A message that is not promised to anybody yet; dropped, it leaves nothing.
pub struct Incoming {
    dir: Dir,
    id: QueueId,
    mode: u32,
    pool: Option<Arc<Pool>>,
    /// What is not yet in the file; first of all the prologue.
    buffer: Vec<u8>,
    file: Option<File>,
    /// A small message is whole, and its records end here.
    sealed: Option<usize>,
    completed: bool,
    /// Where the `M` record stands.
    message_record: u64,
    written: u64,
    content: u64,
    checksum: crc32fast::Hasher,
    recipients: usize,
    failed: bool,
    named: bool,
}

/// Where a message is to appear.
pub(crate) struct Place {
    pub(crate) dir: Dir,
    pub(crate) id: QueueId,
    pub(crate) mode: u32,
    /// Where files of finished messages can be had.
    pub(crate) pool: Option<Arc<Pool>>,
}

impl Incoming {
    /// Begins a message outside the queues, in a directory of its own such as `maildrop`.
    #[must_use]
    pub fn outside(dir: Dir, mode: u32, envelope: &Envelope, origin: &Origin) -> Self {
        Self::new(Place { dir, id: Names::default().next(), mode, pool: None }, envelope, origin)
    }

    /// Begins a message there. Nothing touches the disk yet.
    pub(crate) fn new(place: Place, envelope: &Envelope, origin: &Origin) -> Self {
        let Place { dir, id, mode, pool } = place;
        let buffer = format::prologue(id, envelope, origin);
        Self {
            dir,
            id,
            mode,
            pool,
            message_record: (buffer.len() - MESSAGE_RECORD) as u64,
            buffer,
            file: None,
            sealed: None,
            completed: false,
            written: 0,
            content: 0,
            checksum: crc32fast::Hasher::new(),
            recipients: envelope.recipients.len(),
            failed: false,
            named: false,
        }
    }

    /// The name the message will have.
    #[must_use]
    pub const fn id(&self) -> QueueId {
        self.id
    }

    /// Octets of content so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.content
    }

    /// Nothing of it is on the disk yet.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        self.file.is_none()
    }

    /// Adds content.
    ///
    /// # Errors
    /// The disk's; the message is lost then and the sender is told to try again.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.checksum.update(octets);
        self.content += octets.len() as u64;
        self.buffer.extend_from_slice(octets);
        if self.buffer.len() < SMALL {
            return Ok(());
        }
        let begins = self.file.is_none();
        self.flush()?;
        if begins {
            // Tells those who clean up that this file has a writer, which may take hours; lasts as long as the descriptor.
            self.file()?.lock(Lock::Exclusive, Patience::None).ok();
        }
        Ok(())
    }

    /// Makes the message durable under its name: file sync, rename, shared sync of the directory. Only then it is ours.
    ///
    /// # Errors
    /// The disk's, or that of an earlier [`Incoming::write`]; nothing is left then.
    pub fn commit(mut self) -> io::Result<QueueId> {
        self.complete()?;
        self.sync_before_name()?;
        self.rename()?;
        self.dir.sync_shared()?;
        Ok(self.promised())
    }

    /// As [`Incoming::commit`], but the message appears in another directory of the spool, such as `hold`, from which
    /// nobody delivers it.
    ///
    /// # Errors
    /// As [`Incoming::commit`].
    pub fn commit_into(mut self, dir: &Dir) -> io::Result<QueueId> {
        self.complete()?;
        self.sync_before_name()?;
        self.dir.rename_new(&self.temporary(), dir, &self.id.name())?;
        self.dir = dir.clone();
        self.named = true;
        self.dir.sync_shared()?;
        Ok(self.promised())
    }

    /// Commits messages of one spool together: their files are synced at the least cost, their directory once.
    /// The results are in the order of the messages; a failed shared sync is every message's failure.
    #[must_use]
    pub fn commit_all(messages: Vec<Self>) -> Vec<io::Result<QueueId>> {
        let step = |message: io::Result<Self>, step: fn(&mut Self) -> io::Result<()>| {
            message.and_then(|mut message| step(&mut message).map(|()| message))
        };
        let mut messages: Vec<_> = messages.into_iter().map(|message| step(Ok(message), Self::complete)).collect();
        messages = synced(messages);
        messages = messages.into_iter().map(|message| step(message, Self::rename)).collect();
        shared(messages, Dir::sync_shared).into_iter().map(|message| message.map(Self::promised)).collect()
    }

    /// A small message as its queue file would be, for somebody who may have it where it belongs before it is promised. On
    /// the disk there is nothing of it yet: [`Incoming::commit`] may still follow.
    ///
    /// # Errors
    /// It is not [small](Incoming::is_small).
    pub fn image(&mut self) -> io::Result<&[u8]> {
        if !self.is_small() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let end = self.seal()?;
        Ok(&self.buffer[..end])
    }

    /// All of a small message is in the buffer, as its file will be: where its records end.
    fn seal(&mut self) -> io::Result<usize> {
        if let Some(end) = self.sealed {
            return Ok(end);
        }
        self.buffer.extend(format::end_record(self.checksum.clone().finalize(), self.recipients));
        let at = usize::try_from(self.message_record).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.buffer[at..at + MESSAGE_RECORD].copy_from_slice(&format::message_record(self.content));
        // Zeros: where a used file goes on with octets of its former life, no record begins; a new file has room to be
        // used again.
        let end = self.buffer.len();
        self.buffer.resize((end + 1).next_multiple_of(BLOCK), 0);
        self.sealed = Some(end);
        Ok(end)
    }

    /// All octets are with the kernel.
    fn complete(&mut self) -> io::Result<()> {
        if self.completed {
            return Ok(());
        }
        if self.file.is_none() {
            self.seal()?;
            self.file = self.pool.as_ref().and_then(|pool| pool.claim(&self.dir, &self.temporary()));
            self.flush()?;
        } else {
            self.buffer.extend(format::end_record(self.checksum.clone().finalize(), self.recipients));
            self.flush()?;
            self.file()?.write_at(&format::message_record(self.content), self.message_record)?;
        }
        self.completed = true;
        Ok(())
    }

    fn sync_before_name(&self) -> io::Result<()> {
        self.dir.sync_before_names(&[self.file()?]).into_iter().collect()
    }

    fn rename(&mut self) -> io::Result<()> {
        self.dir.rename_new(&self.temporary(), &self.dir, &self.id.name())?;
        self.named = true;
        Ok(())
    }

    /// Everything is synced: nothing takes it back.
    fn promised(mut self) -> QueueId {
        self.file = None;
        self.id
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.failed = true;
        if self.file.is_none() {
            self.file = Some(self.dir.create(&self.temporary(), self.mode)?);
        }
        self.file()?.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.failed = false;
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn temporary(&self) -> String {
        format!("{}{TEMPORARY}", self.id)
    }
}

impl Drop for Incoming {
    /// A file is there only if the commit did not come to its end.
    fn drop(&mut self) {
        if self.file.is_some() {
            let name = if self.named { self.id.name() } else { self.temporary() };
            self.dir.unlink(&name).ok();
        }
    }
}

/// Syncs the files of all messages that are still well.
fn synced(messages: Vec<io::Result<Incoming>>) -> Vec<io::Result<Incoming>> {
    let well = || messages.iter().flatten();
    let files: Vec<&File> = well().filter_map(|message| message.file.as_ref()).collect();
    let Some(first) = well().next() else { return messages };
    let mut outcomes = first.dir.sync_before_names(&files).into_iter();
    let mut outcome = || outcomes.next().unwrap_or_else(|| Err(io::ErrorKind::Other.into()));
    messages.into_iter().map(|message| message.and_then(|message| outcome().map(|()| message))).collect()
}

/// One sync for all messages that are still well. If it fails, each has failed and removes what it left.
fn shared(messages: Vec<io::Result<Incoming>>, sync: fn(&Dir) -> io::Result<()>) -> Vec<io::Result<Incoming>> {
    let Some(Ok(first)) = messages.iter().find(|message| message.is_ok()) else { return messages };
    match sync(&first.dir) {
        Ok(()) => messages,
        Err(error) => {
            let failed = || Err(error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error));
            messages.into_iter().map(|message| message.and_then(|_| failed())).collect()
        }
    }
}

/// Files of small messages end at a multiple of this.
const BLOCK: usize = 4096;
/// Below this many octets a message goes to the disk in one write.
const SMALL: usize = 128 * 1024;
