//! Text search in a message: encodings and character sets undone, without regard to case.
//!
//! Flags, dates of arrival, sizes and uids are the caller's to compare; here is what needs the message itself. A part that
//! cannot be decoded is searched as it stands. Each message is decoded at most once per question, however many texts are
//! looked for.

use std::cell::OnceCell;

use mail::date::{Civil, Moment};
use mail::header::{self, Field};
use mail::mime::{Kind, Part, Structure};

/// A question about the content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// All of them (an empty list holds).
    And(Vec<Self>),
    /// Any text part, or the header of a message inside, contains it.
    Body(String),
    /// The field is there and its decoded text contains it (an empty text: is there).
    Header(String, String),
    /// It does not hold.
    Not(Box<Self>),
    /// One of them.
    Or(Vec<Self>),
    /// The day of the `Date:` field, in its own zone, is earlier.
    SentBefore(Civil),
    /// …is this day.
    SentOn(Civil),
    /// …is this day or later.
    SentSince(Civil),
    /// The header or the body contains it.
    Text(String),
}

impl Criterion {
    /// Whether the body is needed; if not, [`crate::Mailbox::read_header`] is enough to read.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().any(Self::needs_body),
            Self::Not(inner) => inner.needs_body(),
            Self::Body(_) | Self::Text(_) => true,
            Self::Header(..) | Self::SentBefore(_) | Self::SentOn(_) | Self::SentSince(_) => false,
        }
    }

    /// Whether a message (or its header, if that is enough) meets it.
    #[must_use]
    pub fn holds(&self, message: &[u8]) -> bool {
        self.holds_in(&Decoded { message, structure: OnceCell::new(), header: OnceCell::new(), body: OnceCell::new() })
    }

    /// Parentheses are limited by who parses the question, so this does not go deep.
    fn holds_in(&self, message: &Decoded<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds_in(message)),
            Self::Or(all) => all.iter().any(|one| one.holds_in(message)),
            Self::Not(inner) => !inner.holds_in(message),
            Self::Body(text) => contains(message.body(), &text.to_lowercase()),
            Self::Header(name, text) => message.field_contains(name, &text.to_lowercase()),
            Self::SentBefore(day) => message.sent().is_some_and(|sent| sent < *day),
            Self::SentOn(day) => message.sent() == Some(*day),
            Self::SentSince(day) => message.sent().is_some_and(|sent| sent >= *day),
            Self::Text(text) => {
                let text = text.to_lowercase();
                contains(message.header(), &text) || contains(message.body(), &text)
            }
        }
    }
}

/// A message, decoded as far as it was asked for; all texts in lower case.
struct Decoded<'a> {
    message: &'a [u8],
    structure: OnceCell<Structure>,
    header: OnceCell<Vec<String>>,
    body: OnceCell<Vec<String>>,
}

impl Decoded<'_> {
    fn header(&self) -> &[String] {
        self.header.get_or_init(|| header_texts(self.message))
    }

    fn body(&self) -> &[String] {
        self.body.get_or_init(|| {
            let structure = self.structure.get_or_init(|| Structure::of(self.message));
            let mut texts = Vec::new();
            for part in structure.parts() {
                match part.kind {
                    Kind::Leaf if part.content.is("text", "*") => texts.push(body_text(self.message, part)),
                    Kind::Message => {
                        let inner = structure.inner(part).map(|inner| &self.message[inner.header.clone()]);
                        texts.extend(inner.into_iter().flat_map(header_texts));
                    }
                    Kind::Leaf | Kind::Multipart => (),
                }
            }
            texts
        })
    }

    fn field_contains(&self, name: &str, text: &str) -> bool {
        header::find_all(self.message, name).any(|field| text.is_empty() || value(&field).to_lowercase().contains(text))
    }

    fn sent(&self) -> Option<Civil> {
        let field = header::find(self.message, "Date")?;
        Moment::parse_rfc5322(&field.unfolded()).map(|moment| moment.local().0)
    }
}

fn contains(texts: &[String], text: &str) -> bool {
    text.is_empty() || texts.iter().any(|one| one.contains(text))
}

/// `name: value` of every field.
fn header_texts(header: &[u8]) -> Vec<String> {
    let line = |field: Field<'_>| format!("{}: {}", String::from_utf8_lossy(field.name), value(&field)).to_lowercase();
    header::fields(header).map(line).collect()
}

/// The value with encoded words decoded.
fn value(field: &Field<'_>) -> String {
    match mailparse::parse_header(field.raw) {
        Ok((parsed, _)) => parsed.get_value(),
        Err(_) => String::from_utf8_lossy(&field.unfolded()).into_owned(),
    }
}

/// The body of a text part, decoded. The part is handed over with its header, so that encoding and character set are known.
fn body_text(message: &[u8], part: &Part) -> String {
    let raw = &message[part.header.start..part.body.end];
    let decoded = mailparse::parse_mail(raw).and_then(|parsed| parsed.get_body());
    decoded.unwrap_or_else(|_| String::from_utf8_lossy(&message[part.body.clone()]).into_owned()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAIL: &[u8] = b"Date: Fri, 20 Nov 2026 23:30:00 -0500\r\nFrom: =?utf-8?q?=C3=89l=C3=A8ve?= <eleve@m3102.com>\r\n\
        Subject: R\xe9sum\xe9\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        =C0 bient=F4t, split=\r\nword\r\n--b\r\nContent-Type: application/pdf\r\n\r\nhidden\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0IE1FU1NBR0U=\r\n--b--\r\n";

    fn text(text: &str) -> String {
        text.into()
    }

    #[test]
    fn what_is_found() {
        use Criterion::{And, Body, Header, Not, Or, Text};
        let day = |day| Civil::new(2026, 11, day).expect("a day");
        for (criterion, want) in [
            (Body(text("à BIENTÔT")), true),
            (Body(text("splitword")), true),
            (Body(text("secret message")), true),
            (Body(text("inner")), true),
            (Body(text("hidden")), false),
            (Body(text("résumé")), false),
            (Text(text("résumé")), true),
            (Text(text("élève")), true),
            (Text(text("from: é")), true),
            (Header(text("from"), text("ÉLÈVE <eleve")), true),
            (Header(text("X-Empty"), text("")), true),
            (Header(text("X-Absent"), text("")), false),
            (And(vec![]), true),
            (Or(vec![]), false),
            (And(vec![Text(text("inner")), Not(Box::new(Body(text("hidden"))))]), true),
            (Criterion::SentOn(day(20)), true),
            (Criterion::SentBefore(day(20)), false),
            (Criterion::SentSince(day(21)), false),
        ] {
            assert_eq!(criterion.holds(MAIL), want, "{criterion:?}");
        }
        assert!(Not(Box::new(Text(text("x")))).needs_body() && !Header(text("a"), text("b")).needs_body());
        assert!(Header(text("subject"), text("SUM")).holds(&MAIL[..header::length(MAIL)]));
    }

    proptest! {
        #[test]
        fn never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Criterion::Text(text("x")).holds(&octets);
        }
    }
}
