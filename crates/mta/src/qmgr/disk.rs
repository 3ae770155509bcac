//! The threads that touch the disk for qmgr: one takes messages up, one records what became of them, one makes
//! removals last.
//!
//! Files of finished messages are removed at once, so that a kill repeats as little as can be; then all removals that
//! gathered while the directory was being synced share its next sync, and only then is a message reported as gone.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use durable::{Access, File};
use mail::{Domain, QueueId};
use spool::{Finished, Queue, QueueFile, Readers, Spool};
use tokio::sync::mpsc::UnboundedSender;

use super::message::Notes;
use super::settle::{Policy, Settled, Settlement, note};
use crate::bounce::alarm::{Class, Told};

/// For the thread that takes up.
pub enum Fetch {
    /// Move this one to `active` and read it.
    Take(QueueId, Queue),
    /// Move one that was on loan to `active`.
    Adopt(QueueId),
    /// Remove one from `incoming` that was delivered while its lender committed it.
    Discard(QueueId),
    /// List a directory.
    Scan(Queue),
    /// Look for deferred messages with recipients in this domain.
    Find(Domain),
    /// Move one between directories for the operator, then take it from there if it is to be tried.
    Move(QueueId, Queue, Queue),
    /// Remove one that is not in delivery.
    Remove(QueueId, Queue),
}

/// For the recorder.
pub enum Record {
    /// These are done, though others of the message are not.
    Note(QueueId, Arc<Mutex<QueueFile>>, Notes),
    /// Nothing of this message is open.
    Settle(Box<Settlement>),
    /// Another way of trying from now on.
    Policy(Box<Policy>),
}

/// What the threads report.
pub enum Report {
    /// Taken up; `None`: it is not there or not readable. Readers: of a life of this program before.
    Taken(QueueId, Option<Box<QueueFile>>, Readers),
    /// It could not be taken up now, but perhaps then.
    Later(QueueId, SystemTime),
    /// The messages in a directory; in `deferred` with the time of the next try.
    Listed(Queue, Vec<(QueueId, SystemTime)>),
    /// A directory could not be listed.
    Unlisted(Queue),
    /// What [`Fetch::Find`] found for the domain.
    Found(Domain, Vec<QueueId>),
    /// It was moved there.
    Moved(QueueId, Queue),
    /// One [`Record::Note`] is done.
    Noted,
    /// [`Fetch::Adopt`] is done: its file; or failed.
    Adopted(QueueId, Option<File>),
    /// What became of a message.
    Settled(QueueId, Settled),
    /// A notice was entered.
    Entered(QueueId),
}

/// Starts the threads.
///
/// # Errors
/// When the system has no threads left.
pub fn start(
    spool: Spool,
    policy: Policy,
    reports: UnboundedSender<Report>,
) -> io::Result<(Sender<Fetch>, Sender<Record>)> {
    let (fetch, fetches) = channel();
    let (record, records) = channel();
    let (its_spool, its_reports, rest) = (spool.clone(), reports.clone(), policy.rest());
    std::thread::Builder::new()
        .name("take up".into())
        .spawn(move || take_up(&its_spool, rest, &fetches, &its_reports))?;
    let (removed, removals) = channel();
    let (its_spool, its_reports) = (spool.clone(), reports.clone());
    std::thread::Builder::new().name("remove".into()).spawn(move || make_last(&its_spool, &removals, &its_reports))?;
    let (told, unnoted, again) = (Told::default(), HashMap::new(), VecDeque::new());
    let recorder = Recorder { spool, policy, reports, removed, told, unnoted, again };
    std::thread::Builder::new().name("record".into()).spawn(move || recorder.run(&records))?;
    Ok((fetch, record))
}

fn take_up(spool: &Spool, rest: Duration, work: &Receiver<Fetch>, reports: &UnboundedSender<Report>) {
    while let Ok(work) = work.recv() {
        let report = match work {
            Fetch::Take(id, from) => taken(spool, id, from).unwrap_or_else(|Trouble| later(spool, id, rest)),
            Fetch::Scan(queue) => listed(spool, queue),
            Fetch::Adopt(id) => Report::Adopted(id, adopted(spool, id)),
            Fetch::Discard(id) => {
                if let Err(error) = spool.remove(Queue::Incoming, id) {
                    tracing::error!("{id}: cannot remove: {error}");
                }
                Report::Settled(id, Settled::Finished)
            }
            Fetch::Find(domain) => {
                let (spool, reports) = (spool.clone(), reports.clone());
                // Reads every deferred file: on a thread of its own, so that new mail is not kept waiting.
                let look = move || {
                    let list = found(&spool, &domain);
                    let _ = reports.send(Report::Found(domain, list));
                };
                if let Err(error) = std::thread::Builder::new().name("find".into()).spawn(look) {
                    tracing::warn!("cannot look for deferred mail: {error}");
                }
                continue;
            }
            Fetch::Move(id, from, to) => match spool.shift(id, from, to) {
                Ok(()) => Report::Moved(id, to),
                Err(_) => continue,
            },
            Fetch::Remove(id, queue) => {
                if spool.dir(queue).stat(&id.name()).is_err() {
                    continue;
                }
                match spool.remove(queue, id) {
                    Ok(()) => {
                        tracing::info!("{id}: removed");
                        Report::Settled(id, Settled::Finished)
                    }
                    Err(error) => {
                        tracing::error!("{id}: cannot remove: {error}");
                        continue;
                    }
                }
            }
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

/// A message could not be taken up.
struct Trouble;

fn taken(spool: &Spool, id: QueueId, mut from: Queue) -> Result<Report, Trouble> {
    if from != Queue::Active {
        match spool.shift(id, from, Queue::Active) {
            Ok(()) => {}
            // Perhaps it stayed in `active` when something failed; if it is not there either, there is nothing to do.
            Err(error) if error.kind() == io::ErrorKind::NotFound => from = Queue::Active,
            Err(error) => {
                tracing::error!("{id}: cannot move to active: {error}");
                return Err(Trouble);
            }
        }
    }
    let file = spool.read_or_set_aside(Queue::Active, id).map_err(|error| {
        tracing::error!("{id}: cannot read: {error}");
        Trouble
    })?;
    let readers = if from == Queue::Active { Readers::Perhaps } else { Readers::None };
    Ok(Report::Taken(id, file.map(Box::new), readers))
}

fn adopted(spool: &Spool, id: QueueId) -> Option<File> {
    if let Err(error) = spool.shift(id, Queue::Incoming, Queue::Active) {
        tracing::error!("{id}: cannot move to active: {error}");
        return None;
    }
    let file = spool.dir(Queue::Active).open_file(&id.name(), Access::ReadWrite);
    if let Err(error) = &file {
        tracing::error!("{id}: cannot open: {error}");
        // Where the next look finds it.
        let _ = spool.shift(id, Queue::Active, Queue::Incoming);
    }
    file.ok()
}

/// Best effort: it is looked for in `active` too.
fn later(spool: &Spool, id: QueueId, rest: Duration) -> Report {
    let next = SystemTime::now() + rest;
    let _ = spool.defer(id, Queue::Active, next);
    Report::Later(id, next)
}

fn found(spool: &Spool, domain: &Domain) -> Vec<QueueId> {
    let wanted = |id: &QueueId| {
        let Ok(file) = spool.read(Queue::Deferred, *id) else { return false };
        file.open_slots().any(|(_, slot)| slot.recipient.address.domain() == Some(domain))
    };
    spool.scan(Queue::Deferred).unwrap_or_default().into_iter().filter(wanted).collect()
}

fn listed(spool: &Spool, queue: Queue) -> Report {
    let list = match queue {
        Queue::Deferred => spool.scan_times(queue),
        _ => spool.scan(queue).map(|ids| ids.into_iter().map(|id| (id, SystemTime::UNIX_EPOCH)).collect()),
    };
    match list {
        Ok(list) => Report::Listed(queue, list),
        Err(error) => {
            tracing::error!("cannot list {}: {error}", queue.name());
            Report::Unlisted(queue)
        }
    }
}

/// The thread that records.
struct Recorder {
    spool: Spool,
    policy: Policy,
    reports: UnboundedSender<Report>,
    removed: Sender<Finished>,
    told: Told,
    /// What could not be noted, of messages that are in delivery.
    unnoted: HashMap<QueueId, Notes>,
    /// What could not be done, and when it is tried again: oldest first.
    again: VecDeque<Again>,
}

/// A settlement that failed so often.
struct Again {
    at: Instant,
    work: Box<Settlement>,
    failures: u32,
}

impl Recorder {
    fn run(mut self, work: &Receiver<Record>) {
        loop {
            match self.next(work) {
                Ok(Record::Note(id, file, notes)) => {
                    self.note(id, &file, notes);
                    let _ = self.reports.send(Report::Noted);
                }
                Ok(Record::Settle(work)) => {
                    self.alarm(&work);
                    self.settle(work, 0);
                }
                Ok(Record::Policy(new)) => self.policy = *new,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(Again { work, failures, .. }) = self.again.pop_front() {
                        self.settle(work, failures);
                    }
                }
                // A last try.
                Err(RecvTimeoutError::Disconnected) => {
                    return std::mem::take(&mut self.again)
                        .into_iter()
                        .for_each(|it| self.settle(it.work, it.failures));
                }
            }
        }
    }

    /// What is new, as long as nothing is to be tried again.
    fn next(&self, work: &Receiver<Record>) -> Result<Record, RecvTimeoutError> {
        match self.again.front() {
            Some(Again { at, .. }) => work.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn note(&mut self, id: QueueId, file: &Mutex<QueueFile>, new: Notes) {
        let mut notes = self.with_unnoted(id, new);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = note(&mut file, &mut notes) {
            tracing::error!("{id}: cannot note deliveries: {error}");
            self.unnoted.insert(id, notes);
            self.open_again(id, &mut file);
        }
    }

    /// What could not be written or synced is not tried again by the same descriptor.
    fn open_again(&self, id: QueueId, file: &mut QueueFile) {
        match self.spool.read(Queue::Active, id) {
            Ok(new) => *file = new,
            Err(error) => tracing::error!("{id}: cannot read: {error}"),
        }
    }

    fn with_unnoted(&mut self, id: QueueId, mut new: Notes) -> Notes {
        let Some(mut notes) = self.unnoted.remove(&id) else { return new };
        notes.expanded.append(&mut new.expanded);
        notes.sent.append(&mut new.sent);
        notes
    }

    fn settle(&mut self, mut work: Box<Settlement>, failures: u32) {
        let (id, readers) = (work.id, work.readers);
        work.notes = self.with_unnoted(id, std::mem::take(&mut work.notes));
        let settled = self.policy.settle(&self.spool, &mut work, SystemTime::now());
        work.notices.drain(..).for_each(|notice| drop(self.reports.send(Report::Entered(notice))));
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                tracing::error!("{id}: cannot record what became of it: {error}");
                if is_full(&error) || failures < MOST_FAILURES {
                    self.open_again(id, &mut work.file.lock().unwrap_or_else(PoisonError::into_inner));
                    let again = Again { at: Instant::now() + self.policy.rest(), work, failures: failures + 1 };
                    return self.again.push_back(again);
                }
                // This file takes no record any more: the others must not wait for ever because of that.
                self.later(id)
            }
        };
        if settled != Settled::Finished {
            let _ = self.reports.send(Report::Settled(id, settled));
            return;
        }
        match self.spool.take_out(id, readers) {
            Ok(finished) => drop(self.removed.send(finished)),
            Err(error) => {
                tracing::error!("{id}: cannot remove: {error}");
                self.note_all(id);
                let _ = self.reports.send(Report::Settled(id, self.later(id)));
            }
        }
    }

    /// The postmaster is told of trouble that is this machine's own.
    fn alarm(&mut self, work: &Settlement) {
        for fate in work.failed.iter().chain(&work.deferred).map(|lot| &lot.fate).filter(|fate| fate.remote.is_none()) {
            let Some(class) = Class::of(fate.status) else { continue };
            match self.told.tell(&self.policy.sender, &self.spool, (class, work.id, &fate.text)) {
                Ok(Some(notice)) => drop(self.reports.send(Report::Entered(notice))),
                Ok(None) => {}
                Err(error) => tracing::error!("{}: cannot tell the postmaster: {error}", work.id),
            }
        }
    }

    fn later(&self, id: QueueId) -> Settled {
        let next = SystemTime::now() + self.policy.rest();
        let _ = self.spool.defer(id, Queue::Active, next);
        Settled::Deferred(next)
    }

    /// A finished message that cannot go: with all its recipients noted as done, the next try is to remove it.
    fn note_all(&self, id: QueueId) {
        let noted = match self.spool.read_or_set_aside(Queue::Active, id) {
            Ok(Some(mut file)) => {
                let open: Vec<usize> = file.open_slots().map(|(slot, _)| slot).collect();
                file.append_done(&open)
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            tracing::error!("{id}: cannot note deliveries: {error}");
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// How often a disk that is not full is tried in vain.
const MOST_FAILURES: u32 = 3;

/// Many removals, one sync.
fn make_last(spool: &Spool, removals: &Receiver<Finished>, reports: &UnboundedSender<Report>) {
    while let Ok(first) = removals.recv() {
        let finished: Vec<Finished> = std::iter::once(first).chain(removals.try_iter()).collect();
        if let Err(error) = spool.make_last(&finished) {
            tracing::error!("cannot sync the queue after removing {} messages: {error}", finished.len());
        }
        for Finished { id, .. } in finished {
            tracing::info!("{id}: removed");
            let _ = reports.send(Report::Settled(id, Settled::Finished));
        }
    }
}

#[cfg(test)]
mod tests;
