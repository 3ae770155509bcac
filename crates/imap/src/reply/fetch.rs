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
    pub fn reply(&self, (seq, message): (Seq, &Known), data: &Data, read: &mut Read) -> Vec<Piece> {
        let structure = self.needs_structure().then(|| Structure::of(&data.octets));
        let mut reply = Reply { text: Vec::new(), pieces: Vec::new(), read };
        put!(reply.text, "* {seq} FETCH (");
        for (at, item) in self.items.iter().enumerate() {
            reply.text.extend_from_slice(if at > 0 { b" " } else { b"" });
            match item {
                Item::Octets(asked) => {
                    reply.octets(asked, section::octets(&data.octets, structure.as_ref(), &asked.section));
                }
                Item::Body => reply.structure(data, structure.as_ref(), Form::Plain),
                Item::BodyStructure => reply.structure(data, structure.as_ref(), Form::Extended),
                Item::Envelope => {
                    reply.text.extend_from_slice(b"ENVELOPE ");
                    envelope(&mut reply.text, &data.octets);
                }
                Item::Flags => {
                    reply.text.extend_from_slice(b"FLAGS ");
                    write::flags(&mut reply.text, &message.flags, message.recent);
                }
                Item::InternalDate => put!(reply.text, "INTERNALDATE \"{}\"", data.date.imap()),
                Item::Size => put!(reply.text, "RFC822.SIZE {}", data.size),
                Item::Uid => put!(reply.text, "UID {}", message.uid),
            }
        }
        reply.text.extend_from_slice(b")\r\n");
        reply.pieces.push(Piece::Text(reply.text));
        reply.pieces
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

/// A reply under way.
struct Reply<'a> {
    text: Vec<u8>,
    pieces: Vec<Piece>,
    read: &'a mut Read,
}

impl Reply<'_> {
    fn structure(&mut self, data: &Data, structure: Option<&Structure>, form: Form) {
        self.text.extend_from_slice(match form {
            Form::Plain => b"BODY ".as_slice(),
            Form::Extended => b"BODYSTRUCTURE ",
        });
        match structure {
            Some(structure) => body(&mut self.text, &data.octets, structure, form),
            None => self.text.extend_from_slice(b"NIL"),
        }
    }

    /// The item's name and its octets as a literal, or NIL when there is no such part.
    fn octets(&mut self, asked: &Octets, octets: Option<Bytes>) {
        match asked.label {
            Label::Body => section::name(&mut self.text, asked),
            Label::Rfc822 => self.text.extend_from_slice(b"RFC822"),
            Label::Rfc822Header => self.text.extend_from_slice(b"RFC822.HEADER"),
            Label::Rfc822Text => self.text.extend_from_slice(b"RFC822.TEXT"),
        }
        let Some(octets) = octets else {
            self.text.extend_from_slice(b" NIL");
            return;
        };
        let octets = section::cut(&octets, asked.partial);
        self.read.count(&asked.section.text, octets.len());
        put!(self.text, " {{{}}}\r\n", octets.len());
        self.pieces.push(Piece::Text(core::mem::take(&mut self.text)));
        self.pieces.push(Piece::Octets(octets));
    }
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
