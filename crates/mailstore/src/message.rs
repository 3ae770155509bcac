//! Messages as a mailbox shows them, and changes to them.

use std::collections::HashMap;
use std::ops::Range;

use durable::File;
use mail::date::Moment;
use mail::{Flags, Uid, UidValidity};

/// What a mailbox held when it was last looked at. Messages stand in ascending order of uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Holds for all uids below.
    pub uid_validity: UidValidity,
    /// No message has or had this uid or a higher one.
    pub uid_next: Uid,
    /// In ascending order of uid.
    pub messages: Vec<Message>,
}

/// One message of a snapshot. Its size and date cost a look at the file: [`crate::Mailbox::size`], [`crate::Mailbox::date`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Never changes and is never given twice.
    pub uid: Uid,
    /// System flags and keywords.
    pub flags: Flags,
    /// No session has been told of it yet ([`crate::Mailbox::claim_recent`]).
    pub recent: bool,
}

impl Snapshot {
    /// The message with this uid.
    #[must_use]
    pub fn get(&self, uid: Uid) -> Option<&Message> {
        self.index(uid).map(|at| &self.messages[at])
    }

    /// Its place in `messages`.
    #[must_use]
    pub fn index(&self, uid: Uid) -> Option<usize> {
        self.messages.binary_search_by_key(&uid, |message| message.uid).ok()
    }
}

/// What a refresh found, against the snapshot before. Each list is in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New messages.
    pub appeared: Vec<Uid>,
    /// Messages whose flags or keywords are others now.
    pub flags: Vec<Uid>,
    /// Messages that are gone.
    pub vanished: Vec<Uid>,
    /// UIDVALIDITY changed: all uids known before mean nothing now, `appeared` holds every message.
    pub renumbered: bool,
}

impl Changes {
    /// Nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.renumbered && self.appeared.is_empty() && self.flags.is_empty() && self.vanished.is_empty()
    }

    /// What both together tell of; `later` came after.
    pub(crate) fn merge(&mut self, later: Self) {
        if later.renumbered {
            *self = later;
            return;
        }
        let known = |list: &[Uid], uid: &Uid| list.binary_search(uid).is_ok();
        let Self { appeared, flags, vanished, .. } = self;
        // What came and went in between, nobody has to hear of.
        vanished.extend(later.vanished.iter().filter(|uid| !known(appeared, uid)));
        appeared.retain(|uid| !known(&later.vanished, uid));
        flags.retain(|uid| !known(&later.vanished, uid));
        flags.extend(later.flags.iter().filter(|uid| !known(appeared, uid)));
        appeared.extend(later.appeared);
        for list in [appeared, flags, vanished] {
            list.sort_unstable();
            list.dedup();
        }
    }

    /// From one snapshot to the next of the same mailbox.
    #[must_use]
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        if old.uid_validity != new.uid_validity {
            let appeared = new.messages.iter().map(|message| message.uid).collect();
            return Self { appeared, renumbered: true, ..Self::default() };
        }
        let mut before: HashMap<Uid, &Flags> =
            old.messages.iter().map(|message| (message.uid, &message.flags)).collect();
        let mut changes = Self::default();
        for message in &new.messages {
            match before.remove(&message.uid) {
                None => changes.appeared.push(message.uid),
                Some(flags) if *flags != message.flags => changes.flags.push(message.uid),
                Some(_) => (),
            }
        }
        changes.vanished = before.into_keys().collect();
        changes.vanished.sort_unstable();
        changes
    }
}

/// How flags change: IMAP's `FLAGS`, `+FLAGS`, `-FLAGS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlagChange {
    /// Exactly these from now on.
    Replace(Flags),
    /// These too.
    Add(Flags),
    /// None of these.
    Remove(Flags),
}

impl FlagChange {
    /// What becomes of `flags`. Keywords match without regard to case.
    #[must_use]
    pub fn apply(&self, flags: &Flags) -> Flags {
        let mut result = match self {
            Self::Replace(_) => Flags::default(),
            Self::Add(_) | Self::Remove(_) => flags.clone(),
        };
        match self {
            Self::Replace(named) | Self::Add(named) => result.add(named),
            Self::Remove(named) => result.remove(named),
        }
        result
    }
}

/// A message to be stored by a reader (IMAP APPEND).
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// The octets as the client sent them; CRLF becomes LF on disk.
    pub content: &'a [u8],
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub date: Moment,
}

/// A message to be delivered: octets to go in front, then a range of an open file, copied without being loaded.
pub struct Content<'a> {
    /// `Return-Path:` and the like, with LF line ends.
    pub prefix: &'a [u8],
    /// Where the rest is.
    pub file: &'a File,
    /// Which octets of it.
    pub range: Range<u64>,
}
