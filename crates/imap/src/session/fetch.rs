//! FETCH (RFC 9051 §6.4.5): message by message, so that no more is in memory than one batch.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use mail::date::Moment;
use mail::{Flag, Flags, Uid};

use super::job::{Job, not_done};
use super::messages::{Chosen, held};
use super::out::Out;
use super::{Next, Session};
use crate::command::{Change, Numbers};
use crate::grammar::fetch::Item;
use crate::grammar::mailbox::Mailbox;
use crate::question::{Answer, Data, Look, Missing, Need, Question};
use crate::reply::fetch::{Piece, Wanted};

/// A FETCH under way.
#[derive(Debug)]
pub(super) struct Fetching {
    tag: String,
    numbers: Numbers,
    wanted: Wanted,
    need: Need,
    /// Still to do, the last first.
    left: Vec<Uid>,
    /// Of some there was nothing when their turn came; the worst reason.
    missing: Option<Missing>,
    /// Of the present batch: those that got `\Seen` just now.
    changed: Vec<Uid>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// These are being read.
    Reading(Vec<Uid>),
    /// They were read, and those without `\Seen` are being marked.
    Marking(Vec<(Uid, Data)>),
    /// A large message is on its way.
    Sending(Sending),
}

/// A reply that has octets in it which come one piece after the other.
#[derive(Debug)]
struct Sending {
    uid: Uid,
    /// Those asked for.
    range: Range<u64>,
    /// What follows them.
    rest: VecDeque<Piece>,
}

impl Session {
    pub(super) fn fetch(&mut self, tag: String, (set, mut items): (Chosen<'_>, Vec<Item>), out: &mut Out<'_>) -> Next {
        let mut left = match self.chosen(set, "FETCH", &tag) {
            Ok(uids) => uids,
            Err(next) => return *next,
        };
        if set.0 == Numbers::Uids {
            items.push(Item::Uid);
        }
        let wanted = Wanted::new(items);
        let need = wanted.need();
        if need.is_none() {
            self.tell_known(&left, &wanted, out);
            left.clear();
        }
        left.reverse();
        let (need, step) = (need.unwrap_or(Need::Date), Step::Reading(Vec::new()));
        Fetching { tag, numbers: set.0, wanted, need, left, missing: None, changed: Vec::new(), step }.next_batch()
    }

    pub(super) fn fetched(&mut self, mut fetching: Fetching, answer: Answer, out: &mut Out<'_>) -> Next {
        match (core::mem::replace(&mut fetching.step, Step::Reading(Vec::new())), answer) {
            (Step::Reading(uids), Answer::Messages(messages)) => {
                let (read, missing) = pair(uids, messages);
                fetching.missing = fetching.missing.max(missing);
                let unseen = self.to_be_marked(&fetching, &read);
                if unseen.is_empty() {
                    return self.tell_batch(fetching, &read, out);
                }
                let mut flags = Flags::default();
                flags.set(Flag::Seen);
                fetching.step = Step::Marking(read);
                Next::Ask(Question::Store(unseen, Change::Add, flags), Job::Fetch(fetching))
            }
            (Step::Marking(read), answer) => {
                // A mailbox that cannot be written is still read.
                if let (Answer::Stored(stored), Some(view)) = (answer, &mut self.view) {
                    let changed = |(uid, flags): (Uid, Flags)| view.set_flags(uid, flags).then_some(uid);
                    fetching.changed = stored.into_iter().filter_map(changed).collect();
                }
                self.tell_batch(fetching, &read, out)
            }
            (Step::Sending(sending), Answer::Octets(octets)) => self.sent(fetching, (sending, octets), out),
            // The reply has begun: the only honest end is to break it off.
            (Step::Sending(_), _) => Next::Close("Message cannot be read"),
            (Step::Reading(_), answer) => not_done(fetching.tag, &answer, &Mailbox::inbox()),
        }
    }

    fn to_be_marked(&self, fetching: &Fetching, read: &[(Uid, Data)]) -> Vec<Uid> {
        let Some(view) = self.view.as_ref().filter(|view| view.writable && fetching.wanted.marks_seen()) else {
            return Vec::new();
        };
        let unseen = |uid: &Uid| view.find(*uid).is_some_and(|(_, message)| !message.flags.has(Flag::Seen));
        read.iter().map(|(uid, _)| *uid).filter(unseen).collect()
    }

    /// Tells a batch; for messages whose flags changed by being read, the flags too.
    fn tell_batch(&mut self, mut fetching: Fetching, read: &[(Uid, Data)], out: &mut Out<'_>) -> Next {
        let changed = core::mem::take(&mut fetching.changed);
        let with_flags = if changed.is_empty() { None } else { Some(fetching.wanted.and_flags()) };
        for (uid, data) in read {
            let Some(found) = self.view.as_ref().and_then(|view| view.find(*uid)) else { continue };
            let wanted = with_flags.as_ref().filter(|_| changed.contains(uid)).unwrap_or(&fetching.wanted);
            let mut pieces: VecDeque<Piece> = wanted.reply(found, data, &mut self.counts.read).into();
            // A message that is not in memory is a batch of its own.
            if let Some(range) = out.pieces(&mut pieces) {
                return fetching.ask(Sending { uid: *uid, range, rest: pieces });
            }
        }
        fetching.next_batch()
    }

    /// Some octets of a large message came.
    fn sent(&mut self, fetching: Fetching, (mut sending, octets): (Sending, Bytes), out: &mut Out<'_>) -> Next {
        let length = octets.len() as u64;
        if length == 0 || length > sending.range.end - sending.range.start {
            return Next::Close("Message cannot be read");
        }
        sending.range.start += length;
        out.piece(Piece::Octets(octets));
        if sending.range.is_empty() {
            match out.pieces(&mut sending.rest) {
                Some(range) => sending.range = range,
                None => return fetching.next_batch(),
            }
        }
        fetching.ask(sending)
    }

    /// All at once, where only what the session knows itself is asked.
    fn tell_known(&mut self, uids: &[Uid], wanted: &Wanted, out: &mut Out<'_>) {
        let nothing = Data { date: Moment::utc(0), size: 0, octets: Bytes::new(), large: None };
        for uid in uids {
            let Some(found) = self.view.as_ref().and_then(|view| view.find(*uid)) else { continue };
            out.pieces(&mut wanted.reply(found, &nothing, &mut self.counts.read).into());
        }
    }
}

impl Fetching {
    fn next_batch(mut self) -> Next {
        if self.left.is_empty() {
            return self.complete();
        }
        let size = match self.need {
            Need::Date | Need::Size => 1_000,
            Need::Header => 100,
            Need::Whole | Need::Parts => 1,
        };
        let mut batch = self.left.split_off(self.left.len().saturating_sub(size));
        batch.reverse();
        self.step = Step::Reading(batch.clone());
        Next::Ask(Question::Read(batch, self.need), Job::Fetch(self))
    }

    fn ask(mut self, sending: Sending) -> Next {
        let question = Question::Octets(sending.uid, sending.range.clone());
        self.step = Step::Sending(sending);
        Next::Ask(question, Job::Fetch(self))
    }

    fn complete(self) -> Next {
        let text = match self.missing {
            Some(Missing::Gone) => "NO [EXPUNGEISSUED] Some of the requested messages no longer exist.",
            Some(Missing::Unreadable) => "NO [CONTACTADMIN] Some of the requested messages cannot be read.",
            None => "OK Fetch completed.",
        };
        Next::Complete { tag: self.tag, text: text.into(), expunges: held(self.numbers), look: Look::Memory }
    }
}

/// What came of each message asked for, and the worst reason why there is nothing of some.
fn pair(uids: Vec<Uid>, messages: Vec<Result<Data, Missing>>) -> (Vec<(Uid, Data)>, Option<Missing>) {
    let (mut read, mut worst) = (Vec::with_capacity(messages.len()), None);
    for (uid, data) in uids.into_iter().zip(messages) {
        match data {
            Ok(data) => read.push((uid, data)),
            Err(missing) => worst = worst.max(Some(missing)),
        }
    }
    (read, worst)
}
