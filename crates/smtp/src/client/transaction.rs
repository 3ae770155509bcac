//! One message: its transactions, and what became of each recipient.
//!
//! Commands that may go at once are sent at once (RFC 2920: MAIL, RCPT and DATA in one group, at most [`WINDOW`] without
//! replies, so that neither side fills the other's buffers), the rest one by one; replies are matched to the commands in
//! their order. Recipients for whom a transaction had no room (452, RFC 5321 §4.5.3.1.10) go in another one.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;

use mail::Body;

use super::body::Encoder;
use super::reply::Heard;
use super::step::Step;
use super::{Blame, Dialect, Fate, Message, Outcome, Report};
use crate::downgrade::Downgrade;

/// Commands without replies at one time.
pub(super) const WINDOW: usize = 100;

/// A message at hand.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) message: Message,
    /// One place per recipient.
    outcomes: Vec<Option<Outcome>>,
    /// The recipients of this transaction.
    to: Vec<usize>,
    /// Those it has no room for, with what the peer said.
    later: Vec<(usize, Outcome)>,
    /// Those accepted and not yet answered for.
    accepted: VecDeque<usize>,
    /// Whose replies are awaited, in order.
    pub(super) expected: VecDeque<Command>,
    pub(super) next: Next,
    /// Too much is unanswered; half of it must be answered first.
    full: bool,
    /// The peer may hold a transaction of ours.
    pub(super) open: bool,
    /// Some recipient of this transaction was delivered to.
    delivered: bool,
    /// The peer has replied to something of this message.
    pub(super) answered: bool,
    /// Deferred for no other reason than that the connection had gone before.
    pub(super) stale: bool,
    pub(super) content: Content,
}

/// A command whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Mail,
    Rcpt(usize),
    Data,
    /// A chunk but the last.
    Chunk,
    /// The end of the message. LMTP: one of as many replies as there are accepted recipients.
    End,
    /// The lone dot after DATA was taken although no recipient was.
    Nothing,
}

/// What is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Mail,
    /// The recipient at this place of `to`.
    Rcpt(usize),
    /// DATA, or the first chunk.
    Data,
    /// Content, for which the world is asked.
    Content,
    /// Nothing more in this transaction.
    Over,
}

/// How the content travels.
#[derive(Debug)]
pub(super) enum Content {
    /// After DATA, changed or not.
    Lines(Encoder, Option<Box<Downgrade>>),
    /// By BDAT, as it is.
    Chunks,
}

impl Command {
    pub(super) const fn step(self) -> Step {
        match self {
            Self::Mail => Step::Mail,
            Self::Rcpt(_) => Step::Rcpt,
            Self::Data => Step::Data,
            Self::Chunk => Step::Bdat,
            Self::End | Self::Nothing => Step::End,
        }
    }
}

impl Delivery {
    pub(super) fn new(message: Message) -> Self {
        let count = message.envelope.recipients.len();
        Self {
            message,
            outcomes: (0..count).map(|_| None).collect(),
            to: (0..count).collect(),
            later: Vec::new(),
            accepted: VecDeque::new(),
            expected: VecDeque::new(),
            next: Next::Mail,
            full: false,
            open: false,
            delivered: false,
            answered: false,
            stale: false,
            content: Content::Chunks,
        }
    }

    /// What we are about, for texts and time limits.
    pub(super) fn step(&self) -> Step {
        match self.expected.front() {
            Some(command) => command.step(),
            None if self.next == Next::Mail => Step::Mail,
            None => Step::Body,
        }
    }

    /// The next command may go now.
    pub(super) fn may_send(&mut self, pipelining: bool) -> bool {
        let waiting = self.expected.len();
        self.full = if self.full { waiting > WINDOW / 2 } else { waiting >= WINDOW };
        match self.next {
            Next::Content | Next::Over => false,
            // Chunks are not sent on the chance that there are recipients.
            Next::Data if matches!(self.content, Content::Chunks) => waiting == 0,
            Next::Mail | Next::Rcpt(_) | Next::Data => waiting == 0 || pipelining && !self.full,
        }
    }

    /// The recipient at a place of this transaction.
    pub(super) fn recipient(&self, place: usize) -> Option<usize> {
        self.to.get(place).copied()
    }

    /// The peer will take no recipient of this transaction, and we know it.
    pub(super) fn in_vain(&self) -> bool {
        self.expected.is_empty() && self.accepted.is_empty()
    }

    /// Some recipient still hopes for the content.
    pub(super) fn is_wanted(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// The reply to this command still decides something; else it follows from an earlier refusal.
    pub(super) fn heeds(&self, command: Command) -> bool {
        match command {
            Command::Mail | Command::Chunk => true,
            Command::Rcpt(recipient) => self.outcomes.get(recipient).is_some_and(Option::is_none),
            Command::Data | Command::End => self.is_wanted(),
            Command::Nothing => false,
        }
    }

    pub(super) fn settle(&mut self, recipient: usize, outcome: Outcome) {
        if let Some(place) = self.outcomes.get_mut(recipient)
            && place.is_none()
        {
            *place = Some(outcome);
        }
    }

    /// The rest of this message fails; nothing more of it is sent.
    pub(super) fn fail_rest(&mut self, outcome: &Outcome) {
        self.settle_later();
        for place in &mut self.outcomes {
            place.get_or_insert_with(|| outcome.clone());
        }
        self.accepted.clear();
        self.next = Next::Over;
    }

    /// This is the outcome for those whom the transaction was accepted for; nothing more of it is sent.
    pub(super) fn settle_accepted(&mut self, outcome: &Outcome) {
        for recipient in core::mem::take(&mut self.accepted) {
            self.settle(recipient, outcome.clone());
        }
        self.next = Next::Over;
    }

    pub(super) fn rcpt_reply(&mut self, recipient: usize, heard: &Heard, outcome: impl FnOnce() -> Outcome) {
        if self.outcomes.get(recipient).is_some_and(Option::is_some) {
            return;
        }
        if heard.is_ok() {
            self.accepted.push_back(recipient);
        } else if !self.accepted.is_empty() && is_full(heard) {
            self.later.push((recipient, outcome()));
        } else {
            self.settle(recipient, outcome());
        }
    }

    /// The end of the message has gone: so many replies are awaited.
    pub(super) fn expect_end(&mut self, dialect: Dialect) {
        let replies = match dialect {
            Dialect::Smtp => 1,
            Dialect::Lmtp => self.accepted.len(),
        };
        self.expected.extend(core::iter::repeat_n(Command::End, replies));
        self.next = Next::Over;
    }

    pub(super) fn end_reply(&mut self, dialect: Dialect, heard: &Heard, refused: impl FnOnce() -> Outcome) {
        let outcome = if heard.is_ok() { Outcome::sent(heard) } else { refused() };
        self.delivered |= outcome.fate == Fate::Sent;
        // After a refusal some servers still hold the transaction; RSET does no harm.
        self.open = outcome.fate != Fate::Sent && dialect == Dialect::Smtp;
        match dialect {
            Dialect::Smtp => self.settle_accepted(&outcome),
            Dialect::Lmtp => {
                if let Some(recipient) = self.accepted.pop_front() {
                    self.settle(recipient, outcome);
                }
            }
        }
    }

    /// The transaction is over. Says whether there is to be another.
    pub(super) fn again(&mut self) -> bool {
        if !self.delivered || self.later.is_empty() {
            self.settle_later();
            return false;
        }
        self.to = self.later.drain(..).map(|(recipient, _)| recipient).collect();
        self.accepted.clear();
        self.next = Next::Mail;
        self.delivered = false;
        true
    }

    fn settle_later(&mut self) {
        for (recipient, outcome) in core::mem::take(&mut self.later) {
            self.settle(recipient, outcome);
        }
    }

    /// The end: what became of all. Whoever has no outcome, by whatever mistake, is deferred.
    pub(super) fn report(&mut self, dsn: bool, uses: u32) -> Report {
        self.fail_rest(&Outcome::deferred(3, 0, Blame::Ourselves, "not delivered".to_string()));
        Report { recipients: self.outcomes.drain(..).flatten().collect(), dsn, uses, stale: self.stale }
    }

    /// The content is what BODY=BINARYMIME allows.
    pub(super) fn is_binary(&self) -> bool {
        self.message.envelope.body == Body::BinaryMime
    }
}

/// The transaction has as many recipients as the peer takes (RFC 5321 §4.5.3.1.10; 4.5.3 and 5.5.3 of RFC 3463).
fn is_full(heard: &Heard) -> bool {
    match heard.own_status() {
        Some(status) => matches!(heard.code, 452 | 552) && (status.subject, status.detail) == (5, 3),
        None => heard.code == 452,
    }
}
