//! What is done on disk about a message once nothing of it is open: notices, records, removal or the next try.
//!
//! # Crash states
//! | after | a crash leaves | which means |
//! |---|---|---|
//! | deliveries are noted and synced | those recipients finished | nothing is repeated |
//! | a notice is entered | the notice, and a failed recipient without a record | a second try, a second notice |
//! | failures are noted and synced | those recipients finished too | nothing is repeated |
//! | `defer` | the message in `active` or `deferred`, records synced | it is tried again, early at worst |
//! | unlink, not yet synced | perhaps the file | its unfinished recipients get a second copy |
//!
//! A message whose recipients are all finished and of whom nobody is told needs no records: that its file is gone, synced, is
//! the record. What cannot be done now is kept with what is still to do, so that it goes on where it stopped: nobody who has
//! the message gets it again because the disk is full.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mail::{Address, QueueId};
use spool::{Progress, Queue, QueueFile, Readers, Spool};

use super::message::{Expanded, Notes, Wish};
use crate::bounce::{Action, Fate, Kind, Notice, Sender};

/// How long and how often a message is tried.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who tells the sender.
    pub sender: Sender,
    /// `minimal_backoff_time`
    pub shortest: Duration,
    /// `maximal_backoff_time`
    pub longest: Duration,
    /// `maximal_queue_lifetime`
    pub lifetime: Duration,
    /// `bounce_queue_lifetime`
    pub bounce_lifetime: Duration,
    /// `delay_warning_time`; zero: never.
    pub warn_after: Duration,
}

/// A message nothing of which is open.
pub struct Settlement {
    /// Which.
    pub id: QueueId,
    /// Its file.
    pub file: Arc<Mutex<QueueFile>>,
    /// What is not in the file yet.
    pub notes: Notes,
    /// Delivered in this try, for senders who asked.
    pub sent: Vec<Lot>,
    /// Never, and the sender does not know it yet.
    pub failed: Vec<Lot>,
    /// Never, and the sender was told.
    pub told: Vec<usize>,
    /// What was entered to tell of it.
    pub notices: Vec<QueueId>,
    /// Not now.
    pub deferred: Vec<Lot>,
    /// Not before this time: their destination is left in peace.
    pub not_before: Option<SystemTime>,
    /// What the operator wants.
    pub wish: Option<Wish>,
    /// Who may still have the file open.
    pub readers: Readers,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// His number.
    pub slot: usize,
    /// The sender he was given.
    pub sender: Option<Address>,
    /// What became of him.
    pub fate: Fate,
}

const LONGEST_REST: Duration = Duration::from_secs(60);

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All is done: the file can go.
    Finished,
    /// To be tried again at this time.
    Deferred(SystemTime),
    /// Put aside.
    Held,
}

/// When a message that came at `arrival` is tried again: after as long as it has waited, within the bounds, spread by up
/// to an eighth so that what was deferred together does not come back together.
#[must_use]
pub fn next_try(policy: &Policy, id: QueueId, arrival: SystemTime, now: SystemTime) -> SystemTime {
    let age = now.duration_since(arrival).unwrap_or_default();
    let wait = age.clamp(policy.shortest, policy.longest.max(policy.shortest));
    now + wait + spread(wait / 8, id)
}

/// A part of that time which differs from message to message.
pub(super) fn spread(most: Duration, id: QueueId) -> Duration {
    most / 128 * u32::try_from(id.micros() % 128).unwrap_or(0)
}

impl Policy {
    /// How long a message rests that could not be read or recorded.
    #[must_use]
    pub fn rest(&self) -> Duration {
        self.shortest.min(LONGEST_REST)
    }

    /// Does what is to be done.
    ///
    /// # Errors
    /// The disk's; the message stays where it is, and in `work` stays what is still to do. Who was told may be told again.
    pub fn settle(&self, spool: &Spool, work: &mut Settlement, now: SystemTime) -> io::Result<Settled> {
        if work.wish == Some(Wish::Delete) {
            return Ok(Settled::Finished);
        }
        let file = Arc::clone(&work.file);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.duration_since(file.arrival).unwrap_or_default();
        let lifetime = if file.envelope.reverse_path.is_none() { self.bounce_lifetime } else { self.lifetime };
        if !work.deferred.is_empty() && age >= lifetime {
            let from = file.envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::info!("{}: from=<{from}>, status=expired, returned to sender", work.id);
            work.deferred.iter_mut().for_each(|lot| lot.fate.action = Action::Failed);
            work.failed.append(&mut work.deferred);
        }
        // Numbers of recipients that expansion made must be in the file before a notice or record speaks of them. And what can
        // go wrong after this must not bring anybody a second copy.
        let stays = !work.deferred.is_empty() || work.wish == Some(Wish::Hold);
        if stays || !work.failed.is_empty() || !work.sent.is_empty() {
            note(&mut file, &mut work.notes)?;
        }
        work.notices.extend(self.tell(spool, &file, (Kind::Failed, &work.failed))?);
        work.told.extend(work.failed.drain(..).map(|lot| lot.slot));
        if !work.told.is_empty() && (stays || !work.sent.is_empty()) {
            file.append_bounced(&work.told)?;
            work.told.clear();
        }
        work.notices.extend(self.tell(spool, &file, (Kind::Delivered, &work.sent))?);
        work.sent.clear();
        if !stays {
            return Ok(Settled::Finished);
        }
        if !self.warn_after.is_zero() && age >= self.warn_after && file.warned.is_none() {
            work.notices.extend(self.tell(spool, &file, (Kind::Delayed, &work.deferred))?);
            file.append_warned()?;
        }
        for Lot { slot, fate, .. } in &work.deferred {
            if !is_noted(&file, *slot, fate) {
                file.append_deferred(*slot, fate.status, &fate.text)?;
            }
        }
        if work.wish == Some(Wish::Hold) {
            spool.shift(work.id, Queue::Active, Queue::Hold)?;
            return Ok(Settled::Held);
        }
        let next = next_try(self, work.id, file.arrival, now);
        let next = work.not_before.map_or(next, |until| next.max(until + spread(self.shortest / 4, work.id)));
        spool.defer(work.id, Queue::Active, next)?;
        Ok(Settled::Deferred(next))
    }

    /// Tells each sender of what became of the recipients he is the sender for.
    fn tell(&self, spool: &Spool, about: &QueueFile, (kind, lots): (Kind, &[Lot])) -> io::Result<Vec<QueueId>> {
        let mut by_sender: BTreeMap<Option<&Address>, Vec<Fate>> = BTreeMap::new();
        for lot in lots {
            by_sender.entry(lot.sender.as_ref()).or_default().push(lot.fate.clone());
        }
        let mut told = Vec::new();
        for (sender, fates) in by_sender {
            told.extend(self.sender.tell(spool, Notice { id: about.id, about, sender, kind, fates: &fates })?);
        }
        Ok(told)
    }
}

/// The file says so already: a message that waits for the same thing again costs no write.
fn is_noted(file: &QueueFile, slot: usize, fate: &Fate) -> bool {
    match file.slots.get(slot).map(|slot| &slot.progress) {
        Some(Progress::Deferred { status, reason, .. }) => *status == fate.status && *reason == fate.text,
        _ => false,
    }
}

/// Writes what is not in the file yet; who is done is synced. In `notes` stays what could not be written.
///
/// # Errors
/// The disk's.
pub fn note(file: &mut QueueFile, notes: &mut Notes) -> io::Result<()> {
    let mut trouble = Ok(());
    let written = notes.expanded.iter().take_while(|it| {
        trouble = append(file, it);
        trouble.is_ok()
    });
    let written = written.count();
    notes.expanded.drain(..written);
    trouble?;
    if !notes.sent.is_empty() {
        file.append_done(&notes.sent)?;
        notes.sent.clear();
    }
    Ok(())
}

fn append(file: &mut QueueFile, Expanded { slot, first, into, owner }: &Expanded) -> io::Result<()> {
    // Were the numbers here and in the file to differ, a record would speak of somebody else.
    if file.slots.len() != *first {
        return Err(io::Error::other("an earlier record is missing"));
    }
    file.append_expanded(*slot, into.clone(), owner.clone()).map(drop)
}
