//! An open queue file: who it is from, who is left, where its content stands; and what is noted in it.
//!
//! The content is never loaded: [`QueueFile::content`] is its range in [`QueueFile::file`].

use std::io;
use std::ops::Range;
use std::time::SystemTime;

use durable::{Access, Dir, File};
use mail::{Address, EnhancedStatus, Envelope, QueueId, Recipient};

use super::format::{self, Appended, Damage, END_RECORD, Origin, Progress, Slot};

/// A message in the queue.
pub struct QueueFile {
    /// Its name.
    pub id: QueueId,
    /// When it came.
    pub arrival: SystemTime,
    /// How it came.
    pub origin: Origin,
    /// As it came; who is left of its recipients is in `slots`.
    pub envelope: Envelope,
    /// All recipients, those of the envelope first, then those they were expanded to. The place is the number.
    pub slots: Vec<Slot>,
    /// When the sender was told of the delay.
    pub warned: Option<SystemTime>,
    /// Where the content stands in the file.
    pub content: Range<u64>,
    /// The file itself.
    pub file: File,
    checksum: u32,
    /// Behind the last whole record.
    end: u64,
}

/// Why a queue file could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// It is not there (any more).
    Gone,
    /// Try again later.
    Disk(io::Error),
    /// It will never be readable.
    Damaged(Damage),
}

impl QueueFile {
    /// Opens a queue file; for reading only, nothing can be noted in it.
    ///
    /// # Errors
    /// As [`Spool::read`](crate::Spool::read).
    pub fn open(dir: &Dir, id: QueueId, access: Access) -> Result<Self, OpenError> {
        let file = match dir.open_file(&id.name(), access) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Gone),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(Damage::Magic.into()),
            file => file?,
        };
        Self::read(file, id)
    }

    /// Reads a queue file that is open already, such as one received from another program.
    ///
    /// # Errors
    /// The disk's, or damage.
    pub fn read(file: File, id: QueueId) -> Result<Self, OpenError> {
        let size = file.meta()?.size;
        let (prologue, begin) = read_prologue(&file, size)?;
        let begin = begin as u64;
        let behind = begin.checked_add(prologue.content).filter(|end| *end <= size).ok_or(Damage::Short)?;
        let tail = read_span(&file, behind..size)?;
        let checksum = format::read_end(&tail, prologue.envelope.recipients.len())?;
        let (appended, length) = format::read_appended(tail.get(END_RECORD..).unwrap_or_default());
        let new = |recipient: &Recipient| Slot {
            recipient: recipient.clone(),
            progress: Progress::New,
            parent: None,
            sender: None,
        };
        let mut read = Self {
            id,
            arrival: prologue.arrival,
            origin: prologue.origin,
            slots: prologue.envelope.recipients.iter().map(new).collect(),
            envelope: prologue.envelope,
            warned: None,
            content: begin..behind,
            file,
            checksum,
            end: behind + (END_RECORD + length) as u64,
        };
        appended.into_iter().for_each(|record| read.take(record));
        Ok(read)
    }

    /// Octets of content.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.content.end - self.content.start
    }

    /// The recipients that are not finished, with their numbers.
    pub fn open_slots(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.slots.iter().enumerate().filter(|(_, slot)| !slot.progress.is_finished())
    }

    /// Notes recipients as delivered, durably.
    ///
    /// # Errors
    /// The disk's; the recipients may get a copy more.
    pub fn append_done(&mut self, slots: &[usize]) -> io::Result<()> {
        self.append_finished(slots, false)
    }

    /// Notes recipients as returned to the sender, durably.
    ///
    /// # Errors
    /// As [`QueueFile::append_done`].
    pub fn append_bounced(&mut self, slots: &[usize]) -> io::Result<()> {
        self.append_finished(slots, true)
    }

    /// Notes that a recipient has become others, who get `owner` as their sender if there is one. Returns the number of the
    /// first of them. Not synced: what becomes of them is, and that with it; until then it can be expanded again.
    ///
    /// # Errors
    /// The disk's.
    pub fn append_expanded(&mut self, slot: usize, into: Vec<Recipient>, owner: Option<Address>) -> io::Result<usize> {
        let first = self.slots.len();
        self.append(vec![Appended::Expanded { slot: number(slot)?, into, owner }])?;
        Ok(first)
    }

    /// Notes why a recipient has to wait, for `mailq`. Not synced: it is worth no sync, and lost it is found again by the
    /// next try.
    ///
    /// # Errors
    /// The disk's.
    pub fn append_deferred(&mut self, slot: usize, status: EnhancedStatus, reason: &str) -> io::Result<()> {
        let (slot, at) = (number(slot)?, SystemTime::now());
        self.append(vec![Appended::Deferred { slot, at, status, reason: reason.to_owned() }])
    }

    /// Notes, durably, that the sender was told of the delay.
    ///
    /// # Errors
    /// The disk's; the sender may be told twice.
    pub fn append_warned(&mut self) -> io::Result<()> {
        self.append(vec![Appended::Warned { at: SystemTime::now() }])?;
        self.file.sync()
    }

    /// Reads the whole content and compares its checksum.
    ///
    /// # Errors
    /// The disk's, or damage.
    pub fn verify(&self) -> Result<(), OpenError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut chunk = vec![0; 64 * 1024];
        let mut at = self.content.start;
        while at < self.content.end {
            let want = usize::try_from(self.content.end - at).unwrap_or(chunk.len()).min(chunk.len());
            self.file.read_exact_at(&mut chunk[..want], at)?;
            hasher.update(&chunk[..want]);
            at += want as u64;
        }
        if hasher.finalize() == self.checksum { Ok(()) } else { Err(Damage::Checksum.into()) }
    }

    fn append_finished(&mut self, slots: &[usize], bounced: bool) -> io::Result<()> {
        let done = |slot: &usize| Ok(Appended::Done { slot: number(*slot)?, bounced });
        self.append(slots.iter().map(done).collect::<io::Result<_>>()?)?;
        self.file.sync()
    }

    /// One write, at the end of the last whole record; what a crash left behind that is cut off first.
    fn append(&mut self, records: Vec<Appended>) -> io::Result<()> {
        let mut octets = Vec::new();
        records.iter().for_each(|record| record.write(&mut octets));
        if self.file.meta()?.size != self.end {
            self.file.set_len(self.end)?;
        }
        self.file.write_at(&octets, self.end)?;
        self.end += octets.len() as u64;
        records.into_iter().for_each(|record| self.take(record));
        Ok(())
    }

    /// A number that no recipient has is passed over: a done record too many must not stop the others.
    fn take(&mut self, record: Appended) {
        match record {
            Appended::Done { slot, bounced } => {
                self.set(slot, if bounced { Progress::Bounced } else { Progress::Sent });
            }
            Appended::Deferred { slot, at, status, reason } => {
                self.set(slot, Progress::Deferred { at, status, reason });
            }
            Appended::Expanded { slot, into, owner } => {
                self.set(slot, Progress::Expanded);
                let parent = Some(slot);
                let sender = owner.or_else(|| self.slots.get(slot as usize)?.sender.clone());
                self.slots.extend(into.into_iter().map(|recipient| Slot {
                    recipient,
                    progress: Progress::New,
                    parent,
                    sender: sender.clone(),
                }));
            }
            Appended::Warned { at } => self.warned = Some(at),
        }
    }

    fn set(&mut self, slot: u32, progress: Progress) {
        if let Some(slot) = self.slots.get_mut(slot as usize)
            && !slot.progress.is_finished()
        {
            slot.progress = progress;
        }
    }
}

/// Reads the first octets, more and more until the prologue is whole.
fn read_prologue(file: &File, size: u64) -> Result<(format::Prologue, usize), OpenError> {
    let mut want = 4096.min(size);
    loop {
        let head = read_span(file, 0..want)?;
        match format::read_prologue(&head)? {
            Some(found) => return Ok(found),
            None if want == size => return Err(Damage::Short.into()),
            None => want = (want * 4).min(size),
        }
    }
}

fn read_span(file: &File, span: Range<u64>) -> Result<Vec<u8>, OpenError> {
    let length = usize::try_from(span.end - span.start).map_err(|_| Damage::Short)?;
    let mut octets = vec![0; length];
    file.read_exact_at(&mut octets, span.start)?;
    Ok(octets)
}

fn number(slot: usize) -> io::Result<u32> {
    u32::try_from(slot).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Damage> for OpenError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("gone"),
            Self::Disk(error) => error.fmt(f),
            Self::Damaged(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}
