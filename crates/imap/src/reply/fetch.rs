//! One FETCH reply: the items of one message in their written form.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use mail::Seq;
use mail::mime::{Part, Structure};

use super::envelope::envelope;
use super::section::{self, Found, Message};
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
    /// Octets of the message that must be asked for.
    Range(Range<u64>),
}

impl Wanted {
    /// What these items ask for; each is answered once, short ones first.
    #[must_use]
    pub fn new(asked: Vec<Item>) -> Self {
        let mut seen = BTreeSet::new();
        let mut items: Vec<Item> = asked.into_iter().filter(|item| seen.insert(item.clone())).collect();
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
        let mut items = self.items.clone();
        if !items.contains(&Item::Flags) {
            items.insert(items.iter().take_while(|item| **item == Item::Uid).count(), Item::Flags);
        }
        Self { items }
    }

    /// `* seq FETCH (…)`
    #[must_use]
    pub fn reply(&self, (seq, message): (Seq, &Known), data: &Data, read: &mut Read) -> Vec<Piece> {
        let scanned = data.large.as_ref().and_then(|large| large.scanned.as_ref());
        let own = (data.large.is_none() && self.needs_structure()).then(|| Structure::of(&data.octets));
        let structure = own.as_ref().or(scanned.map(|scanned| &scanned.structure));
        let headers = scanned.map(|scanned| scanned.headers.as_slice()).unwrap_or_default();
        let size = if data.large.is_some() { data.size } else { data.octets.len() as u64 };
        let source = Message { size, octets: &data.octets, large: data.large.is_some(), structure, headers };
        let mut reply = Reply { text: Vec::new(), pieces: Vec::new(), read };
        put!(reply.text, "* {seq} FETCH (");
        for (at, item) in self.items.iter().enumerate() {
            reply.text.extend_from_slice(if at > 0 { b" " } else { b"" });
            match item {
                Item::Octets(asked) => reply.octets(asked, source.find(&asked.section)),
                Item::Body => reply.structure(&source, Form::Plain),
                Item::BodyStructure => reply.structure(&source, Form::Extended),
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
        Item::Body | Item::BodyStructure => Some(Need::Parts),
        Item::Octets(asked) if section::header_only(&asked.section) => Some(Need::Header),
        Item::Octets(asked) if !asked.section.part.is_empty() => Some(Need::Parts),
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
    fn structure(&mut self, message: &Message<'_>, form: Form) {
        self.text.extend_from_slice(match form {
            Form::Plain => b"BODY ".as_slice(),
            Form::Extended => b"BODYSTRUCTURE ",
        });
        let header = |part: &Part| message.header(part.header.clone()).unwrap_or_default();
        match message.structure {
            Some(structure) => body(&mut self.text, &header, structure, form),
            None => self.text.extend_from_slice(b"NIL"),
        }
    }

    /// The item's name and its octets as a literal, or NIL when there is no such part.
    fn octets(&mut self, asked: &Octets, found: Option<Found>) {
        match asked.label {
            Label::Body => section::name(&mut self.text, asked),
            Label::Rfc822 => self.text.extend_from_slice(b"RFC822"),
            Label::Rfc822Header => self.text.extend_from_slice(b"RFC822.HEADER"),
            Label::Rfc822Text => self.text.extend_from_slice(b"RFC822.TEXT"),
        }
        let Some(found) = found.map(|found| found.cut(asked.partial)) else {
            self.text.extend_from_slice(b" NIL");
            return;
        };
        self.read.count(&asked.section.text, found.size());
        put!(self.text, " {{{}}}\r\n", found.size());
        self.pieces.push(Piece::Text(core::mem::take(&mut self.text)));
        self.pieces.push(match found {
            Found::Octets(octets) => Piece::Octets(octets),
            Found::Range(range) => Piece::Range(range),
        });
    }
}

impl Read {
    const fn count(&mut self, what: &SectionText, octets: u64) {
        match what {
            SectionText::Header
            | SectionText::HeaderFields(_)
            | SectionText::HeaderFieldsNot(_)
            | SectionText::Mime => {
                self.headers += 1;
                self.header_octets += octets;
            }
            SectionText::All | SectionText::Text => {
                self.bodies += 1;
                self.body_octets += octets;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::fetch::{Partial, Section};

    fn octets(first: u64) -> Item {
        let partial = Some(Partial { first, count: 1 });
        Item::Octets(Octets { section: Section::WHOLE, partial, seen: Seen::Set, label: Label::Body })
    }

    /// So many that looking through all of them for each would take minutes.
    #[test]
    fn each_item_is_answered_once_however_many_there_are() {
        let many: Vec<Item> = (0..200_000).map(octets).chain([Item::Uid, octets(7), Item::Uid]).collect();
        let wanted = Wanted::new(many).and_flags();
        assert_eq!((&wanted.items[..2], wanted.items.len()), (&[Item::Uid, Item::Flags][..], 200_002));
        assert_eq!(wanted.and_flags(), wanted);
    }
}
