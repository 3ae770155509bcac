//! A mailbox and what is in it: Maildir and mbox, uids, flags, keywords, folders, search.
//!
//! The truth is the Maildir or mbox that mutt, procmail, mailutils and backup tools read and write at the same time; what
//! we keep beside it are Dovecot's control files, byte-compatible. Blocking; knows no protocol and no configuration.
//!
//! A reader: [`Store::open`], [`Store::mailbox`], then [`Mailbox`]'s snapshot, `refresh`, `read`, `set_flags`, `expunge`….
//! A writer: [`maildir::Delivery`] or [`mbox::append`].
//!
//! When something fails, [`Error::is_temporary`] says whether trying again later can help.

mod decode;
pub mod error;
mod holder;
mod incoming;
mod line_ends;
pub mod mailbox;
pub mod maildir;
pub mod mbox;
pub mod message;
#[doc(hidden)]
pub mod probe;
mod reading;
pub mod search;
pub mod store;
mod subscriptions;

pub use error::Error;
pub use incoming::Incoming;
pub use mailbox::{Identity, Mailbox};
pub use mbox::WithoutNotes;
pub use message::{Changes, Content, FlagChange, Message, NewMessage, Snapshot};
pub use reading::Reading;
pub use store::{Children, Folder, Location, MailboxName, Options, Store};
