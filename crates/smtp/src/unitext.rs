//! Addresses in delivery status notifications and ORCPT (RFC 3461 §4.2, RFC 6533 §3): type `rfc822`, or `utf-8` where they have
//! letters beyond ASCII. Those stand there as they are, or as `\x{E9}` where only ASCII may.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use crate::xtext;

/// What may stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// ASCII alone.
    Ascii,
    /// Those of UTF-8 too, after SMTPUTF8.
    Utf8,
}

/// The type of an address.
#[must_use]
pub const fn kind(address: &str) -> &'static str {
    if address.is_ascii() { "rfc822" } else { UTF8 }
}

/// `type;address` as a field of a report has it: only what the type `utf-8` asks for is encoded.
#[must_use]
pub fn shown<'a>(kind: &str, address: &'a str, letters: Letters) -> Cow<'a, str> {
    if kind.eq_ignore_ascii_case(UTF8) { Cow::Owned(encode(address, letters)) } else { Cow::Borrowed(address) }
}

/// The value of ORCPT.
#[must_use]
pub fn orcpt(kind: &str, address: &str, letters: Letters) -> String {
    let is_utf8 = kind.eq_ignore_ascii_case(UTF8);
    let address = if is_utf8 { encode(address, letters) } else { xtext::encode(address) };
    format!("{kind};{address}")
}

/// The address that an ORCPT of this type means; `None`: it is malformed or holds a control character.
#[must_use]
pub fn decode(kind: &str, text: &str) -> Option<String> {
    if !kind.eq_ignore_ascii_case(UTF8) {
        return xtext::decode(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        let (digits, tail) = after.split_once('}')?;
        plain.push_str(before);
        plain.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?);
        rest = tail;
    }
    plain.push_str(rest);
    let whole = !plain.is_empty() && !plain.chars().any(char::is_control);
    whole.then_some(plain)
}

/// `utf-8-addr-xtext`, `utf-8-addr-unitext`
fn encode(address: &str, letters: Letters) -> String {
    let mut text = String::with_capacity(address.len() + 8);
    for c in address.chars() {
        match c {
            '+' | '=' | '\\' => drop(write!(text, "\\x{{{:02X}}}", u32::from(c))),
            '!'..='~' => text.push(c),
            c if letters == Letters::Utf8 && !c.is_ascii() => text.push(c),
            c => drop(write!(text, "\\x{{{:02X}}}", u32::from(c))),
        }
    }
    text
}

const UTF8: &str = "utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read() {
        for (address, ascii, utf8) in [
            ("é@x.fr", "\\x{E9}@x.fr", "é@x.fr"),
            ("été+a=b@日本.jp", "\\x{E9}t\\x{E9}\\x{2B}a\\x{3D}b@\\x{65E5}\\x{672C}.jp", "été\\x{2B}a\\x{3D}b@日本.jp"),
            ("\"é \\\"\"@x", "\"\\x{E9}\\x{20}\\x{5C}\"\"@x", "\"é\\x{20}\\x{5C}\"\"@x"),
        ] {
            assert_eq!(kind(address), "utf-8");
            for (letters, text) in [(Letters::Ascii, ascii), (Letters::Utf8, utf8)] {
                assert_eq!(shown("UTF-8", address, letters), text);
                assert_eq!(orcpt("utf-8", address, letters), format!("utf-8;{text}"));
                assert_eq!(decode("utf-8", text).as_deref(), Some(address));
            }
        }
        assert_eq!(kind("a+b@x"), "rfc822");
        assert_eq!(shown("rfc822", "a+b@x", Letters::Ascii), "a+b@x");
        assert_eq!(orcpt("rfc822", "a+b@x", Letters::Utf8), "rfc822;a+2Bb@x");
        assert_eq!(decode("rfc822", "a+2Bb@x").as_deref(), Some("a+b@x"));
        for bad in ["", "\\x{", "\\x{}", "\\x{zz}", "\\x{D800}", "\\x{A}", "a\r"] {
            assert_eq!(decode("utf-8", bad), None, "{bad}");
        }
    }
}
