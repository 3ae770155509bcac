//! Numbers (RFC 9051 §9: number, number64, nz-number).

use core::num::NonZeroU32;

use super::cursor::{Cursor, Parsed, Syntax};

/// `number = 1*DIGIT`, below 2³².
///
/// # Errors
/// When there is no digit, or the number is too large.
pub fn number(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    u32::try_from(number64(cursor)?).map_err(|_| Syntax::Arguments)
}

/// `number64 = 1*DIGIT`, below 2⁶³.
///
/// # Errors
/// When there is no digit, or the number is too large.
pub fn number64(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    let digits = cursor.take_while(|octet| octet.is_ascii_digit());
    let text = core::str::from_utf8(digits).map_err(|_| Syntax::Arguments)?;
    text.parse().ok().filter(|number| *number < 1 << 63).ok_or(Syntax::Arguments)
}

/// `nz-number = digit-nz *DIGIT`
///
/// # Errors
/// When it is zero or no number.
pub fn nz_number(cursor: &mut Cursor<'_>) -> Parsed<NonZeroU32> {
    NonZeroU32::new(number(cursor)?).ok_or(Syntax::Arguments)
}
