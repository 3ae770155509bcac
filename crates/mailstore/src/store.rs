//! All mailboxes of one user: list, create, rename, delete, subscribe, open.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Mailbox};

/// Where a user's mail is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A Maildir++ tree; the root itself is INBOX.
    Maildir {
        /// For instance `/home/kevin/Maildir`.
        root: PathBuf,
    },
    /// mbox files.
    Mbox {
        /// For instance `/var/mail/kevin`.
        inbox: PathBuf,
        /// For instance `/home/kevin/mail`.
        folders: PathBuf,
    },
}

/// Runs an action with the group that may write the mail spool (`mail_privileged_group`).
pub type Privileged = Arc<dyn Fn(&mut dyn FnMut() -> io::Result<()>) -> io::Result<()> + Send + Sync>;

/// What the caller decides.
#[derive(Clone)]
pub struct Options {
    /// For the dotlock of an mbox in a directory we may not write.
    pub privileged: Option<Privileged>,
    /// How long to wait for another program's lock.
    pub lock_timeout: Duration,
    /// Our name in file names; no slash, colon or comma gets in.
    pub host: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { privileged: None, lock_timeout: Duration::from_secs(60), host: "localhost".into() }
    }
}

/// The name of a mailbox as clients write it: IMAP's modified UTF-7, levels divided by [`Store::separator`]. `INBOX` in
/// capitals whatever case it came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(pub(crate) String);

impl MailboxName {
    /// INBOX.
    #[must_use]
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether this is INBOX.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name.
    pub name: MailboxName,
    /// It can hold messages; otherwise it is only a level above others (`\NoSelect`).
    pub selectable: bool,
    /// Others are below it.
    pub has_children: bool,
}

/// One user's mail.
pub struct Store {
    _location: Location,
    _options: Options,
}

impl Store {
    /// Opens the place; a Maildir is made (0700) where there is none, an mbox may be absent.
    ///
    /// # Errors
    /// When the place cannot be read or is not ours.
    pub fn open(location: Location, options: Options) -> Result<Self, Error> {
        Ok(Self { _location: location, _options: options })
    }

    /// `.` for Maildir, `/` for mbox.
    #[must_use]
    pub fn separator(&self) -> char {
        todo!()
    }

    /// Checks a name a client wrote.
    ///
    /// # Errors
    /// [`Error::BadName`]
    pub fn name(&self, _text: &str) -> Result<MailboxName, Error> {
        todo!()
    }

    /// All mailboxes, INBOX first, then by name; levels without a mailbox of their own included.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn list(&self) -> Result<Vec<Folder>, Error> {
        todo!()
    }

    /// The names subscribed to, whether or not they exist, in the order of the file.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn subscriptions(&self) -> Result<Vec<MailboxName>, Error> {
        todo!()
    }

    /// Adds a subscription.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn subscribe(&self, _name: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// Takes a subscription away; not being subscribed is fine.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn unsubscribe(&self, _name: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// Makes a mailbox and, where needed, the levels above it.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], or the disk refuses.
    pub fn create(&self, _name: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// Removes a mailbox with its messages; those below it stay. INBOX cannot go.
    ///
    /// # Errors
    /// [`Error::NoMailbox`], [`Error::InUse`], or the disk refuses.
    pub fn delete(&self, _name: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// Renames a mailbox and all below it. INBOX stays, its messages move (RFC 9051 §6.3.6).
    ///
    /// # Errors
    /// [`Error::NoMailbox`], [`Error::AlreadyExists`], or the disk refuses.
    pub fn rename(&self, _from: &MailboxName, _to: &MailboxName) -> Result<(), Error> {
        todo!()
    }

    /// Opens a mailbox and looks at it.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] or the disk refuses.
    pub fn mailbox(&self, _name: &MailboxName) -> Result<Mailbox, Error> {
        todo!()
    }
}
