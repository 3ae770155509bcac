//! Address lists of `From:`, `To:` and the like (RFC 5322 §3.4 and §4.4), for IMAP's ENVELOPE.
//!
//! Encoded words are left as they are; quoting and comments are undone. Tolerant: what cannot be an address is skipped
//! or kept as a bare local part, as other IMAP servers do. One pass; comments nest without recursion.

use alloc::vec::Vec;

/// One element of an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressItem {
    /// `name:`
    GroupStart(Vec<u8>),
    /// `;`
    GroupEnd,
    /// An address.
    Mailbox {
        /// The display name, or the comment after a bare address.
        name: Option<Vec<u8>>,
        /// The obsolete source route (`@a,@b`).
        route: Option<Vec<u8>>,
        /// Left of the `@`, unquoted.
        local: Vec<u8>,
        /// Right of it.
        domain: Option<Vec<u8>>,
    },
}

/// Most elements that are read of one field; the rest is left out.
pub const MAX_ITEMS: usize = 20_000;

/// Reads the value of an address field.
#[must_use]
pub fn addresses(value: &[u8]) -> Vec<AddressItem> {
    let mut reader = Reader {
        scanner: Scanner { text: value, at: 0 },
        items: Vec::new(),
        pending: Pending::default(),
        in_group: false,
    };
    while reader.items.len() < MAX_ITEMS {
        let Some(token) = reader.scanner.next_token() else { break };
        reader.take(token);
    }
    reader.finish_address();
    if reader.in_group {
        reader.items.push(AddressItem::GroupEnd);
    }
    reader.items
}

enum Token {
    /// An atom, a quoted string (unquoted) or a domain literal, and whether a blank stood before it.
    Word(Vec<u8>, bool),
    Comment(Vec<u8>),
    /// One of `<>@,;:.`
    Special(u8),
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next_token(&mut self) -> Option<Token> {
        let mut blank = false;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
            blank = true;
        }
        let first = self.peek()?;
        match first {
            b'(' => Some(Token::Comment(self.comment())),
            b'"' => Some(Token::Word(self.delimited(b'"'), blank)),
            b'[' => {
                let mut literal = Vec::from(&b"["[..]);
                literal.extend(self.delimited(b']'));
                literal.push(b']');
                Some(Token::Word(literal, blank))
            }
            b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.' => {
                self.at += 1;
                Some(Token::Special(first))
            }
            _ => {
                let start = self.at;
                // A stray closing bracket or backslash is an atom of its own, so that each step moves on.
                self.at += 1;
                while self.peek().is_some_and(is_atom) {
                    self.at += 1;
                }
                Some(Token::Word(self.text[start..self.at].to_vec(), blank))
            }
        }
    }

    /// From an opening delimiter to `close` or the end; backslashes undone, line breaks left out.
    fn delimited(&mut self, close: u8) -> Vec<u8> {
        self.at += 1;
        let mut word = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => word.extend(self.escaped()),
                b'\r' | b'\n' => (),
                _ if byte == close => break,
                _ => word.push(byte),
            }
        }
        word
    }

    fn escaped(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn comment(&mut self) -> Vec<u8> {
        self.at += 1;
        let (mut depth, mut word) = (1_usize, Vec::new());
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => {
                    word.extend(self.escaped());
                    continue;
                }
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\r' | b'\n' => continue,
                _ => (),
            }
            if depth == 0 {
                break;
            }
            word.push(byte);
        }
        word
    }
}

fn is_atom(byte: u8) -> bool {
    !matches!(
        byte,
        b' ' | b'\t'
            | b'\r'
            | b'\n'
            | b'('
            | b')'
            | b'"'
            | b'['
            | b']'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'.'
            | b'\\'
    )
}

/// What has been read of the address under way.
#[derive(Default)]
struct Pending {
    /// Words before `<`, or the local part of a bare address.
    words: Vec<u8>,
    any_word: bool,
    comment: Option<Vec<u8>>,
    angle: Option<Angle>,
    domain: Option<Vec<u8>>,
}

#[derive(Default)]
struct Angle {
    closed: bool,
    route: Vec<u8>,
    local: Vec<u8>,
    domain: Option<Vec<u8>>,
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    items: Vec<AddressItem>,
    pending: Pending,
    in_group: bool,
}

impl Reader<'_> {
    fn take(&mut self, token: Token) {
        if self.pending.angle.as_ref().is_some_and(|angle| !angle.closed) {
            return self.take_in_angle(token);
        }
        match token {
            Token::Word(word, blank) if self.pending.angle.is_none() => self.word(&word, blank),
            Token::Word(..) => (),
            Token::Comment(text) => self.pending.comment = Some(text),
            Token::Special(b'<') if self.pending.angle.is_none() => self.pending.angle = Some(Angle::default()),
            Token::Special(b',') => self.finish_address(),
            Token::Special(b';') => self.finish_group(),
            Token::Special(b':') if !self.in_group && self.pending.domain.is_none() && self.pending.angle.is_none() => {
                let pending = core::mem::take(&mut self.pending);
                self.items.push(AddressItem::GroupStart(pending.words));
                self.in_group = true;
            }
            Token::Special(b'@') if self.pending.domain.is_none() => {
                close_dots(&mut self.pending.words);
                self.pending.domain = Some(Vec::new());
            }
            Token::Special(b'.') => {
                let pending = &mut self.pending;
                pending.domain.as_mut().unwrap_or(&mut pending.words).push(b'.');
                pending.any_word = true;
            }
            Token::Special(_) => (),
        }
    }

    fn word(&mut self, word: &[u8], blank: bool) {
        let pending = &mut self.pending;
        match &mut pending.domain {
            Some(domain) => domain.extend_from_slice(word),
            None => {
                if pending.any_word && blank {
                    pending.words.push(b' ');
                }
                pending.words.extend_from_slice(word);
            }
        }
        pending.any_word = true;
    }

    /// `<@route,@route:local@domain>`
    fn take_in_angle(&mut self, token: Token) {
        let Some(angle) = &mut self.pending.angle else { return };
        match token {
            Token::Special(b'>') => angle.closed = true,
            Token::Special(b':') => {
                let mut route = core::mem::take(&mut angle.local);
                if let Some(domain) = angle.domain.take() {
                    route.push(b'@');
                    route.extend(domain);
                }
                angle.route.extend(route);
            }
            Token::Special(b',') => {
                let mut hop = core::mem::take(&mut angle.local);
                if let Some(domain) = angle.domain.take() {
                    hop.push(b'@');
                    hop.extend(domain);
                }
                hop.push(b',');
                angle.route.extend(hop);
            }
            Token::Special(b'@') if angle.domain.is_none() => angle.domain = Some(Vec::new()),
            Token::Special(b';') if self.in_group => self.finish_group(),
            Token::Special(byte) => angle.domain.as_mut().unwrap_or(&mut angle.local).push(byte),
            Token::Word(word, blank) => {
                let part = angle.domain.as_mut().unwrap_or(&mut angle.local);
                if blank && !part.is_empty() && part.last() != Some(&b'.') {
                    part.push(b' ');
                }
                part.extend(word);
            }
            Token::Comment(_) => (),
        }
    }

    fn finish_address(&mut self) {
        let pending = core::mem::take(&mut self.pending);
        if let Some(angle) = pending.angle {
            let mut name = pending.words;
            if let Some(domain) = pending.domain {
                name.push(b'@');
                name.extend(domain);
            }
            let name = if name.is_empty() { pending.comment } else { Some(name) };
            if name.is_none() && angle.local.is_empty() && angle.domain.is_none() {
                return;
            }
            self.items.push(AddressItem::Mailbox {
                name,
                route: some(angle.route),
                local: angle.local,
                domain: angle.domain,
            });
        } else if pending.any_word || pending.domain.is_some() {
            self.items.push(AddressItem::Mailbox {
                name: pending.comment,
                route: None,
                local: pending.words,
                domain: pending.domain,
            });
        }
    }

    fn finish_group(&mut self) {
        self.finish_address();
        if core::mem::take(&mut self.in_group) {
            self.items.push(AddressItem::GroupEnd);
        }
    }
}

/// A phrase keeps the blank after a dot (`E. F.`); once it proves to be a local part, the blank goes (`a. b@c`).
fn close_dots(words: &mut Vec<u8>) {
    let mut after_dot = false;
    words.retain(|byte| {
        let drop = after_dot && *byte == b' ';
        after_dot = *byte == b'.' || drop;
        !drop
    });
}

fn some(octets: Vec<u8>) -> Option<Vec<u8>> {
    if octets.is_empty() { None } else { Some(octets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let text_of = |octets: &Option<Vec<u8>>| {
            octets.as_ref().map_or("NIL".into(), |o| String::from_utf8_lossy(o).into_owned())
        };
        let items: Vec<String> = addresses(text.as_bytes())
            .iter()
            .map(|item| match item {
                AddressItem::GroupStart(name) => format!("{}:", String::from_utf8_lossy(name)),
                AddressItem::GroupEnd => ";".into(),
                AddressItem::Mailbox { name, route, local, domain } => {
                    format!(
                        "{}|{}|{}|{}",
                        text_of(name),
                        text_of(route),
                        String::from_utf8_lossy(local),
                        text_of(domain)
                    )
                }
            })
            .collect();
        items.join(" ")
    }

    #[test]
    fn as_imap_shows_them() {
        for (text, want) in [
            ("root@vm", "NIL|NIL|root|vm"),
            ("root <root@vm>", "root|NIL|root|vm"),
            ("kevin", "NIL|NIL|kevin|NIL"),
            ("darth@starwars.univ (Darth (V) Vader)", "Darth (V) Vader|NIL|darth|starwars.univ"),
            ("\"Doe, \\\"J\\\"\" <\"j d\"@x.org>, b@c", "Doe, \"J\"|NIL|j d|x.org NIL|NIL|b|c"),
            ("=?utf-8?q?=C3=A9?= E. F. <e@f>", "=?utf-8?q?=C3=A9?= E. F.|NIL|e|f"),
            ("A group:a@b, C <c@d>;, e@f", "A group: NIL|NIL|a|b C|NIL|c|d ; NIL|NIL|e|f"),
            ("undisclosed-recipients:;", "undisclosed-recipients: ;"),
            ("x:a@b", "x: NIL|NIL|a|b ;"),
            ("<@hop.a,@hop.b:me@c.d>", "NIL|@hop.a,@hop.b|me|c.d"),
            ("a . b @ c . d", "NIL|NIL|a.b|c.d"),
            ("a@[192.0.2.1]", "NIL|NIL|a|[192.0.2.1]"),
            ("me@home.org <me@c.d>", "me@home.org|NIL|me|c.d"),
            (",, ,", ""),
            ("<>", ""),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(octets in proptest::collection::vec(any::<u8>(), 0..200), text in "[a-z<>@,;:.()\"\\\\ \\[\\]]{0,80}") {
            let _ = (addresses(&octets), addresses(text.as_bytes()));
        }
    }
}
