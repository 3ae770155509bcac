//! Errors of the store in the session's words; what the client need not know goes to the log.

use imap::question::Trouble;
use mailstore::Error;

/// What the client is told.
pub(crate) fn trouble(error: &Error) -> Trouble {
    match error {
        Error::AlreadyExists => Trouble::AlreadyExists,
        Error::BadName => Trouble::BadName,
        Error::Busy => Trouble::InUse,
        Error::Full => {
            tracing::error!("{error}");
            Trouble::OverQuota
        }
        Error::InUse => Trouble::Cannot,
        Error::KeywordLimit => Trouble::KeywordLimit,
        Error::NoMailbox => Trouble::NoMailbox,
        Error::NoMessage => Trouble::NoMessage,
        Error::OverLimit => Trouble::OverQuota,
        Error::ReadOnly(_) => {
            tracing::warn!("{error}");
            Trouble::ReadOnly
        }
        Error::Damaged(_) | Error::Disk(_) | Error::Unsafe(_) => {
            tracing::error!("{error}");
            Trouble::Internal
        }
    }
}
