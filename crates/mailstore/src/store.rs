//! All mailboxes of one user: list, create, rename, delete, subscribe, open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use durable::Dir;

use crate::maildir::delivery::{ensure_maildir, ensure_ours};
use crate::maildir::folder::Tree;
use crate::maildir::name::Naming;
use crate::mbox::files::Files;
use crate::subscriptions::Subscriptions;
use crate::{Error, Identity, Mailbox};

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
    /// Minutes by which the local clock is ahead of UTC, for the `From ` lines of an mbox, which name no zone.
    pub local_offset: i16,
}

impl Default for Options {
    fn default() -> Self {
        Self { privileged: None, lock_timeout: Duration::from_secs(60), host: "localhost".into(), local_offset: 0 }
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

/// What is below a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// Others are below it.
    Some,
    /// Nothing yet.
    None,
    /// It is a file with messages: nothing ever can be (`\NoInferiors`).
    Impossible,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name.
    pub name: MailboxName,
    /// It can hold messages; otherwise it is only a level above others (`\NoSelect`).
    pub selectable: bool,
    /// What is below it.
    pub children: Children,
}

/// One user's mail.
pub struct Store {
    format: Format,
    timeout: Duration,
}

enum Format {
    Maildir { path: PathBuf, tree: Tree },
    Mbox(Files),
}

impl Store {
    /// Opens the place; a Maildir is made (0700) where there is none, an mbox may be absent.
    ///
    /// # Errors
    /// When the place cannot be read or is not ours.
    pub fn open(location: Location, options: Options) -> Result<Self, Error> {
        let timeout = options.lock_timeout;
        let format = match location {
            Location::Maildir { root } => {
                let (parent, name) = divide(&root)?;
                let dir = ensure_ours(&Dir::open(parent)?, name)?;
                ensure_maildir(&dir)?;
                let tree = Tree { root: dir, naming: Arc::new(Naming::new(&options.host)), timeout };
                Format::Maildir { path: root, tree }
            }
            Location::Mbox { inbox, folders } => Format::Mbox(Files::open(inbox, folders, options)?),
        };
        Ok(Self { format, timeout })
    }

    /// Whether the Maildir is still the one at its path: somebody may have removed it, or put another in its place. An
    /// mbox is looked up anew for each use.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let Format::Maildir { path, tree } = &self.format else { return true };
        let there = divide(path).and_then(|(parent, name)| Ok(Dir::open(parent)?.stat(name)?));
        match (there, tree.root.meta()) {
            (Ok(there), Ok(ours)) => (there.device, there.inode) == (ours.device, ours.inode),
            (Err(Error::Disk(error)), _) => error.kind() != io::ErrorKind::NotFound,
            (Err(_), _) | (_, Err(_)) => true,
        }
    }

    /// `.` for Maildir, `/` for mbox.
    #[must_use]
    pub const fn separator(&self) -> char {
        match self.format {
            Format::Maildir { .. } => '.',
            Format::Mbox(_) => '/',
        }
    }

    /// Checks a name a client wrote.
    ///
    /// # Errors
    /// [`Error::BadName`]
    pub fn name(&self, text: &str) -> Result<MailboxName, Error> {
        if text.eq_ignore_ascii_case("INBOX") {
            return Ok(MailboxName::inbox());
        }
        let separator = self.separator();
        let level = |level: &str| !level.is_empty() && (separator == '.' || !level.starts_with('.'));
        let fine = text.len() <= 200
            && !text.starts_with('~')
            && !text.chars().any(|c| c.is_control() || c == '/' && separator != '/')
            && text.split(separator).all(level);
        let ours = separator == '/' && text.split(separator).any(|level| level.ends_with(".lock"));
        if !fine || ours {
            return Err(Error::BadName);
        }
        // As its first level too INBOX is one, in whatever case: no client expects another beside it.
        Ok(MailboxName(match text.split_once(separator) {
            Some((first, below)) if first.eq_ignore_ascii_case("INBOX") => format!("INBOX{separator}{below}"),
            _ => text.to_owned(),
        }))
    }

    /// All mailboxes, INBOX first, then by name; levels without a mailbox of their own included.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub fn list(&self) -> Result<Vec<Folder>, Error> {
        match &self.format {
            Format::Maildir { tree, .. } => tree.list(),
            Format::Mbox(files) => files.list(),
        }
    }

    /// The names subscribed to, whether or not they exist, in the order of the file.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn subscriptions(&self) -> Result<Vec<MailboxName>, Error> {
        self.subscribed(|list| list.read())
    }

    /// Adds a subscription.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn subscribe(&self, name: &MailboxName) -> Result<(), Error> {
        self.subscribed(|list| list.add(name))
    }

    /// Takes a subscription away; not being subscribed is fine.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn unsubscribe(&self, name: &MailboxName) -> Result<(), Error> {
        self.subscribed(|list| list.remove(name))
    }

    fn subscribed<T>(&self, action: impl FnOnce(&Subscriptions<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let (separator, timeout) = (self.separator(), self.timeout);
        match &self.format {
            Format::Maildir { tree, .. } => {
                action(&Subscriptions { dir: &tree.root, file: "subscriptions", separator, timeout })
            }
            Format::Mbox(files) => {
                let dir = files.folders()?;
                action(&Subscriptions { dir: &dir, file: ".subscriptions", separator, timeout })
            }
        }
    }

    /// Makes a mailbox and, where needed, the levels above it.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], or the disk refuses.
    pub fn create(&self, name: &MailboxName) -> Result<(), Error> {
        match &self.format {
            Format::Maildir { tree, .. } => tree.create(name),
            Format::Mbox(files) => files.create(name),
        }
    }

    /// Removes a mailbox with its messages; those below it stay. INBOX cannot go.
    ///
    /// # Errors
    /// [`Error::NoMailbox`], [`Error::InUse`], or the disk refuses.
    pub fn delete(&self, name: &MailboxName) -> Result<(), Error> {
        match &self.format {
            Format::Maildir { tree, .. } => tree.delete(name),
            Format::Mbox(files) => files.delete(name),
        }
    }

    /// Renames a mailbox and all below it. INBOX stays, its messages move (RFC 9051 §6.3.6).
    ///
    /// # Errors
    /// [`Error::NoMailbox`], [`Error::AlreadyExists`], or the disk refuses.
    pub fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        match &self.format {
            Format::Maildir { tree, .. } => tree.rename(from, to),
            Format::Mbox(files) if from.is_inbox() => {
                files.create(to)?;
                let (mut inbox, mut target) = (self.mailbox(from)?, self.mailbox(to)?);
                let all: Vec<_> = inbox.snapshot().messages.iter().map(|message| message.uid).collect();
                inbox.mv(&all, &mut target).map(drop)
            }
            Format::Mbox(files) => files.rename(from, to),
        }
    }

    /// What a name stands for now. An open mailbox of another identity is not that one: it was moved or removed.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] or the disk refuses.
    pub fn identity(&self, name: &MailboxName) -> Result<Identity, Error> {
        let meta = match &self.format {
            Format::Maildir { tree, .. } => tree.meta(name)?,
            Format::Mbox(files) => files.directory(name)?.meta()?,
        };
        Ok(meta.into())
    }

    /// Opens a mailbox and looks at it.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] or the disk refuses.
    pub fn mailbox(&self, name: &MailboxName) -> Result<Mailbox, Error> {
        match &self.format {
            Format::Maildir { path, tree } => {
                let at = if name.is_inbox() { path.clone() } else { path.join(format!(".{name}")) };
                Mailbox::maildir(tree.open(name)?, &at)
            }
            Format::Mbox(files) => {
                let (mbox, directory) = files.mailbox(name)?;
                Mailbox::mbox(mbox, directory)
            }
        }
    }
}

/// A path as the directory it is in and its last name.
pub(crate) fn divide(path: &Path) -> Result<(&Path, &str), Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((if parent.as_os_str().is_empty() { Path::new(".") } else { parent }, name)),
        _ => Err(Error::BadName),
    }
}
