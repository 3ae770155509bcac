//! Prompt delivery: what `smtpd` and `qmgr` say to one another about messages that may reach their mailboxes before they
//! are promised.
//!
//! A small message need not be made durable in the queue if it becomes durable in its mailbox at once: smtpd offers an
//! image of its queue file, which is in memory only, to qmgr, which delivers from it, and the client has its `250` when all
//! mailboxes are synced. Whatever takes longer or goes another way (a relay, an alias that expands, a notice, a recipient who
//! has to wait) is committed to the queue first, as any other message. Over `QUEUE/private/prompt`, a `SEQPACKET` socket on which qmgr listens.
//!
//! | state of the message | smtpd knows | qmgr knows | leads on | a crash or power cut leaves |
//! |---|---|---|---|---|
//! | offered | the image, a client that waits | in delivery, lent | `Delivered` or `Commit`, or smtpd's patience ends: `TakenBack` | nothing promised: the client sends it again; perhaps copies in mailboxes |
//! | delivered | the client may be answered | nothing but its name | `LetGo` | mail in its mailboxes, durably |
//! | to be committed | synced, then renamed to `incoming/ID`, directory synced: **the promise** | in delivery, lent; writes no record | the wake-up, or a look at `incoming` | as with any message that comes in |
//! | committed | the client may be answered | moves it to `active`: its own; reads that file from now on | as any message | as any message |
//!
//! When the connection breaks, smtpd commits what it has offered, and qmgr sees what it has through: the directories tell what
//! became of it. One that is delivered while smtpd is committing it goes as soon as it is committed, also when smtpd is not heard
//! any more. qmgr that is told to end borrows nothing, and waits for what smtpd may be taking back.

use handover::packet::{Malformed, Packed, Reader, Writer};
use mail::QueueId;

/// The name of the socket in `private`.
pub(crate) const SOCKET: &str = "prompt";

/// What smtpd says. Several may be in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Here is a message: its image is the next descriptor of the packet.
    Offered(QueueId),
    /// Here is a small message: its image is the rest of the packet.
    Enclosed(QueueId),
    /// This one took too long and is being committed.
    TakenBack(QueueId),
    /// The name of this delivered message means nothing any more.
    LetGo(QueueId),
}

/// What qmgr answers. Several may be in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is in all its mailboxes, durably.
    Delivered(QueueId),
    /// It is to be put in the queue.
    Commit(QueueId),
}

impl Packed for Said {
    fn write(&self, to: &mut Writer) {
        let (kind, id) = match *self {
            Self::Offered(id) => (b'O', id),
            Self::Enclosed(id) => (b'E', id),
            Self::TakenBack(id) => (b'T', id),
            Self::LetGo(id) => (b'L', id),
        };
        to.octet(kind);
        to.id(id);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (kind, id) = (from.octet()?, from.id()?);
        match kind {
            b'O' => Ok(Self::Offered(id)),
            b'E' => Ok(Self::Enclosed(id)),
            b'T' => Ok(Self::TakenBack(id)),
            b'L' => Ok(Self::LetGo(id)),
            _ => Err(Malformed),
        }
    }
}

impl Packed for Answer {
    fn write(&self, to: &mut Writer) {
        let (kind, id) = match *self {
            Self::Delivered(id) => (b'D', id),
            Self::Commit(id) => (b'C', id),
        };
        to.octet(kind);
        to.id(id);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (kind, id) = (from.octet()?, from.id()?);
        match kind {
            b'D' => Ok(Self::Delivered(id)),
            b'C' => Ok(Self::Commit(id)),
            _ => Err(Malformed),
        }
    }
}
