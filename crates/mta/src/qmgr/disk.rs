//! The threads that touch the disk for qmgr: one takes messages up, one records what became of them, one makes
//! removals last.
//!
//! Files of finished messages are removed at once, so that a kill repeats as little as can be; then all removals that
//! gathered while the directory was being synced share its next sync, and only then is a message reported as gone.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mail::QueueId;
use spool::{Finished, Queue, QueueFile, Readers, Spool};
use tokio::sync::mpsc::UnboundedSender;

use super::message::Notes;
use super::settle::{Policy, Settled, Settlement, note};

/// For the thread that takes up.
pub enum Fetch {
    /// Move this one to `active` and read it.
    Take(QueueId, Queue),
    /// List a directory.
    Scan(Queue),
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
    /// It could not be taken up now.
    Later(QueueId),
    /// The messages in a directory; in `deferred` with the time of the next try.
    Listed(Queue, Vec<(QueueId, SystemTime)>),
    /// It was moved there.
    Moved(QueueId, Queue),
    /// One [`Record::Note`] is done.
    Noted,
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
    let (its_spool, its_reports) = (spool.clone(), reports.clone());
    std::thread::Builder::new().name("take up".into()).spawn(move || take_up(&its_spool, &fetches, &its_reports))?;
    let (removed, removals) = channel();
    let (its_spool, its_reports) = (spool.clone(), reports.clone());
    std::thread::Builder::new().name("remove".into()).spawn(move || make_last(&its_spool, &removals, &its_reports))?;
    let recorder = Recorder { spool, policy, reports, removed };
    std::thread::Builder::new().name("record".into()).spawn(move || recorder.run(&records))?;
    Ok((fetch, record))
}

fn take_up(spool: &Spool, work: &Receiver<Fetch>, reports: &UnboundedSender<Report>) {
    while let Ok(work) = work.recv() {
        let report = match work {
            Fetch::Take(id, from) => taken(spool, id, from),
            Fetch::Scan(queue) => listed(spool, queue),
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

fn taken(spool: &Spool, id: QueueId, from: Queue) -> Report {
    if from != Queue::Active
        && let Err(error) = spool.shift(id, from, Queue::Active)
    {
        if error.kind() == io::ErrorKind::NotFound {
            return Report::Taken(id, None, Readers::None);
        }
        tracing::error!("{id}: cannot move to active: {error}");
        return Report::Later(id);
    }
    match spool.read_or_set_aside(Queue::Active, id) {
        Ok(file) => {
            let readers = if from == Queue::Active { Readers::Perhaps } else { Readers::None };
            Report::Taken(id, file.map(Box::new), readers)
        }
        Err(error) => {
            tracing::error!("{id}: cannot read: {error}");
            let _ = spool.defer(id, Queue::Active, SystemTime::now() + SOON);
            Report::Later(id)
        }
    }
}

/// How long a message rests that could not be read or recorded.
const SOON: Duration = Duration::from_secs(60);

fn listed(spool: &Spool, queue: Queue) -> Report {
    let list = match queue {
        Queue::Deferred => spool.scan_times(queue),
        _ => spool.scan(queue).map(|ids| ids.into_iter().map(|id| (id, SystemTime::UNIX_EPOCH)).collect()),
    };
    Report::Listed(
        queue,
        list.unwrap_or_else(|error| {
            tracing::error!("cannot list {}: {error}", queue.name());
            Vec::new()
        }),
    )
}

/// The thread that records.
struct Recorder {
    spool: Spool,
    policy: Policy,
    reports: UnboundedSender<Report>,
    removed: Sender<Finished>,
}

impl Recorder {
    fn run(mut self, work: &Receiver<Record>) {
        while let Ok(record) = work.recv() {
            match record {
                Record::Note(id, file, notes) => {
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Err(error) = note(&mut file, notes) {
                        // Without the record those recipients may get a second copy; losing one is worse.
                        tracing::error!("{id}: cannot note deliveries: {error}");
                    }
                    let _ = self.reports.send(Report::Noted);
                }
                Record::Settle(settlement) => self.settle(*settlement),
                Record::Policy(new) => self.policy = *new,
            }
        }
    }

    fn settle(&self, work: Settlement) {
        let (id, readers) = (work.id, work.readers);
        let settled = match self.policy.settle(&self.spool, work, SystemTime::now()) {
            Ok((settled, notices)) => {
                notices.into_iter().for_each(|notice| drop(self.reports.send(Report::Entered(notice))));
                settled
            }
            Err(error) => {
                tracing::error!("{id}: cannot record what became of it: {error}");
                let next = SystemTime::now() + SOON;
                let _ = self.spool.defer(id, Queue::Active, next);
                Settled::Deferred(next)
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
                let _ = self.reports.send(Report::Settled(id, settled));
            }
        }
    }
}

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
