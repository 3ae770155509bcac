//! STORE, COPY, MOVE, EXPUNGE (RFC 9051 §6.4.3, §6.4.6–6.4.9).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mail::{Flag, Uid};

use super::job::{Job, not_done};
use super::out::Out;
use super::view::{Expunges, View};
use super::{Next, Session};
use crate::command::{Change, Echo, Numbers, Store};
use crate::grammar::mailbox::Mailbox;
use crate::grammar::set::{Ranges, Set};
use crate::question::{Answer, Changes, Look, Question, Trouble};

/// A STORE under way.
#[derive(Debug)]
pub(super) struct Storing {
    tag: String,
    numbers: Numbers,
    asked: usize,
    store: Store,
}

/// A COPY or MOVE under way.
#[derive(Debug)]
pub(super) struct Copying {
    tag: String,
    to: Mailbox,
    moves: bool,
}

/// An EXPUNGE or CLOSE under way.
#[derive(Debug)]
pub(super) struct Expunging {
    tag: String,
    closes: bool,
}

impl Expunging {
    pub(super) const fn closing(tag: String) -> Self {
        Self { tag, closes: true }
    }
}

/// A set as it came with a command.
pub(super) type Chosen<'a> = (Numbers, &'a Set);

impl Session {
    /// The uids of a command's set, or its error.
    pub(super) fn chosen(&self, chosen: Chosen<'_>, name: &str, tag: &str) -> Result<Vec<Uid>, Box<Next>> {
        let Some(view) = &self.view else { return Ok(Vec::new()) };
        let name = if chosen.0 == Numbers::Uids { format!("UID {name}") } else { name.into() };
        view.resolve(chosen.0, chosen.1).map_err(|error| Box::new(Next::wrong(tag.into(), &name, &error)))
    }

    fn writable(&self, tag: &str) -> Result<(), Box<Next>> {
        let ok = self.view.as_ref().is_some_and(|view| view.writable);
        if ok { Ok(()) } else { Err(Box::new(Next::no(tag.into(), "Mailbox is read-only."))) }
    }

    pub(super) fn store(&mut self, tag: String, set: Chosen<'_>, store: Store) -> Next {
        let uids = match self.chosen(set, "STORE", &tag).and_then(|uids| self.writable(&tag).map(|()| uids)) {
            Ok(uids) if uids.is_empty() => return Next::ok(tag, "Store completed."),
            Ok(uids) => uids,
            Err(next) => return *next,
        };
        let question = Question::Store(uids.clone(), store.change, store.flags.clone());
        Next::Ask(question, Job::Store(Storing { tag, numbers: set.0, asked: uids.len(), store }))
    }

    pub(super) fn stored(&mut self, storing: Storing, answer: Answer, out: &mut Out<'_>) -> Next {
        let Answer::Stored(stored) = answer else {
            return not_done(storing.tag, &answer, &Mailbox::inbox());
        };
        let missing = stored.len() < storing.asked;
        let Some(view) = &mut self.view else { return Next::Ready };
        view.learn(stored.iter().map(|(_, flags)| flags), out);
        let Store { change, echo, flags: named } = &storing.store;
        let deletes = *change != Change::Remove && named.has(Flag::Deleted);
        for (uid, flags) in stored {
            // Silence is about what was asked for, not about what others did (RFC 3501 §6.4.6).
            let as_asked = view.find(uid).is_some_and(|(_, message)| change.of(&message.flags, named) == flags);
            let changed = view.set_flags(uid, flags);
            if deletes && changed {
                self.counts.deleted += 1;
            }
            if *echo == Echo::Told || !as_asked {
                view.tell_message(uid, Some(storing.numbers), out);
            }
        }
        let text = match missing {
            true => "NO [EXPUNGEISSUED] Some of the messages no longer exist.",
            false => "OK Store completed.",
        };
        Next::Complete { tag: storing.tag, text: text.into(), expunges: held(storing.numbers), look: Look::Memory }
    }

    pub(super) fn copy(&mut self, tag: String, set: Chosen<'_>, to: Mailbox) -> Next {
        match self.chosen(set, "COPY", &tag) {
            Ok(uids) if uids.is_empty() => Next::ok(tag, "No messages found."),
            Ok(uids) => {
                let question = Question::Copy(uids, to.name.clone());
                Next::Ask(question, Job::Copy(Copying { tag, to, moves: false }))
            }
            Err(next) => *next,
        }
    }

    pub(super) fn mv(&mut self, tag: String, set: Chosen<'_>, to: Mailbox) -> Next {
        match self.chosen(set, "MOVE", &tag).and_then(|uids| self.writable(&tag).map(|()| uids)) {
            Ok(uids) if uids.is_empty() => Next::ok(tag, "No messages found."),
            Ok(uids) => {
                let question = Question::Move(uids, to.name.clone());
                Next::Ask(question, Job::Copy(Copying { tag, to, moves: true }))
            }
            Err(next) => *next,
        }
    }

    pub(super) fn copied(&mut self, copying: Copying, answer: Answer, out: &mut Out<'_>) -> Next {
        let Copying { tag, to, moves } = copying;
        let (validity, pairs) = match answer {
            Answer::Copied(validity, pairs) => (validity, pairs),
            Answer::Refused(Trouble::NoMailbox) => {
                return Next::no(
                    tag,
                    &format!("[TRYCREATE] Mailbox doesn't exist: {}", String::from_utf8_lossy(&to.written)),
                );
            }
            answer => return not_done(tag, &answer, &to),
        };
        let from = Ranges::from_numbers(pairs.iter().map(|(from, _)| from.get()));
        let into = Ranges::from_numbers(pairs.iter().map(|(_, into)| into.get()));
        let code = format!("[COPYUID {validity} {from} {into}]");
        if !moves {
            return Next::ok(tag, &format!("{code} Copy completed."));
        }
        out.line(&format!("* OK {code} Moved UIDs."));
        self.counts.expunged += pairs.len() as u64;
        self.tell_removed(pairs.into_iter().map(|(from, _)| from).collect(), out);
        Next::ok(tag, "Move completed.")
    }

    pub(super) fn expunge(&mut self, tag: String, set: Option<Set>) -> Next {
        if let Err(next) = self.writable(&tag) {
            return *next;
        }
        // Which of them are marked is for the mailbox to say: other sessions set and take marks too.
        let all = self.view.as_ref().map(View::uids).unwrap_or_default();
        let chosen = set.map_or(Ok(all), |set| self.chosen((Numbers::Uids, &set), "EXPUNGE", &tag));
        let uids = match chosen {
            Ok(uids) => uids,
            Err(next) => return *next,
        };
        if uids.is_empty() {
            return Next::ok(tag, "Expunge completed.");
        }
        Next::Ask(Question::Expunge(uids), Job::Expunge(Expunging { tag, closes: false }))
    }

    pub(super) fn expunged(&mut self, expunging: Expunging, answer: Answer, out: &mut Out<'_>) -> Next {
        let Answer::Expunged(uids) = answer else {
            return not_done(expunging.tag, &answer, &Mailbox::inbox());
        };
        self.counts.expunged += uids.len() as u64;
        if expunging.closes {
            return self.leave(expunging.tag, "Close completed.");
        }
        self.tell_removed(uids, out);
        Next::ok(expunging.tag, "Expunge completed.")
    }

    fn tell_removed(&mut self, vanished: Vec<Uid>, out: &mut Out<'_>) {
        if let Some(view) = &mut self.view {
            view.apply(Changes { vanished, ..Changes::default() }, Expunges::Told, out);
        }
    }
}

/// Whether EXPUNGE must wait after a FETCH, STORE or SEARCH: message numbers may be on their way to us.
pub(super) const fn held(numbers: Numbers) -> Expunges {
    match numbers {
        Numbers::Messages => Expunges::Held,
        Numbers::Uids => Expunges::Told,
    }
}
