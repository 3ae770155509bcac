//! Addresses in address fields: bare names (`To: kevin`) get our origin, as users of ours expect (RFC 6409 §8.5), and
//! whole addresses become what tables say.
//!
//! Promise: only addresses change, everything between them stays octet for octet; what is not understood stays as it is
//! (RFC 5322 §3.4 is the grammar, much looser is the mail).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Whose addresses a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From, Sender, Reply-To, and whoever asks for reports.
    Sender,
    /// To, Cc, Apparently-To.
    Recipient,
}

/// What an address with its domain becomes, if it changes.
pub type Change = Box<dyn Fn(Side, &str) -> Option<String> + Send + Sync>;

/// What is done with the addresses of a message's fields.
pub struct Addresses {
    /// Completes bare names: `myorigin`.
    pub origin: String,
    /// What they become then, where anything is configured.
    pub change: Option<Change>,
}

impl Addresses {
    /// The field's value with its addresses as they shall be; as it is, if the field holds none.
    #[must_use]
    pub fn value<'a>(&self, name: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(side) = side(name) else { return Cow::Borrowed(value) };
        let new = match &self.change {
            None => complete_addresses(value, &self.origin),
            Some(change) => replaced(value, Some(&self.origin), |text| change(side, text)),
        };
        Cow::Owned(new)
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").field("origin", &self.origin).field("change", &self.change.is_some()).finish()
    }
}

/// Whether a field holds addresses, and whose.
#[must_use]
pub fn side(name: &[u8]) -> Option<Side> {
    FIELDS.iter().find(|(field, _)| name.eq_ignore_ascii_case(field)).map(|(_, side)| *side)
}

/// Whether a field holds addresses that are completed.
#[must_use]
pub fn is_address_field(name: &[u8]) -> bool {
    side(name).is_some()
}

/// The field's value with `@origin` where it is missing.
#[must_use]
pub fn complete_addresses(value: &[u8], origin: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + origin.len() + 1);
    let mut copied = 0;
    for spot in spots(value).into_iter().filter(|spot| spot.bare) {
        out.extend_from_slice(&value[copied..spot.at.end]);
        out.push(b'@');
        out.extend_from_slice(origin.as_bytes());
        copied = spot.at.end;
    }
    out.extend_from_slice(&value[copied..]);
    out
}

/// A whole header block, up to its empty line, with its addresses changed; names without a domain stay as they are.
#[must_use]
pub fn change_block(block: &[u8], change: impl Fn(Side, &str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + 64);
    for field in mail::header::fields(block) {
        let colon = field.raw.iter().position(|octet| *octet == b':').map_or(0, |at| at + 1);
        let (name, value) = field.raw.split_at(colon);
        out.extend_from_slice(name);
        match side(name.strip_suffix(b":").unwrap_or(name).trim_ascii_end()) {
            Some(side) => out.extend_from_slice(&replaced(value, None, |text| change(side, text))),
            None => out.extend_from_slice(value),
        }
    }
    out
}

/// The field's value with each address as `change` has it, bare names completed first.
fn replaced(value: &[u8], origin: Option<&str>, change: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 64);
    let mut copied = 0;
    for spot in spots(value) {
        let Ok(text) = core::str::from_utf8(&value[spot.at.clone()]) else { continue };
        let whole = match (spot.bare, origin) {
            (true, None) => continue,
            (true, Some(origin)) => Cow::Owned(alloc::format!("{text}@{origin}")),
            (false, _) => Cow::Borrowed(text),
        };
        out.extend_from_slice(&value[copied..spot.at.start]);
        out.extend_from_slice(change(&whole).as_deref().unwrap_or(&whole).as_bytes());
        copied = spot.at.end;
    }
    out.extend_from_slice(&value[copied..]);
    out
}

/// An address in a field.
#[derive(Debug)]
struct Spot {
    at: Range<usize>,
    /// It has no domain.
    bare: bool,
}

/// One address of a list, as far as it has been read.
#[derive(Default)]
struct Element {
    /// It has an address in angle brackets.
    angle: bool,
    /// It holds more than one word.
    several: bool,
    /// Its first word.
    word: Option<Range<usize>>,
}

/// Where addresses stand, in order.
fn spots(value: &[u8]) -> Vec<Spot> {
    let mut spots = Vec::new();
    let mut element = Element::default();
    let mut at = 0;
    while let Some(&octet) = value.get(at) {
        let end = match octet {
            b',' | b';' => {
                spots.extend(element.spot(value));
                element = Element::default();
                at + 1
            }
            // What came before was a group's name.
            b':' => {
                element = Element::default();
                at + 1
            }
            b' ' | b'\t' | b'\r' | b'\n' => at + 1,
            b'(' => match comment_end(value, at) {
                Some(end) => end,
                None => return spots,
            },
            b'<' => {
                let Some(close) = closing(value, at + 1, b'>') else { return spots };
                element.angle = true;
                spots.extend(spot(value, at + 1..close));
                close + 1
            }
            _ => {
                let Some(end) = word_end(value, at) else { return spots };
                element.several |= element.word.is_some();
                element.word = Some(at..end);
                end
            }
        };
        at = end;
    }
    spots.extend(element.spot(value));
    spots
}

impl Element {
    fn spot(self, value: &[u8]) -> Option<Spot> {
        let word = self.word.filter(|_| !self.angle && !self.several)?;
        spot(value, word)
    }
}

/// The address that stands there, less the blanks around it.
fn spot(value: &[u8], at: Range<usize>) -> Option<Spot> {
    let start = at.start + value[at.clone()].len() - value[at.clone()].trim_ascii_start().len();
    let text = value[at].trim_ascii();
    let at = start..start + text.len();
    if is_bare(text) {
        return Some(Spot { at, bare: true });
    }
    let sign = text.iter().rposition(|octet| *octet == b'@')?;
    (is_bare(&text[..sign]) && is_domain(&text[sign + 1..])).then_some(Spot { at, bare: false })
}

fn is_domain(text: &[u8]) -> bool {
    let inside = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let allowed: &[u8] = if inside.is_some() { b"-.:" } else { b"-._" };
    let inside = inside.unwrap_or(text);
    !inside.is_empty()
        && inside.iter().all(|octet| octet.is_ascii_alphanumeric() || !octet.is_ascii() || allowed.contains(octet))
}

/// A local part alone: a quoted string, or atoms and dots.
fn is_bare(text: &[u8]) -> bool {
    match text {
        [] => false,
        [b'"', inside @ .., b'"'] => !inside.is_empty() && closing(text, 1, b'"') == Some(text.len() - 1),
        _ => {
            !text.starts_with(b"=?")
                && text.iter().all(|octet| {
                    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(octet) || !octet.is_ascii()
                })
        }
    }
}

/// A word runs up to a blank or a sign that means something; quoted strings inside it hide both.
fn word_end(value: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(&octet) = value.get(at) {
        at = match octet {
            b'"' => closing(value, at + 1, b'"')? + 1,
            b'[' => closing(value, at + 1, b']')? + 1,
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b';' | b':' | b'(' | b'<' => return Some(at),
            _ => at + 1,
        };
    }
    Some(at)
}

/// Where `sign` stands next, quotes and backslashes passed over.
fn closing(value: &[u8], start: usize, sign: u8) -> Option<usize> {
    let (mut escaped, mut quoted) = (false, false);
    for (at, &octet) in value.iter().enumerate().skip(start) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            octet if octet == sign && !quoted => return Some(at),
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    None
}

/// After the comment that begins at `start`; comments nest.
fn comment_end(value: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, &octet) in value.iter().enumerate().skip(start) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// As Postfix has them, with those of a message that was sent on (RFC 5322 §3.6.6).
const FIELDS: [(&[u8], Side); 15] = [
    (b"Apparently-To", Side::Recipient),
    (b"Cc", Side::Recipient),
    (b"Disposition-Notification-To", Side::Sender),
    (b"Errors-To", Side::Sender),
    (b"From", Side::Sender),
    (b"Mail-Followup-To", Side::Sender),
    (b"Reply-To", Side::Sender),
    (b"Resent-Cc", Side::Recipient),
    (b"Resent-From", Side::Sender),
    (b"Resent-Reply-To", Side::Sender),
    (b"Resent-Sender", Side::Sender),
    (b"Resent-To", Side::Recipient),
    (b"Return-Receipt-To", Side::Sender),
    (b"Sender", Side::Sender),
    (b"To", Side::Recipient),
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn complete(text: &str) -> String {
        String::from_utf8(complete_addresses(text.as_bytes(), "o")).expect("UTF-8")
    }

    #[test]
    fn bare_names_are_completed() {
        for (value, completed) in [
            ("kevin", "kevin@o"),
            (" a, b@c,\n\td", " a@o, b@c,\n\td@o"),
            ("Kevin K <kevin>", "Kevin K <kevin@o>"),
            ("<kevin >, \"x, y\" <z>", "<kevin@o >, \"x, y\" <z@o>"),
            ("kevin (Kevin, K)", "kevin@o (Kevin, K)"),
            ("\"a b\"", "\"a b\"@o"),
            ("friends: a, <b>;", "friends: a@o, <b@o>;"),
            ("été", "été@o"),
        ] {
            assert_eq!(complete(value), completed);
        }
    }

    #[test]
    fn the_rest_stays() {
        for value in [
            "",
            "a@b",
            "<>",
            "John Doe",
            "undisclosed-recipients:;",
            "=?utf-8?q?x?=",
            "a@[1.2.3.4]",
            "<a",
            "(a",
            "\"a",
            "<@x:a@b>",
            "a b <c@d>",
            "\"a@b\"@c",
            "<a b>",
        ] {
            assert_eq!(complete(value), value);
        }
        assert!(is_address_field(b"resent-TO") && !is_address_field(b"Subject") && !is_address_field(b"Resent-"));
        for (name, whose) in [
            ("DISPOSITION-notification-to", Side::Sender),
            ("Errors-To", Side::Sender),
            ("Return-Receipt-To", Side::Sender),
            ("Mail-Followup-To", Side::Sender),
            ("Apparently-To", Side::Recipient),
            ("Resent-Cc", Side::Recipient),
        ] {
            assert_eq!(side(name.as_bytes()), Some(whose), "{name}");
        }
    }

    #[test]
    fn addresses_become_what_they_are_told() {
        let change = |text: &str| text.contains("@o").then(|| String::from("new@x.org"));
        for (value, changed) in [
            (" kevin", " new@x.org"),
            (
                " kevin@elsewhere.org, Foo <foo@o>,\n\t\"a, b\"@o (at home)",
                " kevin@elsewhere.org, Foo <new@x.org>,\n\tnew@x.org (at home)",
            ),
            (" group: a@o, b@c; < k@o >", " group: new@x.org, b@c; < new@x.org >"),
            (" a@[192.0.2.1], Kevin k@o, <@r:a@o>, a@b@o", " a@[192.0.2.1], Kevin k@o, <@r:a@o>, a@b@o"),
        ] {
            let out = replaced(value.as_bytes(), Some("o"), change);
            assert_eq!(String::from_utf8_lossy(&out), changed);
        }
        let block = b"Subject: a@o\nFrom : Kevin\n <a@o>\nTo: bare\nX: b@o\n";
        let out = change_block(block, |side, text| change(text).filter(|_| side == Side::Sender));
        assert_eq!(String::from_utf8_lossy(&out), "Subject: a@o\nFrom : Kevin\n <new@x.org>\nTo: bare\nX: b@o\n");
    }

    proptest! {
        #[test]
        fn what_stays_stays(value in "[a@<>\",:;()\\\\\\[\\] \n.]{0,24}") {
            prop_assert_eq!(replaced(value.as_bytes(), None, |text| Some(text.into())), value.as_bytes());
        }

        #[test]
        fn only_insertions(value in "[a@<>\",:;()\\\\\\[\\] \n.]{0,24}") {
            let completed = complete(&value);
            prop_assert_eq!(completed.replace("@o", ""), value);
        }

        #[test]
        fn twice_is_once(value in "[ab@<>,:; ]{0,24}") {
            let once = complete(&value);
            prop_assert_eq!(complete(&once), once);
        }
    }
}
