//! All that a client session wants from the world, and what it tells it.

use alloc::boxed::Box;
use alloc::string::String;

use bytes::Bytes;
use mail::Envelope;

use super::report::{Outcome, Report};
use crate::downgrade::Sealed;

/// A question to the world.
#[derive(Debug)]
pub enum Question {
    /// TLS stands. Is the peer who it should be? [`Answer::Trusted`] or [`Answer::Distrusted`].
    Secured,
    /// Ready for mail: [`Answer::Message`], [`Answer::Later`] or [`Answer::Finish`].
    Next,
    /// Octets of the message at hand: [`Answer::Content`] or [`Answer::Unreadable`].
    Content(Part),
    /// What became of the message at hand; it is over. [`Answer::Noted`]. Store it before answering.
    Done(Box<Report>),
    /// No mail goes through this session: the greeting, EHLO, TLS or the login failed. [`Answer::Noted`], then the connection
    /// is closed. A session that had come as far as [`Question::Next`] and is lost between messages ends without a word.
    Failed(Box<Outcome>),
}

/// Which octets of the content are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those at its start, be it anew: a second transaction for the recipients that the first had no room for.
    First,
    /// Those that follow.
    Next,
}

/// The world's answer.
#[derive(Debug)]
pub enum Answer {
    /// Go on.
    Trusted,
    /// No mail to this host. The text for the log: `Server certificate not verified`.
    Distrusted(String),
    /// Deliver this.
    Message(Box<Message>),
    /// There is no message now. Keep the connection; [`wire::Input::Notice`] says when to ask again.
    Later,
    /// There is nothing more for this session.
    Finish,
    /// Some octets as they stand in the spool; none at the end. About 64 KiB at a time do well.
    Content(Bytes),
    /// The content cannot be read.
    Unreadable,
    /// Taken note of.
    Noted,
}

/// A message to deliver.
#[derive(Clone, Debug)]
pub struct Message {
    /// Sender, recipients with their parameters, and what the octets are: the body of [`mail::Body::BinaryMime`] is sent as it
    /// is, any other has LF line ends.
    pub envelope: Envelope,
    /// Octets of the content as it will be sent, or nearly.
    pub size: u64,
    /// What a signature covers of the parts that would have to be converted for a peer without BINARYMIME. Only asked of
    /// [`mail::Body::BinaryMime`].
    pub sealed: Sealed,
    /// The envelope with domains in ASCII (RFC 5890), when nothing else in it is beyond ASCII: for a peer without SMTPUTF8.
    pub in_ascii: Option<Box<Envelope>>,
    /// A header field holds UTF-8: together with the envelope's `smtputf8` the message cannot go without SMTPUTF8.
    pub utf8_headers: bool,
}
