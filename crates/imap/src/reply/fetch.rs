//! One FETCH reply: the items of one message in their written form.

use alloc::vec::Vec;

use bytes::Bytes;
use mail::Seq;
use mail::mime::Structure;

use super::envelope::envelope;
use super::section;
use super::structure::{Form, body};
use super::write;
use crate::grammar::fetch::{Item, Label, Octets, SectionText, Seen};
use crate::question::{Data, Known, Need};

/// What a FETCH asks of each message, put in the order in which it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    items: Vec<Item>,
}

/// What the session's end tells about reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Headers sent.
    pub headers: u64,
    /// Their octets.
    pub header_octets: u64,
    /// Bodies sent.
    pub bodies: u64,
    /// Their octets.
    pub body_octets: u64,
}

/// Pieces of a reply in order: short text, and octets of the message that are not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(Vec<u8>),
    /// Octets of the message.
    Octets(Bytes),
}

impl Wanted {
    /// What these items ask for; each is answered once, short ones first.
    #[must_use]
    pub fn new(asked: Vec<Item>) -> Self {
        let mut items: Vec<Item> = Vec::new();
        for item in asked {
            if !items.contains(&item) {
                items.push(item);
            }
        }
        items.sort_by_key(|item| match item {
            Item::Uid => 0,
            Item::Flags | Item::InternalDate | Item::Size => 1,
            Item::Body | Item::BodyStructure | Item::Envelope | Item::Octets(_) => 2,
        });
        Self { items }
    }

    /// How much of the message must be read; `None`: nothing.
    #[must_use]
    pub fn need(&self) -> Option<Need> {
        self.items.iter().filter_map(need).max()
    }

    /// Whether answering sets `\Seen`.
    #[must_use]
    pub fn marks_seen(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Octets(octets) if octets.seen == Seen::Set))
    }

    /// The same, with the flags told too.
    #[must_use]
    pub fn and_flags(&self) -> Self {
        Self::new(core::iter::once(Item::Flags).chain(self.items.iter().cloned()).collect())
    }

    /// `* seq FETCH (…)`
    #[must_use]
    pub fn reply(&self, seq: Seq, message: &Known, data: &Data, read: &mut Read) -> Vec<Piece> {
        let structure = self.needs_structure().then(|| Structure::of(&data.octets));
        let mut pieces = Vec::new();
        let mut text = Vec::new();
        put!(text, "* {seq} FETCH (");
        for (at, item) in self.items.iter().enumerate() {
            text.extend_from_slice(if at > 0 { b" " } else { b"" });
            match item {
                Item::Octets(asked) => {
                    let octets = section::octets(&data.octets, structure.as_ref(), &asked.section);
                    literal(&mut text, asked, octets, read, &mut pieces);
                }
                Item::Body => with_structure(&mut text, "BODY ", data, structure.as_ref(), Form::Plain),
                Item::BodyStructure => {
                    with_structure(&mut text, "BODYSTRUCTURE ", data, structure.as_ref(), Form::Extended);
                }
                Item::Envelope => {
                    text.extend_from_slice(b"ENVELOPE ");
                    envelope(&mut text, &data.octets);
                }
                Item::Flags => {
                    text.extend_from_slice(b"FLAGS ");
                    write::flags(&mut text, &message.flags, message.recent);
                }
                Item::InternalDate => put!(text, "INTERNALDATE \"{}\"", data.date.imap()),
                Item::Size => put!(text, "RFC822.SIZE {}", data.size),
                Item::Uid => put!(text, "UID {}", message.uid),
            }
        }
        text.extend_from_slice(b")\r\n");
        pieces.push(Piece::Text(text));
        pieces
    }

    fn needs_structure(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Body | Item::BodyStructure => true,
            Item::Octets(asked) => !asked.section.part.is_empty(),
            Item::Envelope | Item::Flags | Item::InternalDate | Item::Size | Item::Uid => false,
        })
    }
}

fn need(item: &Item) -> Option<Need> {
    match item {
        Item::Flags | Item::Uid => None,
        Item::InternalDate => Some(Need::Date),
        Item::Size => Some(Need::Size),
        Item::Envelope => Some(Need::Header),
        Item::Body | Item::BodyStructure => Some(Need::Whole),
        Item::Octets(asked) if section::header_only(&asked.section) => Some(Need::Header),
        Item::Octets(_) => Some(Need::Whole),
    }
}

fn with_structure(text: &mut Vec<u8>, name: &str, data: &Data, structure: Option<&Structure>, form: Form) {
    text.extend_from_slice(name.as_bytes());
    match structure {
        Some(structure) => body(text, &data.octets, structure, form),
        None => text.extend_from_slice(b"NIL"),
    }
}

/// The item's name and its octets as a literal, or NIL when there is no such part.
fn literal(text: &mut Vec<u8>, asked: &Octets, octets: Option<Bytes>, read: &mut Read, pieces: &mut Vec<Piece>) {
    match asked.label {
        Label::Body => section::name(text, asked),
        Label::Rfc822 => text.extend_from_slice(b"RFC822"),
        Label::Rfc822Header => text.extend_from_slice(b"RFC822.HEADER"),
        Label::Rfc822Text => text.extend_from_slice(b"RFC822.TEXT"),
    }
    let Some(octets) = octets else {
        text.extend_from_slice(b" NIL");
        return;
    };
    let octets = section::cut(&octets, asked.partial);
    read.count(&asked.section.text, octets.len());
    put!(text, " {{{}}}\r\n", octets.len());
    pieces.push(Piece::Text(core::mem::take(text)));
    pieces.push(Piece::Octets(octets));
}

impl Read {
    const fn count(&mut self, what: &SectionText, octets: usize) {
        match what {
            SectionText::Header
            | SectionText::HeaderFields(_)
            | SectionText::HeaderFieldsNot(_)
            | SectionText::Mime => {
                self.headers += 1;
                self.header_octets += octets as u64;
            }
            SectionText::All | SectionText::Text => {
                self.bodies += 1;
                self.body_octets += octets as u64;
            }
        }
    }
}
