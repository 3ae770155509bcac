//! The loop: takes messages up, gives recipients out to `local`, and has the recorder settle what is finished.
//!
//! One thread owns all of this; the disk is touched by the threads of [`super::disk`] only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use handover::{Order, Outcome, Reply};
use mail::{Address, EnhancedStatus, QueueId};
use spool::{Queue, QueueFile, Readers};
use tokio::sync::mpsc::UnboundedSender;

use super::control::{self, Said};
use super::disk::{Fetch, Record, Report};
use super::link::{Event, Sending};
use super::message::{Message, State, Wish};
use super::ready::Ready;
use super::settle::{Settled, Settlement};
use super::windows::Windows;
use crate::bounce::Fate;
use crate::local::line::Line;

/// The most recipients with `local` at a time, in all and for one user.
const OPEN_ORDERS: usize = 2000;
const OPEN_ORDERS_EACH: usize = 150;
/// The most messages that are being read at a time.
const FETCHING: usize = 64;

/// What qmgr knows.
pub(super) struct Qmgr {
    pub(super) destinations: HashSet<String>,
    pub(super) most_active: usize,
    fetch: Sender<Fetch>,
    record: Sender<Record>,
    orders: UnboundedSender<Sending>,
    /// The number of the connection to `local`, while there is one.
    connection: Option<u64>,
    number: u64,
    open: HashMap<u64, Open>,
    windows: Windows,
    active: HashMap<QueueId, Message>,
    ready: Ready,
    /// Everything in `ready`, being read, active or being settled.
    known: HashSet<QueueId>,
    fetching: usize,
    deferred: BinaryHeap<Reverse<(u64, QueueId)>>,
    wishes: HashMap<QueueId, Wish>,
    /// Messages some of whose recipients are done, which is not noted yet, while others are open.
    to_note: Vec<QueueId>,
    noting: usize,
    /// Directories that could not be listed.
    unlisted: Vec<Queue>,
}

/// An order given out.
struct Open {
    id: QueueId,
    slot: usize,
    destination: String,
    gathered: Vec<Address>,
}

impl Qmgr {
    pub(super) fn new(fetch: Sender<Fetch>, record: Sender<Record>, orders: UnboundedSender<Sending>) -> Self {
        Self {
            destinations: HashSet::new(),
            most_active: 1,
            fetch,
            record,
            orders,
            connection: None,
            number: 0,
            open: HashMap::new(),
            windows: Windows::new(OPEN_ORDERS, OPEN_ORDERS_EACH),
            active: HashMap::new(),
            ready: Ready::default(),
            known: HashSet::new(),
            fetching: 0,
            deferred: BinaryHeap::new(),
            wishes: HashMap::new(),
            to_note: Vec::new(),
            noting: 0,
            unlisted: Vec::new(),
        }
    }

    /// Looks for messages that nobody told of, and again where that failed before.
    pub(super) fn look(&mut self) {
        self.scan(Queue::Incoming);
        for queue in std::mem::take(&mut self.unlisted).into_iter().filter(|queue| *queue != Queue::Incoming) {
            self.scan(queue);
        }
    }

    pub(super) fn scan(&self, queue: Queue) {
        let _ = self.fetch.send(Fetch::Scan(queue));
    }

    pub(super) fn policy(&self, policy: super::settle::Policy) {
        let _ = self.record.send(Record::Policy(Box::new(policy)));
    }

    /// Nothing is with `local` and nothing is being recorded.
    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty()
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

    /// When the next deferred message is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let Reverse((due, _)) = self.deferred.peek()?;
        let due = SystemTime::UNIX_EPOCH + Duration::from_micros(*due);
        Some(due.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// A datagram came.
    pub(super) fn heard(&mut self, datagram: &[u8]) {
        control::read(datagram).into_iter().for_each(|said| self.said(said));
    }

    fn said(&mut self, said: Said) {
        match said {
            Said::Came(id) => self.is_ready(id, Queue::Incoming),
            Said::Look => self.scan(Queue::Incoming),
            Said::FlushAll => self.flush_all(),
            Said::Flush(id) => self.is_ready(id, Queue::Deferred),
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
        for Reverse((_, id)) in std::mem::take(&mut self.deferred) {
            self.is_ready(id, Queue::Deferred);
        }
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

    fn is_ready(&mut self, id: QueueId, queue: Queue) {
        if self.known.insert(id) {
            self.ready.push((id, queue));
        }
    }

    /// Takes up what is due, as far as there is room.
    pub(super) fn take_up(&mut self) {
        let now = micros(SystemTime::now());
        while let Some(Reverse((due, id))) = self.deferred.peek().copied()
            && due <= now
        {
            self.deferred.pop();
            self.is_ready(id, Queue::Deferred);
        }
        while self.fetching < FETCHING && self.active.len() + self.fetching < self.most_active {
            let Some((id, queue)) = self.ready.next() else { return };
            self.fetching += 1;
            let _ = self.fetch.send(Fetch::Take(id, queue));
        }
    }

    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Taken(id, file, readers) => {
                self.fetching -= 1;
                match file {
                    Some(file) => self.begin(*file, readers),
                    None => self.forget(id),
                }
            }
            Report::Later(id, next) => {
                self.fetching -= 1;
                self.forget(id);
                self.deferred.push(Reverse((micros(next), id)));
            }
            Report::Listed(Queue::Deferred, list) => {
                // What was deferred since the list was made is kept; what is gone since is found out when it is due.
                let mut times: HashMap<QueueId, u64> =
                    self.deferred.drain().map(|Reverse((due, id))| (id, due)).collect();
                times.extend(list.into_iter().map(|(id, due)| (id, micros(due))));
                times.retain(|id, _| !self.known.contains(id));
                self.deferred = times.into_iter().map(|(id, due)| Reverse((due, id))).collect();
            }
            Report::Unlisted(queue) => self.unlisted.push(queue),
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
                    Settled::Deferred(next) => self.deferred.push(Reverse((micros(next), id))),
                }
            }
            Report::Noted => self.noting -= 1,
            Report::Entered(id) => self.is_ready(id, Queue::Incoming),
        }
    }

    fn forget(&mut self, id: QueueId) {
        self.known.remove(&id);
        if let Some(wish) = self.wishes.remove(&id) {
            self.wish(id, wish);
        }
    }

    /// A message was read: its recipients take their places in the lines.
    fn begin(&mut self, file: QueueFile, readers: Readers) {
        let mut message = Message::new(file);
        message.readers = readers;
        let id = message.id;
        message.wish = self.wishes.remove(&id);
        let from = message.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        let size = message.content.end - message.content.start;
        tracing::info!("{id}: from=<{from}>, size={size}, nrcpt={} (queue active)", message.open);
        let slots: Vec<usize> =
            message.with(|state| (*state == State::Open).then_some(())).into_iter().map(|(slot, ())| slot).collect();
        self.active.insert(id, message);
        self.dispatch(id, slots);
        self.settle_if_done(id);
    }

    /// Recipients of ours get in line for `local`; the others have to wait until there is remote delivery.
    fn dispatch(&mut self, id: QueueId, slots: impl IntoIterator<Item = usize>) {
        let Some(message) = self.active.get_mut(&id) else { return };
        for slot in slots {
            let Some(address) = message.slots.get(slot).map(|slot| slot.recipient.address.clone()) else { continue };
            if message.wish.is_some() {
                let text = "stopped by the operator".to_owned();
                message.take(slot, Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
            } else if address.domain().is_none_or(|domain| self.destinations.contains(domain.as_str())) {
                self.windows.push(&Windows::destination(&address), (id, slot));
            } else {
                let text = "mail transport unavailable: remote delivery is not built yet".to_owned();
                let outcome = Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text);
                log(message, slot, &outcome);
                message.take(slot, outcome);
            }
        }
    }

    /// Gives recipients out to `local` as far as the windows allow.
    pub(super) fn give_out(&mut self) {
        let Some(connection) = self.connection else { return };
        while let Some((destination, (id, slot))) = self.windows.serve() {
            let Some((message, file)) = self.active.get(&id).and_then(|m| m.descriptor.clone().map(|file| (m, file)))
            else {
                self.windows.landed(&destination);
                self.out_of_descriptors(id, slot);
                continue;
            };
            let Some(recipient) = message.slots.get(slot).map(|slot| slot.recipient.clone()) else { continue };
            self.number += 1;
            let order = Order {
                number: self.number,
                id,
                arrival: micros(message.arrival),
                active: micros(message.active),
                sender: message.sender.clone(),
                recipient: recipient.address,
                original: recipient.original,
                offset: message.content.start,
                length: message.content.end - message.content.start,
            };
            self.open.insert(self.number, Open { id, slot, destination, gathered: Vec::new() });
            let _ = self.orders.send(Sending { connection, order, file });
        }
    }

    fn out_of_descriptors(&mut self, id: QueueId, slot: usize) {
        let text = "too many open files".to_owned();
        self.landed(id, slot, Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
    }

    pub(super) fn happened(&mut self, event: Event) {
        match event {
            Event::Up(connection) => self.connection = Some(connection),
            Event::Down => {
                self.connection = None;
                for open in std::mem::take(&mut self.open).into_values() {
                    if let Some(message) = self.active.get_mut(&open.id) {
                        message.readers = Readers::Perhaps;
                    }
                    self.windows.landed(&open.destination);
                    self.windows.push(&open.destination, (open.id, open.slot));
                }
            }
            Event::Replies(replies) => replies.into_iter().for_each(|reply| self.replied(reply)),
        }
    }

    fn replied(&mut self, Reply { number, outcome }: Reply) {
        let Some(mut open) = self.open.remove(&number) else { return };
        let outcome = match outcome {
            Outcome::Expanding(list) => {
                open.gathered.extend(list);
                self.open.insert(number, open);
                return;
            }
            Outcome::Expanded(list) => {
                open.gathered.extend(list);
                Outcome::Expanded(open.gathered)
            }
            other => other,
        };
        self.windows.landed(&open.destination);
        self.landed(open.id, open.slot, outcome);
    }

    fn landed(&mut self, id: QueueId, slot: usize, outcome: Outcome) {
        let Some(message) = self.active.get_mut(&id) else { return };
        let expands = matches!(outcome, Outcome::Expanded(_));
        let new = message.take(slot, outcome);
        // An expansion that failed is a loop, which only qmgr can see: local has no line about it.
        if expands && let Some(State::Failed(status, text)) = message.slots.get(slot).map(|slot| slot.state.clone()) {
            log(message, slot, &Outcome::Bounced(status, text));
        }
        self.dispatch(id, new);
        self.settle_if_done(id);
    }

    /// Nothing of the message is open: over to the recorder. Else what is done is noted, as soon as the recorder has time.
    fn settle_if_done(&mut self, id: QueueId) {
        let Some(message) = self.active.get_mut(&id) else { return };
        if message.open > 0 {
            if message.notes.sent.len() == 1 {
                self.to_note.push(id);
            }
            return;
        }
        let Some(message) = self.active.remove(&id) else { return };
        let failed = message.with(|state| match state {
            State::Failed(status, text) => Some((*status, text.clone())),
            _ => None,
        });
        let deferred = message.with(|state| match state {
            State::Deferred(status, text) => Some((*status, text.clone())),
            _ => None,
        });
        let sent = message.with(|state| match state {
            State::Sent(status, text) => Some((*status, text.clone())),
            _ => None,
        });
        let flat = |list: Vec<(usize, (EnhancedStatus, String))>| {
            list.into_iter().map(|(slot, (status, text))| (slot, status, text)).collect()
        };
        let sent = sent.into_iter().filter_map(|(slot, (status, text))| {
            let recipient = message.slots.get(slot)?.recipient.clone();
            recipient.notify.is_some_and(|notify| notify.success).then_some(Fate { recipient, status, text })
        });
        let settlement = Settlement {
            id,
            sent: sent.collect(),
            file: message.file,
            notes: message.notes,
            failed: flat(failed),
            deferred: flat(deferred),
            wish: message.wish,
            readers: message.readers,
        };
        // The file may be used again once the recorder has let go of it.
        drop(message.descriptor);
        let _ = self.record.send(Record::Settle(Box::new(settlement)));
    }
}

/// The line for a recipient that never got to `local`.
fn log(message: &Message, slot: usize, outcome: &Outcome) {
    let Some(recipient) = message.slots.get(slot).map(|slot| &slot.recipient) else { return };
    let now = SystemTime::now();
    let since = |earlier: SystemTime, later: SystemTime| later.duration_since(earlier).unwrap_or_default();
    let line = Line {
        id: message.id,
        to: &recipient.address.to_string(),
        original: recipient.original.as_ref(),
        relay: "none",
        delays: [since(message.arrival, message.active), since(message.active, now), Duration::ZERO, Duration::ZERO],
        outcome,
    };
    tracing::info!("{line}");
}

pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
