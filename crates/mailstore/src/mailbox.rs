//! One open mailbox, whatever its format.

use std::path::PathBuf;

use durable::Meta;
use mail::date::Moment;
use mail::{Flags, Uid};

use crate::incoming::Carried;
use crate::maildir::folder::Maildir;
use crate::mbox::folder::Mbox;
use crate::reading::PIECE;
use crate::{Changes, Error, FlagChange, Incoming, NewMessage, Reading, Snapshot};

/// A mailbox: its last snapshot, and what can be done with it. One value serves all sessions of a user; it locks the
/// files only while it changes them.
///
/// A uid that is given to it is one of the last [`Mailbox::refresh`]: where another UIDVALIDITY is found meanwhile, each is
/// [`Error::NoMessage`] until the next, which tells ([`Changes::renumbered`]).
pub struct Mailbox {
    format: Format,
    watch: Vec<PathBuf>,
    identity: Identity,
}

/// Which directory holds a mailbox, whatever it is called now: a Maildir itself, or the directory of an mbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl From<Meta> for Identity {
    fn from(meta: Meta) -> Self {
        Self { device: meta.device, inode: meta.inode }
    }
}

#[allow(clippy::large_enum_variant, reason = "few are open at a time")]
enum Format {
    Maildir(Maildir),
    Mbox(Mbox),
}

impl Mailbox {
    /// What it held when last looked at.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        match &self.format {
            Format::Maildir(maildir) => maildir.snapshot(),
            Format::Mbox(mbox) => mbox.snapshot(),
        }
    }

    /// Looks again; cheap when nothing changed.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] when it was deleted, or the disk refuses.
    pub fn refresh(&mut self) -> Result<Changes, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.refresh(),
            Format::Mbox(mbox) => mbox.refresh(),
        }
    }

    /// `Err` says why nothing here can be written ([`Error::ReadOnly`]); asked before SELECT answers READ-WRITE.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]
    pub fn writable(&self) -> Result<(), Error> {
        match &self.format {
            Format::Maildir(maildir) => maildir.writable(),
            Format::Mbox(mbox) => mbox.writable(),
        }
    }

    /// Takes the recent mark off all messages (Maildir: moves them from new/ to cur/) and returns those that had it.
    ///
    /// # Errors
    /// When the disk refuses; then they stay recent.
    pub fn claim_recent(&mut self) -> Result<Vec<Uid>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.claim_recent(),
            Format::Mbox(mbox) => mbox.claim_recent(),
        }
    }

    /// The whole message with CRLF line ends.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn read(&mut self, uid: Uid) -> Result<Vec<u8>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.read(uid),
            Format::Mbox(mbox) => mbox.read(uid),
        }
    }

    /// Opens a message to be read piece by piece.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn begin(&mut self, uid: Uid) -> Result<Reading, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.begin(uid),
            Format::Mbox(mbox) => mbox.begin(uid),
        }
    }

    /// Octets of [`Mailbox::read`] from `offset` on: at most `limit`, not always so many, none at the end.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn read_from(&mut self, reading: &mut Reading, offset: u64, limit: usize) -> Result<Vec<u8>, Error> {
        match &mut self.format {
            Format::Maildir(_) => reading.read(offset, limit),
            Format::Mbox(mbox) => mbox.read_from(reading, offset, limit),
        }
    }

    /// Octets of [`Mailbox::read`], counted, whatever the file's name says.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn exact_size(&mut self, uid: Uid) -> Result<u64, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.counted_size(uid),
            Format::Mbox(mbox) => mbox.size(uid),
        }
    }

    /// Its header with CRLF line ends, the empty line included; reads no more of the file than that.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn read_header(&mut self, uid: Uid) -> Result<Vec<u8>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.read_header(uid),
            Format::Mbox(mbox) => mbox.read_header(uid),
        }
    }

    /// Octets of [`Mailbox::read`]; from the file name where it tells, else counted once.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn size(&mut self, uid: Uid) -> Result<u64, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.size(uid),
            Format::Mbox(mbox) => mbox.size(uid),
        }
    }

    /// INTERNALDATE, in UTC.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn date(&mut self, uid: Uid) -> Result<Moment, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.date(uid),
            Format::Mbox(mbox) => mbox.date(uid),
        }
    }

    /// The POP3 unique id: Dovecot's `%08Xu%08Xv` in lower case unless the control file says otherwise.
    ///
    /// # Errors
    /// [`Error::NoMessage`]
    pub fn uidl(&self, uid: Uid) -> Result<String, Error> {
        match &self.format {
            Format::Maildir(maildir) => maildir.uidl(uid),
            Format::Mbox(mbox) => mbox.uidl(uid),
        }
    }

    /// All keywords this mailbox knows.
    #[must_use]
    pub fn keywords(&self) -> Vec<String> {
        match &self.format {
            Format::Maildir(maildir) => maildir.keywords(),
            Format::Mbox(mbox) => mbox.keywords(),
        }
    }

    /// How many keywords it can have, if there is a limit: a Maildir has letters for 26. One more is
    /// [`Error::KeywordLimit`].
    #[must_use]
    pub const fn most_keywords(&self) -> Option<usize> {
        match &self.format {
            Format::Maildir(_) => Some(crate::maildir::keywords::MOST),
            Format::Mbox(_) => None,
        }
    }

    /// Changes the flags of messages; returns those whose flags are others now. The snapshot follows. A message that is
    /// gone is left out.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] or the disk refuses; never pretends.
    pub fn set_flags(&mut self, uids: &[Uid], change: &FlagChange) -> Result<Vec<Uid>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.set_flags(uids, change),
            Format::Mbox(mbox) => mbox.set_flags(uids, change),
        }
    }

    /// Removes messages for good; returns those that were there, in ascending order. The snapshot follows.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] or the disk refuses; never pretends.
    pub fn expunge(&mut self, uids: &[Uid]) -> Result<Vec<Uid>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.expunge(uids),
            Format::Mbox(mbox) => mbox.expunge(uids),
        }
    }

    /// Stores messages, all or none, synced; returns their uids in the same order. The snapshot follows, and the next
    /// [`Mailbox::refresh`] tells of them as it does of others' (so too of copies that came here).
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Full`] or the disk refuses.
    pub fn append(&mut self, messages: &[NewMessage<'_>]) -> Result<Vec<Uid>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.append(messages),
            Format::Mbox(mbox) => mbox.append(messages),
        }
    }

    /// Begins a message that comes piece by piece.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Full`] or the disk refuses.
    pub fn begin_append(&self) -> Result<Incoming, Error> {
        match &self.format {
            Format::Maildir(maildir) => maildir.begin_append(),
            Format::Mbox(mbox) => mbox.begin_append(),
        }
    }

    /// Stores a message that came, as [`Mailbox::append`] does.
    ///
    /// # Errors
    /// As [`Mailbox::append`].
    pub fn store(&mut self, incoming: Incoming, flags: &Flags, date: Moment) -> Result<Uid, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.store(incoming, flags, date),
            Format::Mbox(mbox) => mbox.store(incoming, flags, date),
        }
    }

    /// Copies messages with flags and dates, all or none; returns (old, new) uids in the order asked.
    ///
    /// # Errors
    /// As [`Mailbox::append`]; [`Error::NoMessage`] when one is gone.
    pub fn copy(&mut self, uids: &[Uid], to: &mut Self) -> Result<Vec<(Uid, Uid)>, Error> {
        if let (Format::Maildir(from), Format::Maildir(to)) = (&mut self.format, &mut to.format) {
            return from.copy(uids, to);
        }
        let carried = self.carry(uids, to.begin_carrying()?)?;
        let new = to.store_all(carried)?;
        Ok(uids.iter().copied().zip(new).collect())
    }

    /// As [`Mailbox::copy`], into this mailbox itself.
    ///
    /// # Errors
    /// As [`Mailbox::copy`].
    pub fn copy_here(&mut self, uids: &[Uid]) -> Result<Vec<(Uid, Uid)>, Error> {
        if let Format::Maildir(maildir) = &mut self.format {
            return maildir.copy_here(uids);
        }
        let carried = self.carry(uids, self.begin_carrying()?)?;
        let new = self.store_all(carried)?;
        Ok(uids.iter().copied().zip(new).collect())
    }

    /// Copies, then expunges here. A crash between leaves copies, never a loss.
    ///
    /// # Errors
    /// As [`Mailbox::copy`] and [`Mailbox::expunge`].
    pub fn mv(&mut self, uids: &[Uid], to: &mut Self) -> Result<Vec<(Uid, Uid)>, Error> {
        self.writable()?;
        let pairs = self.copy(uids, to)?;
        self.expunge(uids)?;
        Ok(pairs)
    }

    /// A place for messages that are to come here: what they are carried in is kept where this mailbox keeps its own.
    fn begin_carrying(&self) -> Result<Carried, Error> {
        match &self.format {
            Format::Maildir(maildir) => maildir.begin_append().map(Carried::new),
            Format::Mbox(mbox) => mbox.begin_append().map(Carried::new),
        }
    }

    /// Everything is read before anything is locked for writing.
    fn carry(&mut self, uids: &[Uid], mut carried: Carried) -> Result<Carried, Error> {
        for uid in uids {
            let flags = self.flags(*uid).ok_or(Error::NoMessage)?.clone();
            let (mut reading, mut at) = (self.begin(*uid)?, 0);
            loop {
                let piece = self.read_from(&mut reading, at, PIECE)?;
                if piece.is_empty() {
                    break;
                }
                at += piece.len() as u64;
                carried.write(&piece)?;
            }
            carried.end(flags, self.date(*uid)?)?;
        }
        Ok(carried)
    }

    fn store_all(&mut self, carried: Carried) -> Result<Vec<Uid>, Error> {
        match &mut self.format {
            Format::Maildir(maildir) => maildir.store_all(&carried),
            Format::Mbox(mbox) => mbox.store_all(&carried),
        }
    }

    /// The directories whose change means that this mailbox changed (for inotify): Maildir `new` and `cur`, or the
    /// directory of the mbox.
    #[must_use]
    pub fn watch(&self) -> Vec<PathBuf> {
        self.watch.clone()
    }

    /// Where it was when it was opened; to be compared with [`crate::Store::identity`].
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The flags of one message.
    #[must_use]
    pub fn flags(&self, uid: Uid) -> Option<&Flags> {
        self.snapshot().get(uid).map(|message| &message.flags)
    }
}

impl Mailbox {
    pub(crate) fn maildir(maildir: Maildir, path: &std::path::Path) -> Result<Self, Error> {
        let identity = maildir.directory()?.into();
        Ok(Self { format: Format::Maildir(maildir), watch: vec![path.join("new"), path.join("cur")], identity })
    }

    pub(crate) fn mbox(mbox: Mbox, directory: PathBuf) -> Result<Self, Error> {
        let identity = mbox.directory()?.into();
        Ok(Self { format: Format::Mbox(mbox), watch: vec![directory], identity })
    }
}
