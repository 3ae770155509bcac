//! APPEND (RFC 9051 §9: append): all up to its message literal.

use mail::Flags;
use mail::date::Moment;

use super::cursor::{Cursor, Parsed};
use super::date::date_time;
use super::flag::flag_list;
use super::mailbox::{Mailbox, mailbox};

/// Where a message goes and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// Its flags.
    pub flags: Flags,
    /// Its internal date; `None`: now.
    pub date: Option<Moment>,
}

/// `append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal`, from after the name to before the literal.
///
/// # Errors
/// When something else is there.
pub fn append(cursor: &mut Cursor<'_>) -> Parsed<Append> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let mut append = Append { mailbox, flags: Flags::default(), date: None };
    if cursor.peek() == Some(b'(') {
        append.flags = flag_list(cursor)?;
        cursor.space()?;
    }
    if cursor.peek() == Some(b'"') {
        append.date = Some(date_time(cursor)?);
        cursor.space()?;
    }
    Ok(append)
}
