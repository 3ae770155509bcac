//! What can go wrong with a mailbox, by who can mend it.

use std::{fmt, io};

/// Why an operation on a mailbox failed. In doubt it is temporary: the mail is kept and tried again.
#[derive(Debug)]
pub enum Error {
    /// There is already a mailbox of that name.
    AlreadyExists,
    /// A Maildir names at most 26 keywords; this would be one more.
    KeywordLimit,
    /// Not a name a mailbox can have here.
    BadName,
    /// Another program holds the lock and did not let go in time.
    Busy,
    /// A file is not what it should be; the text names it.
    Damaged(String),
    /// The disk refused.
    Disk(io::Error),
    /// No space or no quota left.
    Full,
    /// The mailbox has messages or children that forbid this, or is INBOX.
    InUse,
    /// The mailbox is not there (any more).
    NoMailbox,
    /// The message is not there (any more).
    NoMessage,
    /// The message would make the mailbox larger than its limit.
    OverLimit,
    /// The mailbox cannot be written by us; the text says what would help.
    ReadOnly(String),
    /// A file or directory in the way is a symlink, or belongs to somebody else, or others may write it.
    Unsafe(String),
}

impl Error {
    /// Whether the same operation may succeed later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Busy | Self::Damaged(_) | Self::Disk(_) | Self::Full | Self::ReadOnly(_) | Self::Unsafe(_) => true,
            Self::AlreadyExists
            | Self::BadName
            | Self::InUse
            | Self::KeywordLimit
            | Self::NoMailbox
            | Self::NoMessage
            | Self::OverLimit => false,
        }
    }
}

impl Error {
    /// The same, where it came of writing: a lack of permission means the mailbox is read-only for us.
    pub(crate) fn write_refused(self) -> Self {
        match self {
            Self::Disk(error) if error.kind() == io::ErrorKind::PermissionDenied => Self::ReadOnly(error.to_string()),
            other => other,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly("the file system is mounted read-only".into()),
            _ => Self::Disk(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists => f.write_str("mailbox already exists"),
            Self::BadName => f.write_str("bad mailbox name"),
            Self::Busy => f.write_str("mailbox is locked by another program"),
            Self::Damaged(what) => write!(f, "damaged: {what}"),
            Self::Disk(error) => error.fmt(f),
            Self::Full => f.write_str("no space left on device or quota exceeded"),
            Self::InUse => f.write_str("mailbox is in use"),
            Self::KeywordLimit => f.write_str("no more than 26 keywords in a Maildir"),
            Self::NoMailbox => f.write_str("no such mailbox"),
            Self::NoMessage => f.write_str("no such message"),
            Self::OverLimit => f.write_str("mailbox would exceed its size limit"),
            Self::ReadOnly(why) => write!(f, "mailbox is read-only: {why}"),
            Self::Unsafe(what) => write!(f, "unsafe: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => Some(error),
            _ => None,
        }
    }
}
