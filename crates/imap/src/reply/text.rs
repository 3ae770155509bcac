//! What errors are called on the wire: [`Syntax`] and [`Trouble`] to the texts people and scripts know.

use alloc::format;
use alloc::string::String;

use crate::grammar::Syntax;
use crate::question::Trouble;

/// The text after `BAD Error in IMAP command NAME: `.
#[must_use]
pub fn syntax(syntax: &Syntax) -> String {
    match syntax {
        Syntax::Arguments => "Invalid arguments.".into(),
        Syntax::MessageSet => "Invalid messageset.".into(),
        Syntax::UidSet => "Invalid uidset.".into(),
        Syntax::Unknown(what, name) => format!("Unknown {what} {name}."),
        Syntax::TooDeep => "Too many nested lists.".into(),
        Syntax::MailboxName => "Mailbox name is not valid mUTF-7.".into(),
    }
}

/// The text after `NO `. `mailbox` is the name as the client wrote it.
#[must_use]
pub fn trouble(trouble: &Trouble, mailbox: &str) -> String {
    match trouble {
        Trouble::AlreadyExists => "[ALREADYEXISTS] Mailbox already exists.".into(),
        Trouble::BadName => "[CANNOT] Invalid mailbox name.".into(),
        Trouble::Cannot => "[CANNOT] Operation is not possible for this mailbox.".into(),
        Trouble::InUse => "[INUSE] Mailbox is locked by another program, try again later.".into(),
        Trouble::Internal => "[SERVERBUG] Internal error occurred. Refer to server log for more information.".into(),
        Trouble::KeywordLimit => "[LIMIT] Too many keywords in this mailbox.".into(),
        Trouble::NoMailbox => format!("Mailbox doesn't exist: {mailbox}"),
        Trouble::NoMessage => "[EXPUNGEISSUED] Some of the requested messages no longer exist.".into(),
        Trouble::NoSuchUse => "[USEATTR] A mailbox of that name can't have this special use.".into(),
        Trouble::OverQuota => "[OVERQUOTA] Not enough disk space or quota exceeded.".into(),
        Trouble::ReadOnly => "[NOPERM] Mailbox is read-only.".into(),
        Trouble::TooBig => "[TOOBIG] Message is too large.".into(),
    }
}
