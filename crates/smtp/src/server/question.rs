//! All that the server machine wants from the world: the security review list, and the whole test double.
//!
//! | question | right answers |
//! |---|---|
//! | `Authenticate` | `Accepted`, `Refused` (the machine words a 535 itself), `Unavailable` |
//! | `Sender` | `Accepted`, `Refused` (sent as it is) |
//! | `Recipient` | `Accepted`, `Refused` (sent as it is) |
//! | `Name` | `Named`, `Refused` |
//! | `Open` | `Accepted`, `Refused` |
//! | `Write` | `Accepted`, `Refused` |
//! | `Commit` | `Accepted` (the message is on disk, its folder synced), `Refused` |
//! | `Discard` | anything |
//! | `Verify` | `Accepted`, `Refused` |
//! | `Flush` | `Accepted`, `Unavailable` (459), `Refused` (458) |
//!
//! After `Refused` to `Open`, `Write` or `Commit` the world holds nothing open any more. Any other answer counts as
//! our own fault: `451 4.3.0`.

use alloc::boxed::Box;
use bytes::Bytes;
use mail::{Address, Domain, Envelope, QueueId, Recipient};
use sasl::Credentials;

use crate::{Reply, trace::Received};

/// What the machine asks.
#[derive(Debug)]
pub enum Question {
    /// Is this the user's password?
    Authenticate(Credentials),
    /// May this client send one more message? Only asked where [`super::Policy::counts_messages`].
    Sender,
    /// May mail from this sender come in for this recipient (ours, or relaying is allowed)?
    Recipient {
        /// The reverse path; `None` is `<>`.
        sender: Option<Address>,
        /// Qualified with our origin where the client wrote a bare name (then `original` is what it wrote).
        recipient: Recipient,
        /// The client is in `mynetworks` or has authenticated: may relay.
        may_relay: bool,
        /// Who authenticated, if anybody.
        user: Option<alloc::string::String>,
    },
    /// Choose the queue id of a new message. Nothing need touch the disk.
    Name,
    /// Open a queue file for this message. Write the trace field and complete the header as it says.
    Open(Box<Transaction>),
    /// Append these octets: the message with LF line ends, or as received for BODY=BINARYMIME.
    Write(Bytes),
    /// Append these last octets, then make the message safe: it is ours once this is answered with `Accepted`.
    Commit(Bytes),
    /// Throw the open message away.
    Discard,
    /// VRFY: do we take mail for this address?
    Verify(Address),
    /// ETRN: try everything queued for this domain now.
    Flush(Domain),
}

/// A message about to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// As answered to [`Question::Name`].
    pub id: QueueId,
    /// Who sent it to whom.
    pub envelope: Envelope,
    /// Everything the Received field says but the date.
    pub received: Received,
    /// The client is local, in our networks, or authenticated: add Message-Id, Date and From where they are missing,
    /// and our origin to bare addresses.
    pub complete_headers: bool,
    /// Who authenticated, if anybody.
    pub user: Option<alloc::string::String>,
    /// How.
    pub mechanism: Option<&'static str>,
    /// Who first submitted the message, as somebody who authenticated says (AUTH= of MAIL, RFC 4954).
    pub submitter: Option<alloc::string::String>,
    /// The client's name or `unknown`, and its address, for the queue file's origin.
    pub client: super::Client,
}

/// What the world answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes; done.
    Accepted,
    /// Here is the queue id.
    Named(QueueId),
    /// No, and this is what the client is told.
    Refused(Reply),
    /// Whoever knows cannot be asked now.
    Unavailable,
}
