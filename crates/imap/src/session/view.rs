//! A session's view of its mailbox: which message has which number, and what the client has not been told yet.
//!
//! Message numbers change only when EXPUNGE is sent, and EXPUNGE is sent only where RFC 9051 §7.5.1 allows it; until
//! then a message that is gone keeps its number here.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mail::{Flag, Flags, Seq, Uid, UidValidity};

use super::out::Out;
use crate::command::Numbers;
use crate::grammar::Syntax;
use crate::grammar::set::{Ranges, Set};
use crate::question::{Changes, Known, Opened};
use crate::reply::write;

/// The mailbox as this session knows it.
#[derive(Debug)]
pub(super) struct View {
    /// Its name.
    pub(super) name: String,
    /// Whether the session may change it.
    pub(super) writable: bool,
    pub(super) uid_validity: UidValidity,
    messages: Vec<Known>,
    keywords: BTreeSet<String>,
    most_keywords: Option<usize>,
    /// Gone, but the client has not been told.
    gone: BTreeSet<Uid>,
}

/// Whether EXPUNGE may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expunges {
    Told,
    /// During FETCH, STORE and SEARCH by message numbers.
    Held,
}

impl View {
    pub(super) fn new(name: String, opened: Opened) -> Self {
        Self {
            name,
            writable: opened.writable,
            uid_validity: opened.uid_validity,
            messages: opened.messages,
            keywords: opened.keywords.into_iter().collect(),
            most_keywords: opened.most_keywords,
            gone: BTreeSet::new(),
        }
    }

    pub(super) fn messages(&self) -> &[Known] {
        &self.messages
    }

    pub(super) fn uids(&self) -> Vec<Uid> {
        self.messages.iter().map(|message| message.uid).collect()
    }

    /// Number and message of a uid.
    pub(super) fn find(&self, uid: Uid) -> Option<(Seq, &Known)> {
        let place = self.place(uid)?;
        Some((Seq::from_index(place)?, self.messages.get(place)?))
    }

    fn place(&self, uid: Uid) -> Option<usize> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok()
    }

    /// The uids a set names, ascending. A uid nobody has is passed over; a message number nobody has is an error, except
    /// in an empty mailbox where `1:*` is what clients send.
    pub(super) fn resolve(&self, numbers: Numbers, set: &Set) -> Result<Vec<Uid>, Syntax> {
        let count = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        let largest = match numbers {
            Numbers::Messages => count,
            Numbers::Uids => self.messages.last().map_or(0, |message| message.uid.get()),
        };
        let ranges = set.resolve(largest);
        match numbers {
            Numbers::Messages if count == 0 && set.is_open() => Ok(Vec::new()),
            Numbers::Messages if ranges.largest() > count || ranges.spans().is_empty() => Err(Syntax::MessageSet),
            Numbers::Messages => Ok(self.by_number(&ranges)),
            Numbers::Uids => Ok(self.by_uid(&ranges)),
        }
    }

    fn by_number(&self, ranges: &Ranges) -> Vec<Uid> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let spans =
            ranges.spans().iter().filter_map(|(first, last)| self.messages.get(place(*first) - 1..place(*last)));
        spans.flatten().map(|message| message.uid).collect()
    }

    fn by_uid(&self, ranges: &Ranges) -> Vec<Uid> {
        let mut uids = Vec::new();
        for (first, last) in ranges.spans() {
            let from = self.messages.partition_point(|message| message.uid.get() < *first);
            let rest = self.messages.get(from..).unwrap_or_default();
            uids.extend(rest.iter().map(|message| message.uid).take_while(|uid| uid.get() <= *last));
        }
        uids
    }

    /// The numbers or uids of these messages, for SEARCH.
    pub(super) fn numbers_of(&self, uids: &[Uid], numbers: Numbers) -> Vec<u32> {
        match numbers {
            Numbers::Uids => uids.iter().map(|uid| uid.get()).collect(),
            Numbers::Messages => uids.iter().filter_map(|uid| self.find(*uid)).map(|(seq, _)| seq.get()).collect(),
        }
    }

    /// New flags of one message; says whether they are others than before.
    pub(super) fn set_flags(&mut self, uid: Uid, flags: Flags) -> bool {
        let place = self.place(uid);
        match place.and_then(|place| self.messages.get_mut(place)) {
            Some(message) if message.flags != flags => {
                message.flags = flags;
                true
            }
            _ => false,
        }
    }

    /// Tells FLAGS and PERMANENTFLAGS.
    pub(super) fn tell_flags(&self, out: &mut Out<'_>) {
        let system = || Flag::ALL.into_iter().map(write::name_of);
        let keywords = || self.keywords.iter().map(String::as_str);
        out.text().extend_from_slice(b"* FLAGS ");
        write::list(out.text(), system().chain(keywords()));
        out.line("");
        out.text().extend_from_slice(b"* OK [PERMANENTFLAGS ");
        if self.writable {
            // More can be made as long as there is room for them (RFC 9051 §7.1: PERMANENTFLAGS).
            let room = self.most_keywords.is_none_or(|most| self.keywords.len() < most);
            write::list(out.text(), system().chain(keywords()).chain(room.then_some("\\*")));
            out.line("] Flags permitted.");
        } else {
            out.line("()] Read-only mailbox.");
        }
    }

    /// Tells EXISTS and RECENT.
    pub(super) fn tell_counts(&self, out: &mut Out<'_>) {
        out.line(&format!("* {} EXISTS", self.messages.len()));
        out.line(&format!("* {} RECENT", self.messages.iter().filter(|message| message.recent).count()));
    }

    /// The number of the first message without `\Seen`.
    pub(super) fn first_unseen(&self) -> Option<Seq> {
        let place = self.messages.iter().position(|message| !message.flags.has(Flag::Seen))?;
        Seq::from_index(place)
    }

    /// Tells keywords that are new in these flags before a FETCH shows them.
    pub(super) fn learn<'f>(&mut self, flags: impl Iterator<Item = &'f Flags>, out: &mut Out<'_>) {
        let known = self.keywords.len();
        for keyword in flags.flat_map(|flags| &flags.keywords) {
            if !self.keywords.contains(keyword) {
                self.keywords.insert(keyword.clone());
            }
        }
        if self.keywords.len() > known {
            self.tell_flags(out);
        }
    }

    /// Takes in what happened elsewhere and tells the client as far as it may be told now.
    pub(super) fn apply(&mut self, changes: Changes, expunges: Expunges, out: &mut Out<'_>) {
        self.learn(changes.flags.iter().map(|(_, flags)| flags).chain(changes.appeared.iter().map(|m| &m.flags)), out);
        for (uid, flags) in changes.flags {
            if self.set_flags(uid, flags) {
                self.tell_message(uid, None, out);
            }
        }
        self.gone.extend(
            changes.vanished.into_iter().filter(|uid| self.messages.binary_search_by_key(uid, |m| m.uid).is_ok()),
        );
        if expunges == Expunges::Told {
            self.tell_gone(out);
        }
        let last = self.messages.last().map(|message| message.uid);
        let before = self.messages.len();
        self.messages.extend(changes.appeared.into_iter().filter(|message| Some(message.uid) > last));
        if self.messages.len() > before {
            self.tell_counts(out);
        }
    }

    /// `* n FETCH ([UID u ]FLAGS (…))`
    pub(super) fn tell_message(&self, uid: Uid, numbers: Option<Numbers>, out: &mut Out<'_>) {
        let Some((seq, message)) = self.find(uid) else { return };
        let uid = if numbers == Some(Numbers::Uids) { format!("UID {uid} ") } else { String::new() };
        out.text().extend_from_slice(format!("* {seq} FETCH ({uid}FLAGS ").as_bytes());
        write::flags(out.text(), &message.flags, message.recent);
        out.line(")");
    }

    /// EXPUNGE for all that is gone; each number counts those told before it.
    fn tell_gone(&mut self, out: &mut Out<'_>) {
        if self.gone.is_empty() {
            return;
        }
        let mut number = 0_u32;
        let gone = core::mem::take(&mut self.gone);
        self.messages.retain(|message| {
            number += 1;
            let stays = !gone.contains(&message.uid);
            if !stays {
                out.line(&format!("* {number} EXPUNGE"));
                number -= 1;
            }
            stays
        });
    }
}
