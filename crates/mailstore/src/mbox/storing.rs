//! Messages that a reader's client brings (APPEND, COPY) on their way into an mbox.
//!
//! They get their uids and flags as notes at once, all or none. What comes is kept in a file without a name; when it is little
//! it then goes through the journal, else it is written as a delivery is ([`super::append`]).

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use durable::{Dir, File};
use mail::date::Moment;
use mail::{Flags, Uid};

use super::append::{self, from_line, separator};
use super::folder::Mbox;
use super::journal;
use super::lock::{Locked, Missing};
use super::quoting::Quoting;
use super::render::Notes;
use super::tail;
use crate::incoming::{Carried, OnItsWay};
use crate::line_ends::to_lf;
use crate::maildir::delivery::ensure_ours;
use crate::store::divide;
use crate::{Error, Incoming, NewMessage};

/// Up to this size a message is written by way of the journal.
const SMALL: u64 = 1024 * 1024;
const CHUNK: usize = 64 * 1024;

impl Mbox {
    pub(crate) fn append(&mut self, messages: &[NewMessage<'_>]) -> Result<Vec<Uid>, Error> {
        let flags: Vec<&Flags> = messages.iter().map(|message| &message.flags).collect();
        self.granting(&flags, |this, locked, uids| this.store_small(locked, messages, uids))
    }

    /// A file without a name.
    pub(crate) fn begin_append(&self) -> Result<Incoming, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        self.writable()?;
        let (parent, name) = divide(&self.scratch)?;
        let dir = ensure_ours(&Dir::open(parent)?, name)?;
        let name = format!(".incoming.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let _ = dir.unlink(&name);
        let file = dir.create(&name, 0o600)?;
        dir.unlink(&name)?;
        Ok(Incoming::nameless(file))
    }

    pub(crate) fn store(&mut self, mut incoming: Incoming, flags: &Flags, date: Moment) -> Result<Uid, Error> {
        incoming.end()?;
        let size = incoming.size;
        let message = OnItsWay { range: 0..size, flags: flags.clone(), date };
        let uids = self.store_from(&incoming.file, size, &[message])?;
        uids.first().copied().ok_or(Error::NoMessage)
    }

    pub(crate) fn store_all(&mut self, carried: &Carried) -> Result<Vec<Uid>, Error> {
        self.store_from(carried.file(), carried.size(), &carried.messages)
    }

    /// Messages that stand in a file of this size.
    fn store_from(&mut self, file: &File, size: u64, messages: &[OnItsWay]) -> Result<Vec<Uid>, Error> {
        if size > SMALL {
            let flags: Vec<&Flags> = messages.iter().map(|message| &message.flags).collect();
            return self.granting(&flags, |this, locked, uids| this.store_large(locked, file, (messages, uids)));
        }
        let octets = file.read_all(SMALL)?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(octets.len());
        let message = |OnItsWay { range, flags, date }: &OnItsWay| NewMessage {
            content: octets.get(place(range.start)..place(range.end)).unwrap_or_default(),
            flags: flags.clone(),
            date: *date,
        };
        let messages: Vec<NewMessage<'_>> = messages.iter().map(message).collect();
        self.append(&messages)
    }

    /// Stores messages under new uids, which nobody has if it fails.
    fn granting(
        &mut self,
        flags: &[&Flags],
        store: impl FnOnce(&mut Self, &Locked, &[Uid]) -> Result<(), Error>,
    ) -> Result<Vec<Uid>, Error> {
        let locked = self.place.lock_to_write(Missing::Create)?;
        self.look_locked(&locked)?;
        let old_base = self.base.clone();
        let mut uids = Vec::new();
        for flags in flags {
            self.base.last = self.base.last.checked_add(1).ok_or_else(|| Error::Damaged("no uids are left".into()))?;
            uids.extend(Uid::new(self.base.last));
            for name in &flags.keywords {
                if !self.base.keywords.iter().any(|have| have.eq_ignore_ascii_case(name)) {
                    self.base.keywords.push(name.clone());
                }
            }
        }
        let stored = self.write_base(&locked).and_then(|()| store(self, &locked, &uids));
        self.stamp = None;
        if stored.is_err() {
            self.base = old_base;
        }
        stored?;
        self.look_locked(&locked)?;
        Ok(uids)
    }

    /// The base first: uids that it covers and nobody has do no harm.
    fn write_base(&mut self, locked: &Locked) -> Result<(), Error> {
        if self.entries.is_empty() && self.pseudo.is_none() {
            return Ok(());
        }
        self.write(locked, &HashSet::new(), &HashSet::new())
    }

    fn store_small(&self, locked: &Locked, messages: &[NewMessage<'_>], uids: &[Uid]) -> Result<(), Error> {
        let old = tail::settled(&locked.file)?;
        let mut text = separator(&locked.file, old)?;
        for (at, (message, uid)) in messages.iter().zip(uids).enumerate() {
            let notes = self.new_notes((*uid, &message.flags), at == 0);
            text.extend(from_line("", message.date.at_offset(self.offset)).into_bytes());
            text.extend(with_notes(message.content, &notes));
        }
        journal::replace_end(&self.place, &locked.file, old, |end| end.push(&text))
    }

    fn new_notes<'a>(&'a self, (uid, flags): (Uid, &'a Flags), is_first: bool) -> Notes<'a> {
        let base = (is_first && self.entries.is_empty()).then_some(&self.base);
        Notes { base, uid, flags, old: false, content_length: None }
    }

    fn store_large(&self, locked: &Locked, file: &File, (messages, uids): (&[OnItsWay], &[Uid])) -> Result<(), Error> {
        let old = tail::settled(&locked.file)?;
        let sources = messages.iter().zip(uids).enumerate().map(|(at, (message, uid))| {
            let notes = self.new_notes((*uid, &message.flags), at == 0);
            let mut source = self.source(file, message, &notes)?;
            if at == 0 {
                source.start.splice(0..0, separator(&locked.file, old)?);
            }
            Ok(source)
        });
        append::write(locked, old, sources)
    }

    /// What is to be written of one message: its header with notes first.
    fn source<'a>(&self, file: &'a File, message: &OnItsWay, notes: &Notes<'_>) -> Result<append::Source<'a>, Error> {
        let header = header(file, message.range.clone())?;
        let from = message.range.start + header.len() as u64;
        let (mut quoting, mut quoted) = (Quoting::new(), Vec::new());
        quoting.feed(&header, &mut quoted);
        if !quoting.is_in_body() {
            // Nothing but a header.
            let end: &[u8] = if header.ends_with(b"\n") { b"\n" } else { b"\n\n" };
            quoting.feed(end, &mut quoted);
        }
        put_notes(&mut quoted, notes);
        let mut start = from_line("", message.date.at_offset(self.offset)).into_bytes();
        start.extend(quoted);
        Ok(append::Source { quoting, start, file, range: from..message.range.end })
    }
}

/// The header of the message in this range, with its empty line.
fn header(file: &File, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    loop {
        let at = octets.len();
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).saturating_sub(at);
        octets.resize(at + left.min(CHUNK), 0);
        let got = file.read_at(&mut octets[at..], range.start + at as u64)?;
        octets.truncate(at + got);
        let length = mail::header::length(&octets);
        if got == 0 || length < octets.len() {
            octets.truncate(length);
            return Ok(octets);
        }
    }
}

/// A message quoted for the mbox, with its notes at the end of its header.
fn with_notes(content: &[u8], notes: &Notes<'_>) -> Vec<u8> {
    let (mut quoting, mut quoted) = (Quoting::new(), Vec::with_capacity(content.len() + 256));
    quoting.feed(&to_lf(content), &mut quoted);
    quoting.finish(&mut quoted);
    put_notes(&mut quoted, notes);
    quoted
}

fn put_notes(quoted: &mut Vec<u8>, notes: &Notes<'_>) {
    let at = mail::header::length(quoted).saturating_sub(1);
    quoted.splice(at..at, notes.text().into_bytes());
}
