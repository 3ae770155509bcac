//! `BODY[section]<partial>`: which octets of a message a client gets (RFC 9051 §6.4.5.1), and the section's name.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use mail::header;
use mail::mime::{Kind, Part, Structure};

use super::write::astring;
use crate::grammar::fetch::{Octets, Partial, Section, SectionText};

/// The octets of a section; `None` when the message has no such part.
#[must_use]
pub fn octets(message: &Bytes, structure: Option<&Structure>, section: &Section) -> Option<Bytes> {
    let (head, body) = if section.part.is_empty() {
        let length = header::length(message);
        (0..length, length..message.len())
    } else {
        let path: Vec<u32> = section.part.iter().map(|number| number.get()).collect();
        let structure = structure?;
        let part = structure.find(&path)?;
        match section.text {
            SectionText::All => return slice(message, part.body.clone()),
            SectionText::Mime => return slice(message, part.header.clone()),
            SectionText::Header
            | SectionText::HeaderFields(_)
            | SectionText::HeaderFieldsNot(_)
            | SectionText::Text => {
                let inner = inner(structure, part)?;
                (inner.header.clone(), inner.body.clone())
            }
        }
    };
    match &section.text {
        SectionText::All | SectionText::Mime => Some(message.clone()),
        SectionText::Header => slice(message, head),
        SectionText::Text => slice(message, body),
        SectionText::HeaderFields(names) => message.get(head).map(|head| fields(head, names, Wanted::Named)),
        SectionText::HeaderFieldsNot(names) => message.get(head).map(|head| fields(head, names, Wanted::Others)),
    }
}

/// The part of `octets` that `<first.count>` names; nothing when it lies behind the end.
#[must_use]
pub fn cut(octets: &Bytes, partial: Option<Partial>) -> Bytes {
    let Some(partial) = partial else { return octets.clone() };
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(octets.len());
    octets.slice(place(partial.first)..place(partial.first.saturating_add(partial.count)))
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

fn slice(message: &Bytes, range: Range<usize>) -> Option<Bytes> {
    (range.start <= range.end && range.end <= message.len()).then(|| message.slice(range))
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
        let found = octets(&message, Some(&Structure::of(&message)), &asked.section)?;
        let found = cut(&found, asked.partial);
        Some((text(asked), String::from_utf8_lossy(&found).into_owned()))
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
