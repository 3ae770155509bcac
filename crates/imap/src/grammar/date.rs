//! Dates (RFC 9051 §9: date, date-time).

use mail::date::{Civil, Moment};

use super::cursor::{Cursor, Parsed, Syntax};
use super::string::quoted;

/// `date = date-text / DQUOTE date-text DQUOTE`
///
/// # Errors
/// When the calendar has no such day.
pub fn date(cursor: &mut Cursor<'_>) -> Parsed<Civil> {
    let text = match cursor.peek() {
        Some(b'"') => quoted(cursor)?,
        _ => cursor.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'-').to_vec(),
    };
    Civil::parse_imap(&text).ok_or(Syntax::Arguments)
}

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
///
/// # Errors
/// When it is none.
pub fn date_time(cursor: &mut Cursor<'_>) -> Parsed<Moment> {
    Moment::parse_imap(&quoted(cursor)?).ok_or(Syntax::Arguments)
}
