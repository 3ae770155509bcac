//! All that POP3 wants from the world.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use mail::Seq;
use wire::Secret;

/// Before login, the only question.
#[derive(Debug)]
pub struct LogIn {
    /// As typed; not UTF-8 becomes something no user is called.
    pub user: String,
    /// As typed.
    pub password: Secret<Vec<u8>>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedIn {
    /// The connection is handed over; the session machine gives the last reply.
    Admitted,
    /// Wrong, and the peer is not told more.
    Refused,
    /// Right, but too many sessions of this user from this address.
    TooMany,
    /// Cannot be checked now.
    Unavailable,
}

/// After login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Open the mailbox and look at it. Answer: [`Answer::Opened`].
    Open,
    /// The unique ids of all messages, in order. Answer: [`Answer::Uidls`].
    Uidls,
    /// Prepare to send this message. Answer: [`Answer::Fetched`], then [`Question::NextChunk`] follows.
    Fetch(Seq),
    /// Some more octets of it. Answer: [`Answer::Chunk`] or [`Answer::ChunkEnd`]. May not be asked to the end.
    NextChunk,
    /// The session ends well: remove these for good, and mark those as seen. Answer: [`Answer::Committed`], which says that
    /// the removal is on disk.
    Commit {
        /// To be removed, ascending.
        delete: Vec<Seq>,
        /// Those that were read and are not removed, ascending. Failing at this is no failure.
        seen: Vec<Seq>,
    },
}

/// What the world replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The octets of each message, line ends being CRLF, in order.
    Opened(Vec<u64>),
    /// One id per message.
    Uidls(Vec<String>),
    /// The exact number of octets that will follow.
    Fetched(u64),
    /// Octets with CRLF line ends.
    Chunk(Bytes),
    /// There is no more.
    ChunkEnd,
    /// Removed and synced.
    Committed,
    /// It could not be done.
    Failed(Failure),
}

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another program holds the mailbox.
    InUse,
    /// The message is gone: somebody else removed it.
    Gone,
    /// We may not write the mailbox; trying again will not help.
    ReadOnly,
    /// Anything else; the world has logged it.
    Temporary,
}
