//! What FETCH can ask for (RFC 9051 §9: fetch, fetch-att, section, section-spec, partial).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::cursor::{Cursor, Parsed, Syntax};
use super::number::{number64, nz_number};
use super::string::astring;

/// One thing to tell of each message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// `BODY`: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Size,
    /// `BODY[…]`, `BODY.PEEK[…]` and the RFC822 family: octets of the message.
    Octets(Octets),
    /// `UID`
    Uid,
}

/// Octets of the message and how to call them in the reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octets {
    /// Which of them.
    pub section: Section,
    /// `<first.count>`
    pub partial: Option<Partial>,
    /// What it does to `\Seen`.
    pub seen: Seen,
    /// The item's name in the reply.
    pub label: Label,
}

/// The effect of reading on `\Seen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// The flag is set.
    Set,
    /// `.PEEK`: it stays as it is.
    Kept,
}

/// The name under which octets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// `BODY[section]<origin>`
    Body,
    /// `RFC822`
    Rfc822,
    /// `RFC822.HEADER`
    Rfc822Header,
    /// `RFC822.TEXT`
    Rfc822Text,
}

/// `partial = "<" number64 "." nz-number64 ">"`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partial {
    /// The first octet wanted, from 0.
    pub first: u64,
    /// The most octets wanted.
    pub count: u64,
}

/// `section-spec`: a part of the message and what of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Section {
    /// `section-part`: empty for the message itself.
    pub part: Vec<NonZeroU32>,
    /// What of that part.
    pub text: SectionText,
}

/// `section-text`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionText {
    /// All of it; of a part, its body.
    All,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`, the names as written.
    HeaderFields(Vec<Vec<u8>>),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(Vec<Vec<u8>>),
    /// `MIME`
    Mime,
    /// `TEXT`
    Text,
}

impl Section {
    /// `BODY[]`
    pub const WHOLE: Self = Self { part: Vec::new(), text: SectionText::All };
}

/// The `"ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")"` of a FETCH.
///
/// # Errors
/// When it is none, or the list is empty.
pub fn fetch_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let items = if cursor.peek() == Some(b'(') {
        let lists = cursor.list(fetch_att)?;
        lists.into_iter().flatten().collect()
    } else {
        fetch_att(cursor)?
    };
    if items.is_empty() { Err(Syntax::Arguments) } else { Ok(items) }
}

/// `fetch-att`, and the macros, which some clients put in a list.
fn fetch_att(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    let name = cursor.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'.');
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let item = match name.as_str() {
        "ALL" => return Ok(vec![Item::Flags, Item::InternalDate, Item::Size, Item::Envelope]),
        "FAST" => return Ok(vec![Item::Flags, Item::InternalDate, Item::Size]),
        "FULL" => return Ok(vec![Item::Flags, Item::InternalDate, Item::Size, Item::Envelope, Item::Body]),
        "BODY" if cursor.peek() == Some(b'[') => section_octets(cursor, Seen::Set)?,
        "BODY" => Item::Body,
        "BODY.PEEK" => section_octets(cursor, Seen::Kept)?,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "ENVELOPE" => Item::Envelope,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "RFC822" => old(SectionText::All, Seen::Set, Label::Rfc822),
        "RFC822.HEADER" => old(SectionText::Header, Seen::Kept, Label::Rfc822Header),
        "RFC822.SIZE" => Item::Size,
        "RFC822.TEXT" => old(SectionText::Text, Seen::Set, Label::Rfc822Text),
        "UID" => Item::Uid,
        "" => return Err(Syntax::Arguments),
        _ => return Err(Syntax::Unknown("parameter", name)),
    };
    Ok(vec![item])
}

fn old(text: SectionText, seen: Seen, label: Label) -> Item {
    Item::Octets(Octets { section: Section { part: Vec::new(), text }, partial: None, seen, label })
}

fn section_octets(cursor: &mut Cursor<'_>, seen: Seen) -> Parsed<Item> {
    let section = section(cursor)?;
    let partial = if cursor.peek() == Some(b'<') { Some(partial(cursor)?) } else { None };
    Ok(Item::Octets(Octets { section, partial, seen, label: Label::Body }))
}

/// `section = "[" [section-spec] "]"`
///
/// # Errors
/// When it is none.
pub fn section(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    cursor.expect(b'[')?;
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        part.push(nz_number(cursor)?);
        if part.len() > usize::from(super::cursor::MAX_DEPTH) {
            return Err(Syntax::TooDeep);
        }
        if !cursor.eat(b'.') {
            cursor.expect(b']')?;
            return Ok(Section { part, text: SectionText::All });
        }
    }
    let text = if part.is_empty() && cursor.peek() == Some(b']') { SectionText::All } else { section_text(cursor)? };
    cursor.expect(b']')?;
    if text == SectionText::Mime && part.is_empty() { Err(Syntax::Arguments) } else { Ok(Section { part, text }) }
}

fn section_text(cursor: &mut Cursor<'_>) -> Parsed<SectionText> {
    let name = cursor.take_while(|octet| octet.is_ascii_alphabetic() || octet == b'.');
    match String::from_utf8_lossy(name).to_ascii_uppercase().as_str() {
        "HEADER" => Ok(SectionText::Header),
        "HEADER.FIELDS" => header_list(cursor).map(SectionText::HeaderFields),
        "HEADER.FIELDS.NOT" => header_list(cursor).map(SectionText::HeaderFieldsNot),
        "MIME" => Ok(SectionText::Mime),
        "TEXT" => Ok(SectionText::Text),
        _ => Err(Syntax::Arguments),
    }
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn header_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<Vec<u8>>> {
    cursor.space()?;
    let names = cursor.list(astring)?;
    if names.is_empty() { Err(Syntax::Arguments) } else { Ok(names) }
}

fn partial(cursor: &mut Cursor<'_>) -> Parsed<Partial> {
    cursor.expect(b'<')?;
    let first = number64(cursor)?;
    cursor.expect(b'.')?;
    let count = number64(cursor)?;
    cursor.expect(b'>')?;
    if count == 0 { Err(Syntax::Arguments) } else { Ok(Partial { first, count }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Parsed<Vec<Item>> {
        let mut cursor = Cursor::new(text.as_bytes());
        let items = fetch_items(&mut cursor)?;
        cursor.end().map(|()| items)
    }

    #[test]
    fn every_item_is_read() {
        let table = [
            ("flags", 1),
            ("(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From \"To\" {2}\r\nCc)])", 4),
            ("full", 5),
            ("(fast uid)", 4),
            ("body", 1),
            ("body[]", 1),
            ("(body[1.2.mime]<0.100> body[1.header] body[text]<5.1>)", 3),
            ("RFC822.TEXT", 1),
        ];
        for (text, count) in table {
            assert_eq!(items(text).map(|items| items.len()), Ok(count), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "()",
            "(flags",
            "flags)",
            "body[",
            "body[0]",
            "body[1.]",
            "body[mime]",
            "body[header.fields ()]",
            "body[]<1>",
            "body[]<0.0>",
            "body.peek",
            "body[1.foo]",
            "flags uid",
            "body[]<-1.5>",
        ] {
            assert!(items(text).is_err(), "{text}");
        }
        assert_eq!(items("(flags bogus)"), Err(Syntax::Unknown("parameter", "BOGUS".into())));
    }
}
