//! Bare names in address fields (`To: kevin`) get our origin, as users of ours expect (RFC 6409 §8.5).
//!
//! Promise: octets are only ever inserted, `@origin` after a name that stands where an address must stand and has no
//! domain; what is not understood stays as it is (RFC 5322 §3.4 is the grammar, much looser is the mail).

use alloc::vec::Vec;

/// Whether a field holds addresses that are completed.
#[must_use]
pub fn is_address_field(name: &[u8]) -> bool {
    let bare = match name.split_at_checked(7) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"Resent-") => rest,
        _ => name,
    };
    FIELDS.iter().any(|field| bare.eq_ignore_ascii_case(field))
}

/// The field's value with `@origin` where it is missing.
#[must_use]
pub fn complete_addresses(value: &[u8], origin: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + origin.len() + 1);
    let mut copied = 0;
    for at in insertions(value) {
        out.extend_from_slice(&value[copied..at]);
        out.push(b'@');
        out.extend_from_slice(origin.as_bytes());
        copied = at;
    }
    out.extend_from_slice(&value[copied..]);
    out
}

/// One address of a list, as far as it has been read.
#[derive(Default)]
struct Element {
    /// It has an address in angle brackets.
    angle: bool,
    /// It holds something else than one plain word.
    complex: bool,
    /// Where its one word ends.
    word_end: Option<usize>,
}

/// Where `@origin` belongs, in order.
fn insertions(value: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut element = Element::default();
    let mut at = 0;
    while let Some(&octet) = value.get(at) {
        let end = match octet {
            b',' | b';' => {
                places.extend(element.place());
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
                None => return places,
            },
            b'<' => {
                let Some(close) = closing(value, at + 1, b'>') else { return places };
                element.angle = true;
                if is_bare(value[at + 1..close].trim_ascii()) {
                    places.push(at + 1 + value[at + 1..close].trim_ascii_end().len());
                }
                close + 1
            }
            _ => {
                let Some(end) = word_end(value, at) else { return places };
                element.complex |= element.word_end.is_some() || !is_bare(&value[at..end]);
                element.word_end = Some(end);
                end
            }
        };
        at = end;
    }
    places.extend(element.place());
    places
}

impl Element {
    fn place(&self) -> Option<usize> {
        self.word_end.filter(|_| !self.angle && !self.complex)
    }
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

const FIELDS: [&[u8]; 5] = [b"From", b"Sender", b"Reply-To", b"To", b"Cc"];

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
    }

    proptest! {
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
