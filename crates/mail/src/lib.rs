//! What mail is, with no file, socket, clock or log in reach (`no_std`).
//!
//! Values here are right by construction: an [`Address`] holds no line break, a [`Uid`] is never zero.
//! Every other crate speaks in these words.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod address;
pub mod date;
pub mod envelope;
pub mod event;
pub mod flags;
pub mod header;
pub mod mime;
pub mod queue_id;
pub mod status;
pub mod uid;

pub use address::{Address, Domain, OldForms};
pub use envelope::{Body, Envelope, Notify, Recipient, Ret};
pub use event::Event;
pub use flags::{Flag, Flags};
pub use queue_id::QueueId;
pub use status::EnhancedStatus;
pub use uid::{Seq, Uid, UidValidity};
