//! Delivery into a Maildir: `tmp/` write, sync, rename into `new/`, sync of the folder; many at once share that last sync.

use durable::Dir;

use crate::{Content, Error};

/// An open Maildir to deliver to. Shared by many threads.
pub struct Delivery {
    _new: Dir,
}

/// A message written and synced in `tmp/`; dropping it removes the file.
pub struct Pending {
    _name: String,
}

/// A message that is in `new/` for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The file name in `new/`.
    pub name: String,
    /// Octets of the file.
    pub size: u64,
}

impl Delivery {
    /// Opens the Maildir `path` (relative to `home`, e.g. `Maildir/` or `Maildir/.Junk`), making it (0700, parents
    /// synced) where it is missing. `host` goes into file names.
    ///
    /// # Errors
    /// [`Error::Unsafe`] when something in the way is a symlink or not ours.
    pub fn open(_home: &Dir, _path: &str, _host: &str) -> Result<Self, Error> {
        todo!()
    }

    /// Writes and syncs one message in `tmp/`. Call it from several threads at once to share the disk's work.
    ///
    /// # Errors
    /// When the disk refuses; nothing is left then.
    pub fn write(&self, _content: &Content<'_>) -> Result<Pending, Error> {
        todo!()
    }

    /// Moves written messages into `new/` and syncs the folder once. Only an `Ok` may be acknowledged.
    pub fn commit(&self, _pending: Vec<Pending>) -> Vec<Result<Delivered, Error>> {
        todo!()
    }

    /// [`Delivery::write`] and [`Delivery::commit`] of one message; syncs of the folder are shared between threads.
    ///
    /// # Errors
    /// When the disk refuses; then the message is not delivered.
    pub fn deliver(&self, _content: &Content<'_>) -> Result<Delivered, Error> {
        todo!()
    }
}
