//! One open mailbox, whatever its format.

use mail::date::Moment;
use mail::{Flags, Uid};

use crate::{Changes, Error, FlagChange, NewMessage, Snapshot};

/// A mailbox: its last snapshot, and what can be done with it. One value serves all sessions of a user; it locks the
/// files only while it changes them.
pub struct Mailbox {
    snapshot: Snapshot,
}

impl Mailbox {
    /// What it held when last looked at.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Looks again; cheap when nothing changed.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] when it was deleted, or the disk refuses.
    pub fn refresh(&mut self) -> Result<Changes, Error> {
        todo!()
    }

    /// `Err` says why nothing here can be written ([`Error::ReadOnly`]); asked before SELECT answers READ-WRITE.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]
    pub fn writable(&self) -> Result<(), Error> {
        todo!()
    }

    /// Takes the recent mark off all messages (Maildir: moves them from new/ to cur/) and returns those that had it.
    ///
    /// # Errors
    /// When the disk refuses; then they stay recent.
    pub fn claim_recent(&mut self) -> Result<Vec<Uid>, Error> {
        todo!()
    }

    /// The whole message with CRLF line ends.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn read(&mut self, _uid: Uid) -> Result<Vec<u8>, Error> {
        todo!()
    }

    /// Its header with CRLF line ends, the empty line included; reads no more of the file than that.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn read_header(&mut self, _uid: Uid) -> Result<Vec<u8>, Error> {
        todo!()
    }

    /// Octets of [`Mailbox::read`]; from the file name where it tells, else counted once.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn size(&mut self, _uid: Uid) -> Result<u64, Error> {
        todo!()
    }

    /// INTERNALDATE, in UTC.
    ///
    /// # Errors
    /// [`Error::NoMessage`] or the disk refuses.
    pub fn date(&mut self, _uid: Uid) -> Result<Moment, Error> {
        todo!()
    }

    /// The POP3 unique id: Dovecot's `%08Xu%08Xv` in lower case unless the control file says otherwise.
    ///
    /// # Errors
    /// [`Error::NoMessage`]
    pub fn uidl(&self, _uid: Uid) -> Result<String, Error> {
        todo!()
    }

    /// All keywords this mailbox knows.
    #[must_use]
    pub fn keywords(&self) -> Vec<String> {
        todo!()
    }

    /// Changes the flags of messages; returns those whose flags are others now. The snapshot follows. A message that is
    /// gone is left out.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] or the disk refuses; never pretends.
    pub fn set_flags(&mut self, _uids: &[Uid], _change: &FlagChange) -> Result<Vec<Uid>, Error> {
        todo!()
    }

    /// Removes messages for good; returns those that were there, in ascending order. The snapshot follows.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] or the disk refuses; never pretends.
    pub fn expunge(&mut self, _uids: &[Uid]) -> Result<Vec<Uid>, Error> {
        todo!()
    }

    /// Stores messages, all or none, synced; returns their uids in the same order. The snapshot follows.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Full`] or the disk refuses.
    pub fn append(&mut self, _messages: &[NewMessage<'_>]) -> Result<Vec<Uid>, Error> {
        todo!()
    }

    /// Copies messages with flags and dates, all or none; returns (old, new) uids.
    ///
    /// # Errors
    /// As [`Mailbox::append`]; [`Error::NoMessage`] when one is gone.
    pub fn copy(&mut self, _uids: &[Uid], _to: &mut Self) -> Result<Vec<(Uid, Uid)>, Error> {
        todo!()
    }

    /// Copies, then expunges here. A crash between leaves copies, never a loss.
    ///
    /// # Errors
    /// As [`Mailbox::copy`] and [`Mailbox::expunge`].
    pub fn mv(&mut self, _uids: &[Uid], _to: &mut Self) -> Result<Vec<(Uid, Uid)>, Error> {
        todo!()
    }

    /// The directories whose change means that this mailbox changed (for inotify): Maildir `new` and `cur`, or the
    /// directory of the mbox.
    #[must_use]
    pub fn watch(&self) -> Vec<std::path::PathBuf> {
        todo!()
    }

    /// The flags of one message.
    #[must_use]
    pub fn flags(&self, uid: Uid) -> Option<&Flags> {
        self.snapshot.get(uid).map(|message| &message.flags)
    }
}
