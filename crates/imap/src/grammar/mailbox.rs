//! Mailbox names: modified UTF-7 (RFC 3501 §5.1.3), on the wire and towards the store.
//!
//! [`encode`] and [`decode`] turn them from and to UTF-8, to check what clients write now and for `UTF8=ACCEPT` later.

use alloc::string::String;
use alloc::vec::Vec;

use super::cursor::{Cursor, Parsed, Syntax};
use super::string::astring;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// A mailbox name as the client wrote it and as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Well-formed modified UTF-7; `INBOX` in capitals whatever the client wrote.
    pub name: String,
    /// The client's own octets, for replies that repeat the name.
    pub written: Vec<u8>,
}

impl Mailbox {
    /// `INBOX`
    #[must_use]
    pub fn inbox() -> Self {
        Self { name: "INBOX".into(), written: b"INBOX".to_vec() }
    }

    /// Whether it is the INBOX.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.name == "INBOX"
    }
}

/// `mailbox = "INBOX" / astring`
///
/// # Errors
/// When it is no astring, or not modified UTF-7.
pub fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<Mailbox> {
    from_octets(astring(cursor)?)
}

/// The name written by these octets.
///
/// # Errors
/// When they are not modified UTF-7.
pub fn from_octets(written: Vec<u8>) -> Parsed<Mailbox> {
    decode(&written).ok_or(Syntax::MailboxName)?;
    let name = String::from_utf8(written.clone()).map_err(|_| Syntax::MailboxName)?;
    let name = if name.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { name };
    Ok(Mailbox { name, written })
}

/// Modified UTF-7 of a name.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut wire = String::with_capacity(name.len());
    let mut wide: Vec<u16> = Vec::new();
    for c in name.chars() {
        if (' '..='~').contains(&c) {
            shift_out(&mut wide, &mut wire);
            wire.push_str(if c == '&' { "&-" } else { "" });
            if c != '&' {
                wire.push(c);
            }
        } else {
            wide.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    shift_out(&mut wide, &mut wire);
    wire
}

fn shift_out(wide: &mut Vec<u16>, wire: &mut String) {
    if wide.is_empty() {
        return;
    }
    wire.push('&');
    let octets: Vec<u8> = wide.drain(..).flat_map(u16::to_be_bytes).collect();
    for group in octets.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let six = (bits >> (18 - 6 * place)) & 63;
            wire.push(char::from(ALPHABET[six as usize]));
        }
    }
    wire.push('-');
}

/// The name that modified UTF-7 `wire` stands for; `None` when it is not well formed (RFC 3501: each name has one form).
#[must_use]
pub fn decode(wire: &[u8]) -> Option<String> {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'&' => {
                let end = rest.iter().position(|octet| *octet == b'-')?;
                let (coded, after) = rest.split_at(end);
                rest = after.get(1..)?;
                if coded.is_empty() {
                    name.push('&');
                } else {
                    name.push_str(&shifted(coded)?);
                }
            }
            b' '..=b'~' => name.push(char::from(*octet)),
            _ => return None,
        }
    }
    // One form per name: what is not written as we would write it is refused.
    (encode(&name).as_bytes() == wire).then_some(name)
}

fn shifted(coded: &[u8]) -> Option<String> {
    let mut octets = Vec::with_capacity(coded.len());
    let mut bits = 0_u32;
    let mut held = 0_u32;
    for letter in coded {
        let six = ALPHABET.iter().position(|known| known == letter)?;
        bits = (bits << 6 | u32::try_from(six).ok()?) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    let units = octets.chunks(2).map(|pair| match pair {
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    });
    let units: Vec<u16> = units.collect::<Option<_>>()?;
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names() {
        let table = [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Envoyés", "Envoy&AOk-s"),
            ("a&b", "a&-b"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("😀", "&2D3eAA-"),
        ];
        for (name, wire) in table {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(name));
        }
    }

    #[test]
    fn one_form_per_name() {
        for wire in [&b"&AGE-"[..], b"&", b"&AOk", b"Envoy\xc3\xa9s", b"a\nb", b"&AOk-&AOk-", b"&2D0-", b"&AO-", b"&!-"]
        {
            assert_eq!(decode(wire), None, "{wire:?}");
        }
    }
}
