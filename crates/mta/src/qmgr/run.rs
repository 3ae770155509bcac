//! The loop: takes messages up and has the recorder settle what is finished. What is between is in [`super::deliver`].
//!
//! One thread owns all of this; the disk is touched by the threads of [`super::disk`] only.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use mail::QueueId;
use routes::Router;

use crate::cleanup::Cleanup;
use spool::{Queue, QueueFile, Readers};

use super::control::{self, Said};
use super::deliver::{Locals, Relays};
use super::disk::{Fetch, Record, Report};
use super::message::{Message, Slot, Urgent, Wish};
use super::prompt::Delivered;
use super::ready::Ready;
use super::settle::{Policy, Settled, Settlement, spread};
use super::waiting::Waiting;
use super::windows::{Age, Name};

/// The most messages that are being read at a time.
const FETCHING: usize = 64;

/// What qmgr knows.
pub(super) struct Qmgr {
    pub(super) router: Router,
    pub(super) cleanup: Cleanup,
    pub(super) soft_bounce: bool,
    pub(super) most_active: usize,
    pub(super) locals: Locals,
    pub(super) relays: Relays,
    pub(super) active: HashMap<QueueId, Message>,
    /// Delivered messages that their lenders have not let go yet.
    pub(super) delivered: Delivered,
    /// Nothing is borrowed any more.
    pub(super) closing: bool,
    pub(super) fetch: Sender<Fetch>,
    record: Sender<Record>,
    ready: Ready,
    /// Everything in `ready`, being read, active, being settled, or delivered and not let go.
    pub(super) known: HashSet<QueueId>,
    /// What is being read.
    fetching: HashMap<QueueId, Age>,
    /// How many of those in `active` and `fetching` were tried before.
    again: usize,
    waiting: Waiting,
    policy: Policy,
    wishes: HashMap<QueueId, Wish>,
    /// Of messages that are not active yet.
    urgent: HashMap<QueueId, Urgent>,
    /// Messages some of whose recipients are done, which is not noted yet, while others are open.
    pub(super) to_note: Vec<QueueId>,
    noting: usize,
    /// Directories that could not be listed.
    unlisted: Vec<Queue>,
    /// All that the next listing of `deferred` shows is to be tried, whenever it is due.
    flushing: bool,
}

impl Qmgr {
    pub(super) fn new(disk: (Sender<Fetch>, Sender<Record>), locals: Locals, relays: Relays, begin: Begin) -> Self {
        let (fetch, record) = disk;
        let Begin { router, cleanup, policy } = begin;
        Self {
            router,
            cleanup,
            soft_bounce: false,
            most_active: 1,
            locals,
            relays,
            active: HashMap::new(),
            delivered: Delivered::default(),
            closing: false,
            fetch,
            record,
            ready: Ready::default(),
            known: HashSet::new(),
            fetching: HashMap::new(),
            again: 0,
            waiting: Waiting::default(),
            policy,
            wishes: HashMap::new(),
            urgent: HashMap::new(),
            to_note: Vec::new(),
            noting: 0,
            unlisted: Vec::new(),
            flushing: false,
        }
    }

    /// Looks for messages that nobody told of, and again where that failed before.
    pub(super) fn look(&mut self) {
        self.give_up_on_the_absent();
        self.scan(Queue::Incoming);
        for queue in std::mem::take(&mut self.unlisted).into_iter().filter(|queue| *queue != Queue::Incoming) {
            self.scan(queue);
        }
    }

    /// Looks everywhere, as at start.
    pub(super) fn scan_all(&self) {
        [Queue::Active, Queue::Incoming, Queue::Deferred].into_iter().for_each(|queue| self.scan(queue));
    }

    pub(super) fn scan(&self, queue: Queue) {
        let _ = self.fetch.send(Fetch::Scan(queue));
    }

    pub(super) fn policy(&mut self, policy: Policy) {
        self.policy = policy.clone();
        let _ = self.record.send(Record::Policy(Box::new(policy)));
    }

    /// Nothing is with a delivery program.
    pub(super) fn is_at_rest(&self) -> bool {
        self.locals.is_at_rest() && self.relays.is_at_rest()
    }

    /// Has noted what is done of messages that are not finished, whenever the recorder has done so before: under load
    /// most of them finish in the meantime and need no note.
    pub(super) fn note(&mut self) {
        if self.noting == 0 {
            self.note_all();
        }
    }

    /// As [`Qmgr::note`], at once.
    pub(super) fn note_all(&mut self) {
        for id in std::mem::take(&mut self.to_note) {
            let Some(message) = self.active.get_mut(&id) else { continue };
            let notes = std::mem::take(&mut message.notes);
            self.noting += 1;
            let _ = self.record.send(Record::Note(id, message.file.clone(), notes));
        }
    }

    /// How long until the next deferred message is due, or the next pause ends.
    pub(super) fn next_due(&self) -> Option<Duration> {
        [self.waiting.until_next(), self.relays.until_next()].into_iter().flatten().min()
    }

    /// A datagram came.
    pub(super) fn heard(&mut self, datagram: &[u8]) {
        control::read(datagram).into_iter().for_each(|said| self.said(said));
    }

    fn said(&mut self, said: Said) {
        match said {
            Said::Came(id) => self.came(id),
            Said::Wake => {
                self.relays.windows.wake_all();
                self.scan(Queue::Incoming);
            }
            Said::Look => self.scan(Queue::Incoming),
            Said::FlushAll => self.flush_all(),
            Said::Flush(id) => self.is_urgent(id, Urgent::All),
            Said::Urgent(id) => {
                self.urgent.insert(id, Urgent::All);
                self.came(id);
            }
            Said::FlushDomain(domain) => {
                tracing::info!("mail for {domain} is tried now");
                let _ = self.fetch.send(Fetch::Find(domain));
            }
            Said::Requeue(id) => {
                self.is_ready(id, Queue::Deferred);
                let _ = self.fetch.send(Fetch::Move(id, Queue::Hold, Queue::Deferred));
                tracing::info!("{id}: requeued");
            }
            Said::Release(id) => drop(self.fetch.send(Fetch::Move(id, Queue::Hold, Queue::Deferred))),
            Said::Hold(id) => self.wish(id, Wish::Hold),
            Said::Delete(id) => self.wish(id, Wish::Delete),
        }
    }

    fn flush_all(&mut self) {
        self.relays.windows.wake_all();
        for id in self.waiting.take_all() {
            self.is_ready(id, Queue::Deferred);
        }
        // Right after the start nothing is known yet of what is deferred.
        self.flushing = true;
        self.scan(Queue::Deferred);
    }

    /// A message in delivery is dealt with when nothing of it is open; any other at once.
    fn wish(&mut self, id: QueueId, wish: Wish) {
        if let Some(message) = self.active.get_mut(&id) {
            message.wish = Some(wish);
            return;
        }
        if self.known.contains(&id) {
            self.wishes.insert(id, wish);
            return;
        }
        for queue in [Queue::Incoming, Queue::Deferred, Queue::Hold] {
            let _ = match wish {
                Wish::Hold if queue == Queue::Hold => Ok(()),
                Wish::Hold => self.fetch.send(Fetch::Move(id, queue, Queue::Hold)),
                Wish::Delete => self.fetch.send(Fetch::Remove(id, queue)),
            };
        }
    }

    pub(super) fn is_ready(&mut self, id: QueueId, queue: Queue) {
        if self.known.insert(id) {
            self.ready.push((id, queue));
        }
    }

    fn is_urgent(&mut self, id: QueueId, urgent: Urgent) {
        self.urgent.insert(id, urgent);
        self.is_ready(id, Queue::Deferred);
    }

    /// Takes up what is due, as far as there is room.
    pub(super) fn take_up(&mut self) {
        while let Some((id, tie)) = self.waiting.next() {
            match tie.and_then(|to| self.put_off(id, &to)) {
                Some(due) => self.waiting.push(id, due),
                None => self.is_ready(id, Queue::Deferred),
            }
        }
        while self.fetching.len() < FETCHING && self.active.len() + self.fetching.len() < self.most_active {
            // Retries leave half of the room to new mail.
            let retries = self.again < self.most_active.div_ceil(2);
            let Some((id, queue)) = self.ready.next(retries) else { return };
            let age = if queue == Queue::Incoming { Age::Fresh } else { Age::Again };
            self.again += usize::from(age == Age::Again);
            self.fetching.insert(id, age);
            self.waiting.untie(id);
            let _ = self.fetch.send(Fetch::Take(id, queue));
        }
    }

    /// How many deferred messages wait for each destination alone.
    pub(super) fn tied(&self) -> HashMap<Name, usize> {
        self.waiting.tied()
    }

    /// When to look at this message again, while its destination is left in peace: not later than its sender is to be
    /// told something.
    fn put_off(&self, id: QueueId, to: &Name) -> Option<SystemTime> {
        let left = self.relays.windows.parked(to)?.until.checked_duration_since(std::time::Instant::now())?;
        let now = SystemTime::now();
        let until = now + left + spread(self.policy.shortest / 4, id);
        let arrival = SystemTime::UNIX_EPOCH + Duration::from_micros(id.micros());
        let ends = [self.policy.lifetime, self.policy.bounce_lifetime, self.policy.warn_after];
        let ends = ends.into_iter().filter(|after| !after.is_zero()).map(|after| arrival + after);
        if ends.clone().take(2).any(|end| end <= now) {
            return None;
        }
        ends.filter(|end| *end > now).chain([until]).min()
    }

    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Taken(id, file, readers) => {
                let age = self.fetched(id);
                match file {
                    Some(file) => self.begin(*file, readers, age),
                    None => {
                        self.again -= usize::from(age == Age::Again);
                        self.forget(id);
                    }
                }
            }
            Report::Later(id, next) => {
                let age = self.fetched(id);
                self.again -= usize::from(age == Age::Again);
                self.forget(id);
                self.waiting.push(id, next);
            }
            Report::Listed(Queue::Deferred, list) if std::mem::take(&mut self.flushing) => {
                list.into_iter().for_each(|(id, _)| self.is_ready(id, Queue::Deferred));
            }
            Report::Listed(Queue::Deferred, list) => self.waiting.listed(list, &self.known),
            Report::Found(domain, list) => {
                list.into_iter().for_each(|id| self.is_urgent(id, Urgent::Of(domain.clone())));
            }
            Report::Unlisted(queue) => self.unlisted.push(queue),
            Report::Listed(Queue::Incoming, list) => list.into_iter().for_each(|(id, _)| self.came(id)),
            Report::Listed(queue, list) => list.into_iter().for_each(|(id, _)| self.is_ready(id, queue)),
            Report::Moved(id, Queue::Hold) => tracing::info!("{id}: placed on hold"),
            Report::Moved(id, queue) => {
                tracing::info!("{id}: released from hold");
                self.is_ready(id, queue);
            }
            Report::Settled(id, settled) => {
                self.forget(id);
                match settled {
                    Settled::Finished => {}
                    Settled::Held => tracing::info!("{id}: placed on hold"),
                    Settled::Deferred(next) => self.waiting.push(id, next),
                }
            }
            Report::Adopted(id, file) => self.adopted(id, file),
            Report::Noted => self.noting -= 1,
            Report::Entered(id) => self.is_ready(id, Queue::Incoming),
        }
    }

    fn fetched(&mut self, id: QueueId) -> Age {
        self.fetching.remove(&id).unwrap_or(Age::Fresh)
    }

    pub(super) fn forget(&mut self, id: QueueId) {
        self.known.remove(&id);
        self.urgent.remove(&id);
        if let Some(wish) = self.wishes.remove(&id) {
            self.wish(id, wish);
        }
    }

    /// A message was read: its recipients take their places in the lines.
    fn begin(&mut self, file: QueueFile, readers: Readers, age: Age) {
        let mut message = Message::new(file, age);
        message.readers = readers;
        self.enlist(message);
    }

    /// A message is in delivery from now on.
    pub(super) fn enlist(&mut self, mut message: Message) {
        let id = message.id;
        message.wish = self.wishes.remove(&id);
        message.urgent = self.urgent.remove(&id);
        let from = message.terms.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let size = message.content.end - message.content.start;
        tracing::info!("{id}: from=<{from}>, size={size}, nrcpt={} (queue active)", message.open);
        let slots = message.open_slots();
        self.active.insert(id, message);
        self.dispatch(id, slots);
        self.settle_if_done(id);
    }

    /// Nothing of the message is open: over to the recorder. Else what is done is noted, as soon as the recorder has time.
    pub(super) fn settle_if_done(&mut self, id: QueueId) {
        let Some(message) = self.active.get_mut(&id) else { return };
        if message.loan.is_some() {
            return self.look_at_loan(id);
        }
        if message.open > 0 {
            if message.notes.sent.len() == 1 {
                self.to_note.push(id);
            }
            return;
        }
        let Some(message) = self.active.remove(&id) else { return };
        self.again -= usize::from(message.age == Age::Again);
        let deferred = message.lots(Slot::deferred);
        if let Some(to) = message.only_destination() {
            self.waiting.tie(id, to);
        }
        let now = std::time::Instant::now();
        let not_before = message
            .slots
            .iter()
            .filter_map(|slot| self.relays.windows.parked(slot.to.as_ref()?))
            .map(|it| it.until)
            .max();
        let settlement = Settlement {
            id,
            sent: message.lots(Slot::succeeded),
            failed: message.lots(Slot::failed),
            told: Vec::new(),
            notices: Vec::new(),
            // Whoever waits for a destination that lives must not wait for another one.
            not_before: not_before
                .filter(|_| deferred.len() == message.waiting_for_the_parked(&self.relays.windows))
                .map(|at| SystemTime::now() + at.saturating_duration_since(now)),
            deferred,
            file: message.file,
            notes: message.notes,
            wish: message.wish,
            readers: message.readers,
        };
        // The file may be used again once the recorder has let go of it.
        drop(message.body);
        let _ = self.record.send(Record::Settle(Box::new(settlement)));
    }
}

/// What qmgr begins with.
pub(super) struct Begin {
    pub(super) router: Router,
    pub(super) cleanup: Cleanup,
    pub(super) policy: Policy,
}
