//! mbox files, as Debian's tools read and write them.

use std::time::Duration;

use durable::Dir;
use mail::date::Moment;

use crate::store::Privileged;
use crate::{Content, Error};

/// How to append a delivered message.
pub struct Append<'a> {
    /// The envelope sender for the `From ` line; empty: `MAILER-DAEMON`.
    pub sender: &'a str,
    /// When it is delivered, in local time.
    pub date: Moment,
    /// `mailbox_size_limit`; 0: none.
    pub size_limit: u64,
    /// For the dotlock (and a new file) in a directory we may not write.
    pub privileged: Option<&'a Privileged>,
    /// How long to wait for another program's lock.
    pub lock_timeout: Duration,
}

/// Appends one message to the mbox `name` in `dir` and syncs it. On any error the old mailbox is intact.
///
/// # Errors
/// [`Error::Busy`], [`Error::OverLimit`], [`Error::Unsafe`], or the disk refuses.
pub fn append(_dir: &Dir, _name: &str, _content: &Content<'_>, _how: &Append<'_>) -> Result<(), Error> {
    todo!()
}
