//! SEARCH in the content of messages: cheap tests first, a message is read only when they leave it open.

use imap::grammar::search::{Content, When};
use imap::question::Test;
use mail::Uid;
use mailstore::search::{Body, Criterion};
use mailstore::{Error, Mailbox};

use crate::shared::Shared;

/// What a test must look at, the cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Nothing,
    File,
    Header,
    Whole,
}

/// A message, read as far as it was needed.
struct Looked<'a> {
    mailbox: &'a mut Mailbox,
    uid: Uid,
    header: Option<Vec<u8>>,
    body: Option<Body>,
}

/// Those of these messages that meet the test. Other sessions get their turn between two messages.
pub(crate) fn search(shared: &Shared, uids: Vec<Uid>, test: Test) -> Result<Vec<Uid>, Error> {
    let test = ordered(test);
    let mut found = Vec::new();
    for uid in uids {
        let mut state = shared.lock();
        let mut message = Looked { mailbox: &mut state.mailbox, uid, header: None, body: None };
        match holds(&mut message, &test) {
            Ok(true) => found.push(uid),
            Ok(false) | Err(Error::NoMessage) => {}
            // One message that cannot be read must not cost the others.
            Err(error @ (Error::Damaged(_) | Error::Disk(_) | Error::Unsafe(_))) => {
                tracing::error!("message {uid} of {} cannot be searched: {error}", shared.name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn cost(test: &Test) -> Cost {
    match test {
        Test::And(tests) => tests.iter().map(cost).max().unwrap_or(Cost::Nothing),
        Test::Or(tests) => cost(&tests.0).max(cost(&tests.1)),
        Test::Not(test) => cost(test),
        Test::Uids(_) => Cost::Nothing,
        Test::Content(Content::Arrived(..) | Content::Larger(_) | Content::Smaller(_)) => Cost::File,
        Test::Content(Content::Sent(..) | Content::Header(..)) => Cost::Header,
        Test::Content(Content::Body(_) | Content::Text(_)) => Cost::Whole,
    }
}

/// The same test, with what is cheap in front.
fn ordered(test: Test) -> Test {
    match test {
        Test::And(tests) => {
            let mut tests: Vec<Test> = tests.into_iter().map(ordered).collect();
            tests.sort_by_key(cost);
            Test::And(tests)
        }
        Test::Or(tests) => {
            let (first, second) = (ordered(tests.0), ordered(tests.1));
            Test::Or(Box::new(if cost(&first) <= cost(&second) { (first, second) } else { (second, first) }))
        }
        Test::Not(test) => Test::Not(Box::new(ordered(*test))),
        Test::Uids(_) | Test::Content(_) => test,
    }
}

fn holds(message: &mut Looked<'_>, test: &Test) -> Result<bool, Error> {
    match test {
        Test::And(tests) => {
            for test in tests {
                if !holds(message, test)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Test::Or(tests) => Ok(holds(message, &tests.0)? || holds(message, &tests.1)?),
        Test::Not(test) => holds(message, test).map(|holds| !holds),
        Test::Uids(ranges) => Ok(ranges.contains(message.uid.get())),
        Test::Content(content) => message.content(content),
    }
}

impl Looked<'_> {
    fn content(&mut self, content: &Content) -> Result<bool, Error> {
        match content {
            Content::Arrived(when, limit) => {
                let (day, _) = self.mailbox.date(self.uid)?.local();
                Ok(when.holds(day, *limit))
            }
            Content::Larger(size) => Ok(self.mailbox.size(self.uid)? > *size),
            Content::Smaller(size) => Ok(self.mailbox.size(self.uid)? < *size),
            Content::Sent(when, day) => {
                let criterion = match when {
                    When::Before => Criterion::SentBefore(*day),
                    When::On => Criterion::SentOn(*day),
                    When::Since => Criterion::SentSince(*day),
                };
                self.header().map(|octets| criterion.holds(octets))
            }
            Content::Header(name, text) => {
                let criterion = Criterion::Header(name.clone(), text.clone());
                self.header().map(|octets| criterion.holds(octets))
            }
            Content::Body(text) => self.body_contains(text),
            Content::Text(text) => {
                Ok(self.header().map(|octets| Criterion::Any(text.clone()).holds(octets))?
                    || self.body_contains(text)?)
            }
        }
    }

    fn header(&mut self) -> Result<&[u8], Error> {
        if self.header.is_none() {
            self.header = Some(self.mailbox.read_header(self.uid)?);
        }
        Ok(self.header.as_deref().unwrap_or_default())
    }

    fn body_contains(&mut self, text: &str) -> Result<bool, Error> {
        let body = match &mut self.body {
            Some(body) => body,
            empty => empty.insert(Body::open(self.mailbox, self.uid)?),
        };
        body.contains(self.mailbox, text)
    }
}
