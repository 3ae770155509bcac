//! Atoms, quoted strings and literals (RFC 9051 §9: atom, astring, string, nstring, quoted, literal, list-mailbox, tag).

use alloc::string::String;
use alloc::vec::Vec;

use super::cursor::{Cursor, Parsed, Syntax};

/// A literal announced at the end of a line: `{12}`, or `{12+}` when the octets follow without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// How many octets.
    pub octets: u64,
    /// Whether the client waits for `+`.
    pub waits: Waits,
}

/// Whether the client waits before it sends a literal (RFC 7888).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// `{n}`
    ForContinuation,
    /// `{n+}`
    ForNothing,
}

/// `ATOM-CHAR = <any CHAR except atom-specials>`
#[must_use]
pub fn is_atom_char(octet: u8) -> bool {
    octet > b' ' && octet < 0x7f && !b"(){%*\"\\]".contains(&octet)
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
#[must_use]
pub fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

/// What people type without quotes, accents in passwords included.
fn is_bare_char(octet: u8) -> bool {
    is_astring_char(octet) || octet >= 0x80
}

/// `list-char = ATOM-CHAR / list-wildcards / resp-specials`
fn is_list_char(octet: u8) -> bool {
    is_astring_char(octet) || octet == b'%' || octet == b'*'
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
///
/// # Errors
/// When no tag is next.
pub fn tag<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    text(cursor.take_while(|octet| is_astring_char(octet) && octet != b'+'))
}

/// `atom = 1*ATOM-CHAR`
///
/// # Errors
/// When no atom is next.
pub fn atom<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    text(cursor.take_while(is_atom_char))
}

/// `astring = 1*ASTRING-CHAR / string`
///
/// # Errors
/// When neither is next.
pub fn astring(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    either(cursor, is_bare_char)
}

/// `list-mailbox = 1*list-char / string`
///
/// # Errors
/// When neither is next.
pub fn list_mailbox(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    either(cursor, is_list_char)
}

/// `string = quoted / literal`
///
/// # Errors
/// When neither is next.
pub fn string(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"') => quoted(cursor),
        Some(b'{') => literal(cursor).map(<[u8]>::to_vec),
        _ => Err(Syntax::Arguments),
    }
}

/// `nstring = string / nil`
///
/// # Errors
/// When neither is next.
pub fn nstring(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<u8>>> {
    if cursor.eat_text("NIL") { Ok(None) } else { string(cursor).map(Some) }
}

/// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`; octets above 127 are taken, since passwords are typed that way.
///
/// # Errors
/// When the closing quote is missing, or something other than `"` or `\` is escaped.
pub fn quoted(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.expect(b'"')?;
    let mut value = Vec::new();
    loop {
        value.extend_from_slice(cursor.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0)));
        if cursor.eat(b'"') {
            return Ok(value);
        }
        cursor.expect(b'\\')?;
        match cursor.take(1)? {
            [escaped @ (b'"' | b'\\')] => value.push(*escaped),
            _ => return Err(Syntax::Arguments),
        }
    }
}

/// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`
///
/// # Errors
/// When it is not one, or is shorter than it says.
pub fn literal<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a [u8]> {
    let announced = announcement(cursor)?;
    cursor.eat(b'\r');
    cursor.expect(b'\n')?;
    cursor.take(usize::try_from(announced.octets).map_err(|_| Syntax::Arguments)?)
}

/// What a line says at its end about a literal that follows it.
#[must_use]
pub fn announced(line: &[u8]) -> Option<Announced> {
    let inside = line.strip_suffix(b"}")?;
    let digits = inside.strip_suffix(b"+").unwrap_or(inside);
    let start = digits.iter().rposition(|octet| !octet.is_ascii_digit())?;
    let mut cursor = Cursor::new(line.get(start..)?);
    announcement(&mut cursor).ok().filter(|_| cursor.rest().is_empty())
}

fn announcement(cursor: &mut Cursor<'_>) -> Parsed<Announced> {
    cursor.expect(b'{')?;
    let octets = super::number::number64(cursor)?;
    let waits = if cursor.eat(b'+') { Waits::ForNothing } else { Waits::ForContinuation };
    cursor.expect(b'}')?;
    Ok(Announced { octets, waits })
}

fn either(cursor: &mut Cursor<'_>, bare: fn(u8) -> bool) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"' | b'{') => string(cursor),
        _ => match cursor.take_while(bare) {
            [] => Err(Syntax::Arguments),
            taken => Ok(taken.to_vec()),
        },
    }
}

fn text(taken: &[u8]) -> Parsed<&str> {
    match core::str::from_utf8(taken) {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => Err(Syntax::Arguments),
    }
}

/// An atom in capitals, as a key for tables.
///
/// # Errors
/// When no atom is next.
pub fn keyword(cursor: &mut Cursor<'_>) -> Parsed<String> {
    atom(cursor).map(str::to_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_kind() {
        let table: [(&[u8], &[u8]); 6] = [
            (b"inbox", b"inbox"),
            (b"a]b rest", b"a]b"),
            (b"\"a \\\"b\\\\\"", b"a \"b\\"),
            (b"{3}\r\na\"b", b"a\"b"),
            (b"{2+}\nab)", b"ab"),
            (b"\"\"", b""),
        ];
        for (wire, value) in table {
            assert_eq!(astring(&mut Cursor::new(wire)).as_deref(), Ok(value));
        }
        for wire in [&b""[..], b"\"open", b"{5}\r\nab", b"{}\r\n", b"(", b"\"\\n\"", b"{99999999999999999999}\r\n"] {
            assert!(astring(&mut Cursor::new(wire)).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_line_announces_a_literal() {
        assert_eq!(announced(b"a LOGIN {5}"), Some(Announced { octets: 5, waits: Waits::ForContinuation }));
        assert_eq!(announced(b"{0+}"), Some(Announced { octets: 0, waits: Waits::ForNothing }));
        for line in [&b"a LOGIN"[..], b"a {x}", b"a {}", b"a 5}", b"", b"a {5-}", b"a {++}"] {
            assert_eq!(announced(line), None, "{line:?}");
        }
    }
}
