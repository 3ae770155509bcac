//! Mailbox names against LIST patterns (RFC 9051 §6.3.9): `*` is anything, `%` anything but the separator.

use alloc::vec;
use alloc::vec::Vec;

/// Whether a name matches. Takes time in proportion to the product of both lengths, whatever the pattern.
pub(super) fn matches(pattern: &[u8], name: &str, separator: char) -> bool {
    // INBOX, alone or as the first level, is the one name without regard to case.
    let first = name.split(separator).next();
    let free = if first == Some("INBOX") { "INBOX".len() } else { 0 };
    let same = |wanted: u8, octet: u8, at| wanted == octet || at < free && wanted.eq_ignore_ascii_case(&octet);
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    spread(pattern, &mut reached);
    for (place, octet) in name.bytes().enumerate() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match wanted {
                b'*' => next[at] = true,
                b'%' => next[at] = char::from(octet) != separator,
                _ => next[at + 1] |= same(*wanted, octet, place),
            }
        }
        spread(pattern, &mut next);
        reached = next;
    }
    reached[pattern.len()]
}

/// A wildcard may stand for nothing.
fn spread(pattern: &[u8], reached: &mut [bool]) {
    for (at, wanted) in pattern.iter().enumerate() {
        if reached[at] && matches!(wanted, b'*' | b'%') {
            reached[at + 1] = true;
        }
    }
}

/// The levels above a name, the highest first: `a`, `a.b` for `a.b.c`.
pub(super) fn parents(name: &str, separator: char) -> Vec<&str> {
    name.char_indices().filter(|(_, c)| *c == separator).filter_map(|(at, _)| name.get(..at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let table = [
            ("*", "a.b", true),
            ("%", "a", true),
            ("%", "a.b", false),
            ("a.%", "a.b", true),
            ("a.%", "a.b.c", false),
            ("inbox", "INBOX", true),
            ("Inbox.%", "INBOX.a", true),
            ("Inbox.%", "INBOX.A", true),
            ("Inbox.a", "INBOX.A", false),
            ("inboxes", "INBOXES", false),
            ("*c", "a.b.c", true),
            ("", "a", false),
            ("", "", true),
            ("%.%", "a.b", true),
            ("a*b%", "axxb", true),
            ("sent", "Sent", false),
        ];
        for (pattern, name, want) in table {
            assert_eq!(matches(pattern.as_bytes(), name, '.'), want, "{pattern} {name}");
        }
        assert!(!matches("*a".repeat(200).as_bytes(), &"b".repeat(200), '.'));
    }

    #[test]
    fn levels() {
        assert_eq!(parents("a.b.c", '.'), ["a", "a.b"]);
    }
}
