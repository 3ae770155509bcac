//! The `Content-…` fields of one part (RFC 2045 §5–8, RFC 2183, RFC 3282, RFC 2557, RFC 1864).
//!
//! Values are kept as octets, quoting undone, encoded words and RFC 2231 forms left as they are, parameters in their order.

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use super::MAX_PARAMETERS;
use crate::header;

/// What a part says of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFields {
    /// Left of the slash, as written (`text`).
    pub kind: Vec<u8>,
    /// Right of it (`plain`).
    pub subtype: Vec<u8>,
    /// The parameters of the type.
    pub parameters: Vec<Parameter>,
    /// `Content-ID`, brackets included.
    pub id: Option<Vec<u8>>,
    /// `Content-Description`.
    pub description: Option<Vec<u8>>,
    /// `Content-Transfer-Encoding`, as written; `None`: not said, so 7bit.
    pub encoding: Option<Vec<u8>>,
    /// `Content-MD5`.
    pub md5: Option<Vec<u8>>,
    /// `Content-Disposition`.
    pub disposition: Option<Disposition>,
    /// `Content-Language`.
    pub language: Vec<Vec<u8>>,
    /// `Content-Location`.
    pub location: Option<Vec<u8>>,
}

/// `name=value`, the value unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As written.
    pub name: Vec<u8>,
    /// Without quotes.
    pub value: Vec<u8>,
}

/// `attachment; filename=…`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment`….
    pub kind: Vec<u8>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

/// The type of a part that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultType {
    /// `text/plain`
    Text,
    /// Inside `multipart/digest` (RFC 2046 §5.1.5).
    Message,
}

impl ContentFields {
    /// Reads a part's header.
    #[must_use]
    pub fn of(header: &[u8], default: DefaultType) -> Self {
        let mut this = Self::defaults(default);
        let mut typed = false;
        for field in header::fields(header) {
            let Some(rest) = strip_content(field.name) else { continue };
            let value = field.unfolded();
            match rest.to_ascii_lowercase().as_slice() {
                b"type" if !typed => typed = this.read_type(&value),
                b"id" => this.id = Some(value.into_owned()),
                b"description" => this.description = Some(value.into_owned()),
                b"transfer-encoding" => this.encoding = Cursor::new(&value).token(b";"),
                b"md5" => this.md5 = Some(value.into_owned()),
                b"disposition" => this.disposition = read_disposition(&value),
                b"language" => this.language = read_languages(&value),
                b"location" => this.location = Some(value.into_owned()),
                _ => (),
            }
        }
        this
    }

    fn defaults(default: DefaultType) -> Self {
        let (kind, subtype, parameters) = match default {
            DefaultType::Text => {
                let charset = Parameter { name: b"charset".to_vec(), value: b"us-ascii".to_vec() };
                (b"text".to_vec(), b"plain".to_vec(), vec![charset])
            }
            DefaultType::Message => (b"message".to_vec(), b"rfc822".to_vec(), Vec::new()),
        };
        Self {
            kind,
            subtype,
            parameters,
            id: None,
            description: None,
            encoding: None,
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
        }
    }

    /// Whether the value was a type; if not, the default stays (RFC 2045 §5.2).
    fn read_type(&mut self, value: &[u8]) -> bool {
        let mut cursor = Cursor::new(value);
        let Some(kind) = cursor.token(b"/;") else { return false };
        if !cursor.eat(b'/') {
            return false;
        }
        let Some(subtype) = cursor.token(b";") else { return false };
        (self.kind, self.subtype, self.parameters) = (kind, subtype, cursor.parameters());
        true
    }

    /// Whether the type is this, without case; a subtype of `*` is any.
    #[must_use]
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
            && (subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype.as_bytes()))
    }

    /// The first parameter of that name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|parameter| parameter.value.as_slice())
    }

    /// Whether the body stands as it is (no base64 or quoted-printable).
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let plain =
            |name: &[u8]| [&b"7bit"[..], b"8bit", b"binary"].iter().any(|known| name.eq_ignore_ascii_case(known));
        self.encoding.as_deref().is_none_or(plain)
    }

    /// Makes an opaque leaf of it.
    pub(super) fn make_opaque(&mut self) {
        self.kind = b"application".to_vec();
        self.subtype = b"octet-stream".to_vec();
        self.parameters.clear();
    }
}

fn strip_content(name: &[u8]) -> Option<&[u8]> {
    let (head, rest) = name.split_at_checked(8)?;
    head.eq_ignore_ascii_case(b"content-").then_some(rest)
}

fn read_disposition(value: &[u8]) -> Option<Disposition> {
    let mut cursor = Cursor::new(value);
    let kind = cursor.token(b";")?;
    Some(Disposition { kind, parameters: cursor.parameters() })
}

fn read_languages(value: &[u8]) -> Vec<Vec<u8>> {
    let tags = value.split(|b| *b == b',').filter_map(|tag| Cursor::new(tag).token(b","));
    tags.take(MAX_PARAMETERS).collect()
}

/// Reads tokens of a structured field.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// Blanks and comments.
    fn skip_blanks(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' => (),
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => self.at += 1,
                _ if depth > 0 => (),
                _ => return,
            }
            self.at += 1;
        }
        self.at = self.text.len();
    }

    /// Octets up to a blank, a comment or one of `stop`.
    fn token(&mut self, stop: &[u8]) -> Option<Vec<u8>> {
        self.skip_blanks();
        let start = self.at;
        while self.peek().is_some_and(|b| !matches!(b, b' ' | b'\t' | b'(') && !stop.contains(&b)) {
            self.at += 1;
        }
        let token = &self.text[start..self.at];
        if token.is_empty() { None } else { Some(token.to_owned()) }
    }

    fn parameters(&mut self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        while parameters.len() < MAX_PARAMETERS && self.seek_semicolon() {
            let Some(name) = self.token(b"=;") else { continue };
            if self.eat(b'=') {
                parameters.push(Parameter { name, value: self.value() });
            }
        }
        parameters
    }

    /// Past the next `;` that is not in quotes. Whether there is one.
    fn seek_semicolon(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match memchr::memchr(b';', rest) {
            Some(found) => {
                self.at += found + 1;
                true
            }
            None => false,
        }
    }

    /// A quoted string, or everything up to `;` (people write file names with blanks unquoted).
    fn value(&mut self) -> Vec<u8> {
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b';') && !self.text[self.at..].starts_with(b" (") {
                self.at += 1;
            }
            return self.text[start..self.at].trim_ascii().to_owned();
        }
        self.at += 1;
        let mut value = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    value.extend(self.peek());
                    self.at += 1;
                }
                _ => value.push(byte),
            }
        }
        value
    }
}
