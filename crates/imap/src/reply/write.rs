//! Writes strings, flags, names and lists as they stand on the wire.

use alloc::vec::Vec;

use mail::{Flag, Flags};

use crate::grammar::string::is_astring_char;

/// The longest text sent as a quoted string; longer ones are literals.
const MAX_QUOTED: usize = 1_000;

/// Adds formatted text to a reply.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { $out.extend_from_slice(alloc::format!($($arg)*).as_bytes()) };
}

/// `string`: quoted where that is possible, else a literal. NUL, which no client may be sent, is left out.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    let clean: Vec<u8>;
    let text = if text.contains(&0) {
        clean = text.iter().copied().filter(|octet| *octet != 0).collect();
        &clean
    } else {
        text
    };
    let plain = text.len() <= MAX_QUOTED && text.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t'));
    if !plain {
        put!(out, "{{{}}}\r\n", text.len());
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for octet in text {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
}

/// `nstring`
pub fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `astring`, for mailbox names.
pub fn astring(out: &mut Vec<u8>, text: &[u8]) {
    let bare =
        !text.is_empty() && text.iter().all(|octet| is_astring_char(*octet)) && !text.eq_ignore_ascii_case(b"NIL");
    if bare { out.extend_from_slice(text) } else { string(out, text) }
}

/// `"(" [flag *(SP flag)] ")"`, in the order clients know.
pub fn flags(out: &mut Vec<u8>, flags: &Flags, recent: bool) {
    let system = flags.system().map(name_of);
    let recent = recent.then_some("\\Recent");
    let keywords = flags.keywords.iter().map(alloc::string::String::as_str);
    list(out, system.chain(recent).chain(keywords));
}

/// The name, for as long as whoever asks needs it.
pub(crate) fn name_of<'a>(flag: Flag) -> &'a str {
    flag.name()
}

/// Words in parentheses.
pub fn list<'a>(out: &mut Vec<u8>, words: impl Iterator<Item = &'a str>) {
    out.push(b'(');
    for (at, word) in words.enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{Cursor, string as read};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_read_as_written(text in proptest::collection::vec(1_u8.., 0..50)) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(read::string(&mut Cursor::new(&out)), Ok(text.clone()));
            out.clear();
            astring(&mut out, &text);
            prop_assert_eq!(read::astring(&mut Cursor::new(&out)), Ok(text));
        }
    }
}
