//! Messages that smtpd lends before it has made them durable, see [`crate::prompt`].
//!
//! A message on loan is delivered as any other; but nothing is noted in its file, and only mailboxes of this machine are
//! written. When all are, smtpd hears of it and the message is forgotten. When anything else is to be done about it, smtpd is
//! asked to commit it; once it stands in `incoming` it is moved to `active`, and is ours.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use daemon::Channel;
use durable::File;
use handover::packet::{Malformed, Packed, Reader};
use mail::QueueId;
use spool::{Queue, QueueFile, Readers};
use sys::channel;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::disk::Fetch;
use super::message::{Message, Slot, State, body_of};
use super::run::Qmgr;
use super::windows::Age;
use crate::orders::{self, Door};
use crate::prompt::{Answer, SOCKET, Said};

/// Of so many messages whose lender was lost before he let them go it is remembered that they are delivered.
const MOST_LEFT: usize = 4096;
/// With so many in delivery none is borrowed: mail would wait for its turn rather than be delivered at once.
const MOST: usize = 256;

/// What a lender says.
pub(super) enum Event {
    /// Here is a message.
    Offered(Lender, QueueId, File),
    /// The lender commits it.
    TakenBack(QueueId),
    /// The name of a delivered message means nothing any more.
    LetGo(QueueId),
    /// The lender is gone.
    Gone(u64),
}

/// Messages delivered on loan. Should one stand in `incoming` it has been committed in vain, and goes.
#[derive(Default)]
pub(super) struct Delivered {
    /// Not let go yet, with the lender's connection; `None`: he is lost.
    by: HashMap<QueueId, Option<u64>>,
    /// Those of lost lenders, oldest first; some may be gone.
    left: VecDeque<QueueId>,
    /// Their lenders commit them.
    coming: HashSet<QueueId>,
}

impl Delivered {
    pub(super) fn len(&self) -> usize {
        self.by.len()
    }

    fn insert(&mut self, id: QueueId, connection: u64) {
        self.by.insert(id, Some(connection));
    }

    /// Nobody can commit this one any more. False: it is none of these.
    fn let_go(&mut self, id: QueueId) -> bool {
        self.coming.remove(&id);
        self.by.remove(&id).is_some()
    }

    fn taken_back(&mut self, id: QueueId) {
        if self.by.contains_key(&id) {
            self.coming.insert(id);
        }
    }

    /// One whose lender is lost; the oldest of too many is forgotten.
    fn leave(&mut self, id: QueueId) -> Option<QueueId> {
        self.by.insert(id, None);
        self.left.push_back(id);
        if self.left.len() <= MOST_LEFT {
            return None;
        }
        self.left.pop_front().filter(|oldest| self.let_go(*oldest))
    }

    fn of(&self, connection: u64) -> Vec<QueueId> {
        self.by.iter().filter(|(_, of)| **of == Some(connection)).map(|(id, _)| *id).collect()
    }
}

/// Whoever lent a message.
#[derive(Clone)]
pub(super) struct Lender {
    connection: u64,
    answers: UnboundedSender<Answer>,
}

/// A message on loan.
pub(super) struct Loan {
    lender: Lender,
    stage: Stage,
    /// Recipients that are dealt with when the message is ours.
    pub(super) later: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In delivery.
    Lent,
    /// The lender was asked to commit it.
    Asked,
    /// It stands in `incoming`, and is being moved.
    Moving,
    /// The lender is gone, with his message or not.
    Orphan,
}

impl Loan {
    /// Has the lender commit the message.
    fn ask(&mut self, id: QueueId) {
        if self.stage == Stage::Lent {
            self.stage = Stage::Asked;
            let _ = self.lender.answers.send(Answer::Commit(id));
        }
    }
}

impl Qmgr {
    /// A lender said something.
    pub(super) fn lender_said(&mut self, event: Event) {
        match event {
            Event::Offered(lender, id, file) => self.offered(lender, id, file),
            Event::TakenBack(id) => self.taken_back(id),
            Event::LetGo(id) => {
                if self.delivered.let_go(id) {
                    self.forget(id);
                }
            }
            Event::Gone(connection) => self.lender_is_gone(connection),
        }
    }

    fn offered(&mut self, lender: Lender, id: QueueId, file: File) {
        let room = !self.closing && self.active.len() < MOST.min(self.most_active) && !self.known.contains(&id);
        let file = if room { QueueFile::read(file, id).ok() } else { None };
        let Some(file) = file else {
            let _ = lender.answers.send(Answer::Commit(id));
            return;
        };
        self.known.insert(id);
        let mut message = Message::new(file, Age::Fresh);
        message.loan = Some(Loan { lender, stage: Stage::Lent, later: Vec::new() });
        self.enlist(message);
    }

    /// Nothing of a message on loan is in delivery.
    fn settle_loan(&mut self, id: QueueId) {
        let Some(message) = self.active.get_mut(&id) else { return };
        let is_delivered = message.is_delivered();
        let Some(loan) = &mut message.loan else { return };
        match loan.stage {
            Stage::Asked | Stage::Moving => {}
            Stage::Lent if is_delivered => {
                self.delivered.insert(id, loan.lender.connection);
                let _ = loan.lender.answers.send(Answer::Delivered(id));
                tracing::info!("{id}: removed");
                self.active.remove(&id);
            }
            Stage::Lent => loan.ask(id),
            Stage::Orphan => {
                self.active.remove(&id);
                if is_delivered {
                    self.leave(id);
                } else {
                    self.forget(id);
                }
                self.scan(Queue::Incoming);
            }
        }
    }

    /// The lender commits this message: it is not to be forgotten, however soon it is delivered.
    fn taken_back(&mut self, id: QueueId) {
        let loan = self.active.get_mut(&id).and_then(|message| message.loan.as_mut());
        if let Some(loan) = loan.filter(|loan| loan.stage == Stage::Lent) {
            loan.stage = Stage::Asked;
        }
        self.delivered.taken_back(id);
    }

    /// The lender of this delivered message is lost, and may not know that it is; should he have committed it, it goes.
    fn leave(&mut self, id: QueueId) {
        if let Some(oldest) = self.delivered.leave(id) {
            self.forget(oldest);
        }
    }

    /// A message stands in `incoming`.
    pub(super) fn came(&mut self, id: QueueId) {
        if let Some(loan) = self.active.get_mut(&id).and_then(|message| message.loan.as_mut()) {
            if loan.stage != Stage::Moving {
                loan.stage = Stage::Moving;
                let _ = self.fetch.send(Fetch::Adopt(id));
            }
        } else if self.delivered.let_go(id) {
            let _ = self.fetch.send(Fetch::Discard(id));
        } else {
            self.is_ready(id, Queue::Incoming);
        }
    }

    /// Its file is in `active` now; or it is not, and what stands anywhere is found by the next look.
    pub(super) fn adopted(&mut self, id: QueueId, file: Option<File>) {
        let Some(file) = file else {
            self.active.remove(&id);
            return self.forget(id);
        };
        let Some(message) = self.active.get_mut(&id) else { return };
        message.use_file(file);
        let later = message.loan.take().map(|loan| loan.later).unwrap_or_default();
        if message.open > 0 && !message.notes.sent.is_empty() {
            self.to_note.push(id);
        }
        self.dispatch(id, later);
        self.settle_if_done(id);
    }

    fn lender_is_gone(&mut self, connection: u64) {
        self.delivered.of(connection).into_iter().for_each(|id| self.leave(id));
        let mut idle = Vec::new();
        for (id, message) in &mut self.active {
            let Some(loan) = message.loan.as_mut().filter(|loan| loan.lender.connection == connection) else {
                continue;
            };
            if loan.stage == Stage::Moving {
                continue;
            }
            loan.stage = Stage::Orphan;
            if message.open == loan.later.len() {
                idle.push(*id);
            }
        }
        idle.into_iter().for_each(|id| self.settle_loan(id));
        self.scan(Queue::Incoming);
    }

    /// Borrows nothing any more, and has what is on loan committed.
    pub(super) fn close(&mut self) {
        self.closing = true;
        for (id, message) in &mut self.active {
            if let Some(loan) = &mut message.loan {
                loan.ask(*id);
            }
        }
    }

    /// A recipient of a message on loan landed.
    pub(super) fn look_at_loan(&mut self, id: QueueId) {
        let Some(message) = self.active.get(&id) else { return };
        if message.loan.as_ref().is_some_and(|loan| message.open == loan.later.len()) {
            self.settle_loan(id);
        }
    }

    /// Something is on loan, or being committed although it is delivered.
    pub(super) fn owes(&self) -> bool {
        self.active.values().any(|message| message.loan.is_some()) || !self.delivered.coming.is_empty()
    }
}

impl Message {
    /// From now on its queue file is this one, whose octets are the same.
    fn use_file(&mut self, file: File) {
        self.body = body_of(&file);
        self.file.lock().unwrap_or_else(PoisonError::into_inner).file = file;
    }

    /// This recipient has to wait until the message is ours. False: it is.
    pub(super) fn wait_for_commit(&mut self, slot: usize) -> bool {
        let Some(loan) = &mut self.loan else { return false };
        loan.later.push(slot);
        loan.ask(self.id);
        true
    }

    /// All are delivered, nobody is to be told anything, and no dead program of ours may be reading the file still.
    fn is_delivered(&self) -> bool {
        let plain = |slot: &Slot| matches!(slot.state, State::Sent(..) | State::Finished) && slot.succeeded().is_none();
        self.wish.is_none() && self.readers == Readers::None && self.slots.iter().all(plain)
    }
}

/// Opens the door to lenders: what they will say.
pub(super) fn open(queue: &Path) -> Result<UnboundedReceiver<Event>, String> {
    let path = queue.join("private").join(SOCKET);
    let door = channel::listen(&path).and_then(Door::new).map_err(|e| format!("{}: {e}", path.display()))?;
    let (events, said) = unbounded_channel();
    tokio::spawn(serve(door, events));
    Ok(said)
}

/// Lets lenders in for ever.
async fn serve(door: Door, events: UnboundedSender<Event>) {
    for connection in 1.. {
        tokio::spawn(attend(door.next().await, connection, events.clone()));
    }
}

async fn attend(socket: OwnedFd, connection: u64, events: UnboundedSender<Event>) {
    let Ok(channel) = Channel::new(socket).map(Arc::new) else { return };
    let (answers, to_send) = unbounded_channel();
    let lender = Lender { connection, answers };
    let sender = tokio::spawn(orders::send(Arc::clone(&channel), to_send));
    let mut buffer = vec![0; channel::MAX_PACKET];
    while let Ok(Some((packet, files))) = channel.receive(&mut buffer).await {
        if read(packet, files, &lender, &events).is_err() {
            tracing::warn!("smtpd sent what is no offer; connection closed");
            break;
        }
    }
    sender.abort();
    let _ = events.send(Event::Gone(connection));
}

fn read(packet: &[u8], files: Vec<OwnedFd>, lender: &Lender, to: &UnboundedSender<Event>) -> Result<(), Malformed> {
    let mut files = files.into_iter();
    let mut reader = Reader::new(packet);
    while !reader.is_empty() {
        let event = match Said::read(&mut reader)? {
            Said::Offered(id) => Event::Offered(lender.clone(), id, File::from_fd(files.next().ok_or(Malformed)?)),
            Said::Enclosed(id) => {
                Event::Offered(lender.clone(), id, File::from_octets(reader.octets_to_the_end().into()))
            }
            Said::TakenBack(id) => Event::TakenBack(id),
            Said::LetGo(id) => Event::LetGo(id),
        };
        let _ = to.send(event);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
