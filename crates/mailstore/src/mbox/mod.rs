//! mbox files, as Debian's tools read and write them.
//!
//! Each message: a `From ` line, the message with body lines that begin with `From ` quoted (`>From `), an empty line. What
//! a reader notes (uid, flags, keywords) stands in header fields as c-client and Dovecot write them, hidden from clients.
//! Locks in Debian's order: fcntl, then `NAME.lock`.

mod append;
pub(crate) mod files;
pub(crate) mod folder;
mod journal;
pub(crate) mod lock;
mod parse;
mod quoting;
mod render;
mod storing;
mod tail;

pub use append::{Append, append, sweep};
pub use quoting::WithoutNotes;

#[cfg(test)]
mod tests;
