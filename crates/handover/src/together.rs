//! mda ↔ local: one sync for the mailboxes of many users.
//!
//! Over a socket pair of its own, besides the one of the tasks: a packet from mda is the device number of the file system
//! it has written to, a packet from local how the sync went that began after that.

/// What local answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// All that was written before is durable.
    Done,
    /// Nothing was done: sync the files themselves.
    Yourself,
    /// The disk failed: what was written before may be lost.
    Failed,
}

impl Synced {
    /// The packet.
    #[must_use]
    pub const fn packet(self) -> [u8; 1] {
        match self {
            Self::Done => *b"D",
            Self::Yourself => *b"Y",
            Self::Failed => *b"F",
        }
    }

    /// What a packet says; one that says nothing we know makes nobody believe that something is durable.
    #[must_use]
    pub const fn read(packet: &[u8]) -> Self {
        match packet {
            b"D" => Self::Done,
            b"F" => Self::Failed,
            _ => Self::Yourself,
        }
    }
}
