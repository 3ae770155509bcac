//! `BODY[section]<partial>`: which octets of a message a client gets (RFC 9051 §6.4.5.1), and the section's name.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use mail::header;
use mail::mime::{Kind, Part, Structure};

use super::write::astring;
use crate::grammar::fetch::{Octets, Partial, Section, SectionText};

/// A message as far as it is at hand.
pub struct Message<'a> {
    /// Octets of the whole.
    pub size: u64,
    /// All octets, or its header.
    pub octets: &'a Bytes,
    /// Whether that is all.
    pub large: bool,
    /// Its parts.
    pub structure: Option<&'a Structure>,
    /// The headers of messages inside, of a large one.
    pub headers: &'a [(usize, Vec<u8>)],
}

/// Octets to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// These.
    Octets(Bytes),
    /// Those of the message that are there.
    Range(Range<u64>),
}

impl Message<'_> {
    /// The octets of a section; `None` when the message has no such part.
    #[must_use]
    pub fn find(&self, section: &Section) -> Option<Found> {
        let (head, body) = if section.part.is_empty() {
            let length = header::length(self.octets);
            (0..length, length..usize::try_from(self.size).ok()?)
        } else {
            let path: Vec<u32> = section.part.iter().map(|number| number.get()).collect();
            let structure = self.structure?;
            let part = structure.find(&path)?;
            match section.text {
                SectionText::All => return self.slice(part.body.clone()),
                SectionText::Mime => return self.slice(part.header.clone()),
                SectionText::Header
                | SectionText::HeaderFields(_)
                | SectionText::HeaderFieldsNot(_)
                | SectionText::Text => {
                    let inner = inner(structure, part)?;
                    (inner.header.clone(), inner.body.clone())
                }
            }
        };
        let named = |names: &[Vec<u8>], wanted| Some(Found::Octets(fields(self.header(head.clone())?, names, wanted)));
        match &section.text {
            SectionText::All | SectionText::Mime => self.slice(0..usize::try_from(self.size).ok()?),
            SectionText::Header => self.slice(head),
            SectionText::Text => self.slice(body),
            SectionText::HeaderFields(names) => named(names, Wanted::Named),
            SectionText::HeaderFieldsNot(names) => named(names, Wanted::Others),
        }
    }

    /// A header of the message or one inside.
    #[must_use]
    pub fn header(&self, range: Range<usize>) -> Option<&[u8]> {
        if range.end <= self.octets.len() {
            return self.octets.get(range);
        }
        self.headers.iter().find(|(start, _)| *start == range.start).map(|(_, header)| header.as_slice())
    }

    fn slice(&self, range: Range<usize>) -> Option<Found> {
        if range.end <= self.octets.len() {
            return (range.start <= range.end).then(|| Found::Octets(self.octets.slice(range)));
        }
        (self.large && range.start <= range.end).then_some(Found::Range(range.start as u64..range.end as u64))
    }
}

impl Found {
    /// How many octets that are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Range(range) => range.end - range.start,
        }
    }

    /// The part that `<first.count>` names; nothing when it lies behind the end.
    #[must_use]
    pub fn cut(self, partial: Option<Partial>) -> Self {
        let Some(partial) = partial else { return self };
        let size = self.size();
        let (from, to) = (partial.first.min(size), partial.first.saturating_add(partial.count).min(size));
        match self {
            Self::Octets(octets) => {
                let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(octets.len());
                Self::Octets(octets.slice(place(from)..place(to)))
            }
            Self::Range(range) => Self::Range(range.start + from..range.start + to),
        }
    }
}

/// Whether the header is enough to answer.
#[must_use]
pub fn header_only(section: &Section) -> bool {
    let of_header =
        matches!(section.text, SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_));
    section.part.is_empty() && of_header
}

/// `BODY[1.2.HEADER.FIELDS (FROM TO)]<0>`, as it stands in the reply.
pub fn name(out: &mut Vec<u8>, asked: &Octets) {
    out.extend_from_slice(b"BODY[");
    for (at, number) in asked.section.part.iter().enumerate() {
        put!(out, "{}{number}", if at > 0 { "." } else { "" });
    }
    let word = match &asked.section.text {
        SectionText::All => "",
        SectionText::Header => "HEADER",
        SectionText::HeaderFields(_) => "HEADER.FIELDS ",
        SectionText::HeaderFieldsNot(_) => "HEADER.FIELDS.NOT ",
        SectionText::Mime => "MIME",
        SectionText::Text => "TEXT",
    };
    put!(out, "{}{word}", if asked.section.part.is_empty() || word.is_empty() { "" } else { "." });
    if let SectionText::HeaderFields(names) | SectionText::HeaderFieldsNot(names) = &asked.section.text {
        for (at, name) in names.iter().enumerate() {
            out.push(if at > 0 { b' ' } else { b'(' });
            astring(out, &name.to_ascii_uppercase());
        }
        out.push(b')');
    }
    out.push(b']');
    if let Some(partial) = asked.partial {
        put!(out, "<{}>", partial.first);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Named,
    Others,
}

fn fields(head: &[u8], names: &[Vec<u8>], wanted: Wanted) -> Bytes {
    let named = |field: &header::Field<'_>| names.iter().any(|name| name.eq_ignore_ascii_case(field.name));
    let mut out = Vec::new();
    for field in header::fields(head).filter(|field| named(field) == (wanted == Wanted::Named)) {
        out.extend_from_slice(field.raw);
        if !field.raw.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

/// The message whose HEADER and TEXT a part number can ask for: the one inside, or the message itself as its part 1.
fn inner<'a>(structure: &'a Structure, part: &'a Part) -> Option<&'a Part> {
    match part.kind {
        Kind::Message => structure.inner(part),
        Kind::Leaf | Kind::Multipart => None,
    }
}

/// The text of a section's name, for logs and tests.
#[must_use]
pub fn text(asked: &Octets) -> String {
    let mut out = Vec::new();
    name(&mut out, asked);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::Cursor;
    use crate::grammar::fetch::{Item, fetch_items};

    const MAIL: &str = "From: a\r\nTo: b\r\n c\r\nX: y\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\none\r\n--B\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntwo\r\n--B--\r\n";

    fn ask(item: &str) -> Option<(String, String)> {
        let items = fetch_items(&mut Cursor::new(item.as_bytes())).expect(item);
        let [Item::Octets(asked)] = items.as_slice() else { panic!("{item}") };
        let message = Bytes::from_static(MAIL.as_bytes());
        let structure = Structure::of(&message);
        let size = message.len() as u64;
        let whole = Message { size, octets: &message, large: false, structure: Some(&structure), headers: &[] };
        let found = whole.find(&asked.section)?.cut(asked.partial);
        let Found::Octets(octets) = &found else { panic!("{item}") };
        // One that is not in memory gives the same, by ranges.
        let mut scanner = mail::mime::Scanner::default();
        scanner.feed(&message);
        let scanned = scanner.finish();
        let header = message.slice(..header::length(&message));
        let (structure, headers) = (Some(&scanned.structure), &scanned.headers[..]);
        let large = Message { size, octets: &header, large: true, structure, headers };
        match large.find(&asked.section)?.cut(asked.partial) {
            Found::Octets(same) => assert_eq!(same, octets),
            Found::Range(range) => assert_eq!(message.slice(range.start as usize..range.end as usize), octets),
        }
        Some((text(asked), String::from_utf8_lossy(octets).into_owned()))
    }

    #[test]
    fn sections() {
        let table = [
            ("body[1]", "BODY[1]", "one"),
            ("body.peek[2]", "BODY[2]", "Subject: in\r\n\r\ntwo"),
            ("body[2.mime]", "BODY[2.MIME]", "Content-Type: message/rfc822\r\n\r\n"),
            ("body[2.header]", "BODY[2.HEADER]", "Subject: in\r\n\r\n"),
            ("body[2.text]<1.9>", "BODY[2.TEXT]<1>", "wo"),
            ("body[2.1]", "BODY[2.1]", "two"),
            ("body[header.fields (to \"x z\")]", "BODY[HEADER.FIELDS (TO \"X Z\")]", "To: b\r\n c\r\n\r\n"),
            (
                "body[header.fields.not (to x content-type)]",
                "BODY[HEADER.FIELDS.NOT (TO X CONTENT-TYPE)]",
                "From: a\r\n\r\n",
            ),
            ("body[]<0.7>", "BODY[]<0>", "From: a"),
            ("body[]<5000.7>", "BODY[]<5000>", ""),
        ];
        for (item, name, want) in table {
            assert_eq!(ask(item), Some((name.into(), want.into())), "{item}");
        }
        for item in ["body[3]", "body[1.header]", "body[1.1]", "body[2.2]"] {
            assert_eq!(ask(item), None, "{item}");
        }
    }
}
