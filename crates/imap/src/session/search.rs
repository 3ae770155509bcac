//! SEARCH (RFC 9051 §6.4.4): what the session knows it settles itself; the rest is one question.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mail::Uid;

use super::job::{Job, not_done};
use super::messages::held;
use super::out::Out;
use super::view::View;
use super::{Next, Session};
use crate::command::Numbers;
use crate::grammar::Syntax;
use crate::grammar::mailbox::Mailbox;
use crate::grammar::search::{Key, Program};
use crate::grammar::set::Ranges;
use crate::question::{Answer, Known, Look, Question, Test};

/// A SEARCH under way.
#[derive(Debug)]
pub(super) struct Searching {
    tag: String,
    numbers: Numbers,
    /// Found without asking.
    sure: Vec<Uid>,
}

impl Session {
    pub(super) fn search(&mut self, tag: String, (numbers, program): (Numbers, Program), out: &mut Out<'_>) -> Next {
        if program.foreign_charset.is_some() {
            return Next::no(tag, "[BADCHARSET (US-ASCII UTF-8)] Unknown charset.");
        }
        let Some(view) = &self.view else { return Next::Ready };
        let name = if numbers == Numbers::Uids { "UID SEARCH" } else { "SEARCH" };
        let test = match settle(view, program.key) {
            Ok(test) => test,
            Err(error) => return Next::wrong(tag, name, &error),
        };
        let (mut sure, mut open) = (Vec::new(), Vec::new());
        for uid in view.uids() {
            match test.settled(uid) {
                Some(true) => sure.push(uid),
                Some(false) => {}
                None => open.push(uid),
            }
        }
        let searching = Searching { tag, numbers, sure };
        if open.is_empty() {
            self.tell_found(searching, out)
        } else {
            Next::Ask(Question::Search(open, test), Job::Search(searching))
        }
    }

    pub(super) fn found(&mut self, mut searching: Searching, answer: Answer, out: &mut Out<'_>) -> Next {
        let Answer::Found(uids) = answer else {
            return not_done(searching.tag, &answer, &Mailbox::inbox());
        };
        searching.sure.extend(uids);
        searching.sure.sort_unstable();
        self.tell_found(searching, out)
    }

    fn tell_found(&self, searching: Searching, out: &mut Out<'_>) -> Next {
        let Searching { tag, numbers, sure } = searching;
        out.text().extend_from_slice(b"* SEARCH");
        for number in self.view.as_ref().map(|view| view.numbers_of(&sure, numbers)).unwrap_or_default() {
            put!(out.text(), " {number}");
        }
        out.line("");
        Next::Complete { tag, text: "OK Search completed.".into(), expunges: held(numbers), look: Look::Memory }
    }
}

/// The test a key comes to in this view.
fn settle(view: &View, key: Key) -> Result<Test, Syntax> {
    Ok(match key {
        Key::And(keys) => Test::And(keys.into_iter().map(|key| settle(view, key)).collect::<Result<_, _>>()?),
        Key::Or(keys) => Test::Or(Box::new((settle(view, keys.0)?, settle(view, keys.1)?))),
        Key::Not(key) => Test::Not(Box::new(settle(view, *key)?)),
        Key::Flag(flag) => those(view, |message| message.flags.has(flag)),
        Key::Keyword(name) => {
            those(view, |message| message.flags.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(&name)))
        }
        Key::Recent => those(view, |message| message.recent),
        Key::Messages(set) => uids(&view.resolve(Numbers::Messages, &set)?),
        Key::Uids(set) => uids(&view.resolve(Numbers::Uids, &set)?),
        Key::Content(content) => Test::Content(content),
    })
}

fn those(view: &View, holds: impl Fn(&Known) -> bool) -> Test {
    let found: Vec<Uid> = view.messages().iter().filter(|message| holds(message)).map(|message| message.uid).collect();
    uids(&found)
}

fn uids(found: &[Uid]) -> Test {
    Test::Uids(Ranges::from_numbers(found.iter().map(|uid| uid.get())))
}

impl Test {
    /// The answer for one message, if its content does not matter; `None`: it does.
    #[must_use]
    pub fn settled(&self, uid: Uid) -> Option<bool> {
        match self {
            Self::And(tests) => every(tests.iter().map(|test| test.settled(uid))),
            Self::Or(tests) => {
                let either = every([&tests.0, &tests.1].into_iter().map(|test| test.settled(uid).map(|holds| !holds)));
                either.map(|neither| !neither)
            }
            Self::Not(test) => test.settled(uid).map(|holds| !holds),
            Self::Uids(ranges) => Some(ranges.contains(uid.get())),
            Self::Content(_) => None,
        }
    }
}

/// Whether all hold: one that does not decides, whatever is unknown.
fn every(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => all = None,
        }
    }
    all
}
