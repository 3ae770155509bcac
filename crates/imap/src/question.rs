//! All that an IMAP session asks of the world.
//!
//! Before login ([`LoginQuestion`]): is this password right, then the connection is handed over. After it ([`Question`]):
//! the mailboxes of one user. Whoever answers [`Question`] needs no other right than that user's own.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use mail::date::Moment;
use mail::mime::Scanned;
use mail::{Flags, Uid, UidValidity};
use wire::Secret;

use crate::command::Change;
use crate::grammar::list::SpecialUse;
use crate::grammar::search::Content;
use crate::grammar::set::Ranges;

/// What the front asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginQuestion {
    /// Whether this is the user's password; if so, a worker that will take the connection.
    Login(Attempt),
}

/// A try to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// As the client wrote it.
    pub user: String,
    /// The password.
    pub password: Secret<Vec<u8>>,
    /// For the log: `PLAIN` for LOGIN too, as other servers write it.
    pub method: &'static str,
    /// The tag under which the worker answers.
    pub tag: String,
}

/// The world's answer to a front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginAnswer {
    /// Right, and a worker waits: hand over.
    Accepted,
    /// Wrong; the delay has passed.
    Refused,
    /// Nobody could tell, or no worker could be had. Not the client's fault.
    Unavailable,
    /// The user has too many sessions.
    TooMany,
}

/// What a session asks after login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// All mailboxes and subscriptions.
    Folders,
    /// Open a mailbox and follow it; whatever was open is closed.
    Open(String, Access),
    /// Stop following the open mailbox.
    Close,
    /// Counts of a mailbox.
    Status(String),
    /// Make a mailbox, for these uses.
    Create(String, Vec<SpecialUse>),
    /// Remove a mailbox.
    Delete(String),
    /// Rename a mailbox and those below it.
    Rename(String, String),
    /// Add a subscription.
    Subscribe(String),
    /// Remove one.
    Unsubscribe(String),
    /// What changed in the open mailbox since last told.
    Sync(Look),
    /// Data of these messages of the open mailbox.
    Read(Vec<Uid>, Need),
    /// Octets of a [`Data::large`] message just read, from this place on; some of them, as many as come at once.
    Octets(Uid, Range<u64>),
    /// Change flags of messages in the open mailbox.
    Store(Vec<Uid>, Change, Flags),
    /// Remove those of these messages of the open mailbox that are marked as deleted.
    Expunge(Vec<Uid>),
    /// Copy messages of the open mailbox, all or none.
    Copy(Vec<Uid>, String),
    /// The same, and they leave the open mailbox.
    Move(Vec<Uid>, String),
    /// Which of these messages of the open mailbox meet the test.
    Search(Vec<Uid>, Test),
    /// A message of so many octets is coming for a mailbox.
    AppendBegin(NewMessage),
    /// Octets of it.
    AppendChunk(Bytes),
    /// That was all: store it.
    AppendCommit,
    /// It will not be stored after all.
    AppendCancel,
}

/// How a mailbox is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// EXAMINE: nothing changes, not even `\Recent`.
    Examine,
    /// SELECT
    Select,
}

/// How hard to look for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Look at the disk.
    Disk,
    /// What is known already.
    Memory,
}

/// How much of a message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Its internal date.
    Date,
    /// Date and size.
    Size,
    /// Date, size and header.
    Header,
    /// Date, size and all octets.
    Whole,
    /// The same, and its parts if it is large.
    Parts,
}

/// What APPEND brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Where it goes.
    pub mailbox: String,
    /// Octets that will come.
    pub size: u64,
    /// Its flags.
    pub flags: Flags,
    /// Its internal date; `None`: now.
    pub date: Option<Moment>,
}

/// A search in which all that the session knows is settled: its message numbers, flags and recent marks are uids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// All of them.
    And(Vec<Test>),
    /// One of them.
    Or(Box<(Test, Test)>),
    /// Not that.
    Not(Box<Test>),
    /// One of these.
    Uids(Ranges),
    /// What the message must tell.
    Content(Content),
}

/// The world's answer to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and there is nothing to tell.
    Done,
    /// To [`Question::Folders`].
    Folders(Vec<Folder>),
    /// To [`Question::Open`].
    Opened(Opened),
    /// To [`Question::Status`].
    Status(Counts),
    /// To [`Question::Sync`].
    Changes(Changes),
    /// To [`Question::Read`], in the order asked.
    Messages(Vec<Result<Data, Missing>>),
    /// To [`Question::Octets`]: the first of them, at least one.
    Octets(Bytes),
    /// To [`Question::Store`]: the flags that messages have now; those that are gone are left out.
    Stored(Vec<(Uid, Flags)>),
    /// To [`Question::Expunge`]: those that were there.
    Expunged(Vec<Uid>),
    /// To [`Question::Copy`] and [`Question::Move`]: old and new uids.
    Copied(UidValidity, Vec<(Uid, Uid)>),
    /// To [`Question::Search`].
    Found(Vec<Uid>),
    /// To [`Question::AppendCommit`].
    Appended(UidValidity, Uid),
    /// It was not done.
    Refused(Trouble),
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

/// One mailbox or subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its name, in modified UTF-7.
    pub name: String,
    /// What there is under this name.
    pub kind: FolderKind,
    /// What is below it.
    pub children: Children,
    /// Whether it is subscribed.
    pub subscribed: bool,
    /// What it is for.
    pub uses: Vec<SpecialUse>,
}

/// What a name in a list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderKind {
    /// A mailbox.
    Mailbox,
    /// A level with mailboxes below it.
    Level,
    /// Nothing: only the subscription is left.
    Missing,
}

/// A mailbox just opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Holds for all uids.
    pub uid_validity: UidValidity,
    /// The next uid to be given.
    pub uid_next: Uid,
    /// In ascending order of uid.
    pub messages: Vec<Known>,
    /// All keywords in use.
    pub keywords: Vec<String>,
    /// How many keywords it can have; `None`: any number.
    pub most_keywords: Option<usize>,
    /// Whether it can be changed; `false` although SELECT was asked is told as READ-ONLY.
    pub writable: bool,
}

/// What a session keeps of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its uid.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// This session is the first to be told of it.
    pub recent: bool,
}

/// Counts for STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u32,
    /// Messages no session has been told of.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// The next uid.
    pub uid_next: Uid,
    /// The validity of uids.
    pub uid_validity: UidValidity,
}

/// What happened in the open mailbox by other hands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New messages, in ascending order of uid, all above those known.
    pub appeared: Vec<Known>,
    /// New flags of messages.
    pub flags: Vec<(Uid, Flags)>,
    /// Messages that are gone.
    pub vanished: Vec<Uid>,
    /// The mailbox was deleted or renumbered: the session cannot go on.
    pub lost: bool,
}

/// A message, as far as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Its internal date.
    pub date: Moment,
    /// Its size with CRLF line ends; 0 when it was not asked for.
    pub size: u64,
    /// Header or whole message with CRLF line ends.
    pub octets: Bytes,
    /// The whole was wanted and is too much to be handed over at once: `octets` is the header, the rest is had by
    /// [`Question::Octets`].
    pub large: Option<Box<Large>>,
}

/// Why there is nothing of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// It is gone.
    Gone,
    /// It is there but cannot be read.
    Unreadable,
}

/// What is known of a message that is not in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Large {
    /// Its parts, where [`Need::Parts`] was asked.
    pub scanned: Option<Scanned>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is such a mailbox already.
    AlreadyExists,
    /// Not possible for this mailbox, whatever the rights.
    Cannot,
    /// No mailbox can have this name.
    BadName,
    /// Another program holds the mailbox.
    InUse,
    /// A disk error or the like; tried later it may work.
    Internal,
    /// The mailbox cannot have one more keyword.
    KeywordLimit,
    /// There is no such mailbox.
    NoMailbox,
    /// A message of the set is gone.
    NoMessage,
    /// No mailbox of that name can be for this (RFC 6154).
    NoSuchUse,
    /// No room.
    OverQuota,
    /// The mailbox cannot be written; why, for the user.
    ReadOnly,
    /// The message is larger than any may be.
    TooBig,
}
