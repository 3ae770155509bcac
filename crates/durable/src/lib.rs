//! The only code that syncs, renames, links or locks.
//!
//! A [`Dir`] is an open directory; every name is taken beneath it and never through a symlink. Behind it is a
//! [`RawDir`]: the real disk ([`Dir::open`]), or in tests the disk that forgets what was not synced ([`forgetful`]).
//!
//! The commit rule, for queue and mailbox alike: create under a temporary name, write, [`Dir::sync_before_names`], rename or
//! link, [`Dir::sync_shared`] of the directory (and of every new parent), only then answer. Where many processes name
//! files, one of them may do that last sync for all: [`Dir::left_to_another`], [`Volume::commit`]. A failed sync is final: that
//! file is given up, the same descriptor is never synced again.
#![allow(missing_docs)]

mod copy;
pub mod disk;
mod facade;
pub mod forgetful;
pub mod group;
mod journal;
pub mod lock;
mod octets;
pub mod real;
mod volume;

pub use disk::{Access, Dir, Entry, File, Kind, Meta, RawDir, RawFile, Space};
pub use facade::Writer;
pub use lock::{Lock, Patience};
pub use volume::Volume;
