//! Text search in a message: encodings and character sets undone, without regard to case.
//!
//! Flags, dates of arrival, sizes and uids are the caller's to compare; here is what needs the message itself. A body is read
//! piece by piece, of attachments that are no text not one octet: however large it is, little of it is in memory.

use mail::date::{Civil, Moment};
use mail::header::{self, Field};

mod body;

pub use body::Body;

/// A question about the header of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// Any field, decoded, contains it.
    Any(String),
    /// The field is there and its decoded text contains it (an empty text: is there).
    Header(String, String),
    /// The day of the `Date:` field, in its own zone, is earlier.
    SentBefore(Civil),
    /// …is this day.
    SentOn(Civil),
    /// …is this day or later.
    SentSince(Civil),
}

impl Criterion {
    /// Whether the header of a message meets it.
    #[must_use]
    pub fn holds(&self, header: &[u8]) -> bool {
        let sent = || {
            let field = header::find(header, "Date")?;
            Moment::parse_rfc5322(&field.unfolded()).map(|moment| moment.local().0)
        };
        match self {
            Self::Any(text) => any_field_contains(header, &fold(text)),
            Self::Header(name, text) => {
                let text = fold(text);
                header::find_all(header, name).any(|field| text.is_empty() || fold(&value(&field)).contains(&text))
            }
            Self::SentBefore(day) => sent().is_some_and(|sent| sent < *day),
            Self::SentOn(day) => sent() == Some(*day),
            Self::SentSince(day) => sent().is_some_and(|sent| sent >= *day),
        }
    }
}

/// The same for letters that differ in case only.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // The small sigma at the end of a word has another shape.
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Whether `name: value` of any field contains the text, which is folded already.
fn any_field_contains(header: &[u8], text: &str) -> bool {
    let line = |field: Field<'_>| fold(&format!("{}: {}", String::from_utf8_lossy(field.name), value(&field)));
    text.is_empty() || header::fields(header).any(|field| line(field).contains(text))
}

/// So many octets of a field are decoded: the time this takes grows with the square of their number.
const DECODED: usize = 16 * 1024;

/// The value with encoded words decoded.
fn value(field: &Field<'_>) -> String {
    let (front, rest) = field.raw.split_at_checked(DECODED).unwrap_or((field.raw, b""));
    match mailparse::parse_header(front) {
        Ok((parsed, _)) => parsed.get_value() + &String::from_utf8_lossy(rest),
        Err(_) => String::from_utf8_lossy(&field.unfolded()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) const MAIL: &[u8] = b"Date: Fri, 20 Nov 2026 23:30:00 -0500\r\nFrom: =?utf-8?q?=C3=89l=C3=A8ve?= <eleve@m3102.com>\r\n\
        Subject: R\xe9sum\xe9\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        =C0 bient=F4t, split=\r\nword\r\n--b\r\nContent-Type: application/pdf\r\n\r\nhidden\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\nc2VjcmV0IE1FU1NBR0U=\r\n--b--\r\n";

    fn text(text: &str) -> String {
        text.into()
    }

    #[test]
    fn what_is_found_in_a_header() {
        use Criterion::{Any, Header};
        let day = |day| Civil::new(2026, 11, day).expect("a day");
        for (criterion, want) in [
            (Any(text("résumé")), true),
            (Any(text("élève")), true),
            (Any(text("from: é")), true),
            (Any(text("inner")), false),
            (Header(text("from"), text("ÉLÈVE <eleve")), true),
            (Header(text("subject"), text("SUM")), true),
            (Header(text("X-Empty"), text("")), true),
            (Header(text("X-Absent"), text("")), false),
            (Criterion::SentOn(day(20)), true),
            (Criterion::SentBefore(day(20)), false),
            (Criterion::SentSince(day(21)), false),
        ] {
            assert_eq!(criterion.holds(&MAIL[..header::length(MAIL)]), want, "{criterion:?}");
        }
    }

    #[test]
    fn of_a_long_field_the_end_is_found_too() {
        let header = format!("Subject: {}the end\r\n\r\n", "=?utf-8?q?=41?= ".repeat(4000));
        for (text, want) in [("aaaa", true), ("the end", true), ("nowhere", false)] {
            assert_eq!(Criterion::Any(text.into()).holds(header.as_bytes()), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Criterion::Any(text("x")).holds(&octets);
        }
    }
}
