//! What is done on disk about a message once nothing of it is open: notices, records, removal or the next try.
//!
//! # Crash states
//! | after | a crash leaves | which means |
//! |---|---|---|
//! | a notice is entered | the notice, and a failed recipient without a record | a second try, a second notice |
//! | records are appended and synced | those recipients finished | nothing is repeated |
//! | `defer` | the message in `active` or `deferred`, records synced | it is tried again, early at worst |
//! | unlink, not yet synced | perhaps the file | its unfinished recipients get a second copy |
//!
//! A message whose recipients are all finished needs no records: that its file is gone, synced, is the record.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mail::{EnhancedStatus, QueueId};
use spool::{Queue, QueueFile, Readers, Spool};

use super::message::{Notes, Wish};
use crate::bounce::{Fate, Kind, Notice, Sender};

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
    pub sent: Vec<Fate>,
    /// Never.
    pub failed: Vec<(usize, EnhancedStatus, String)>,
    /// Not now.
    pub deferred: Vec<(usize, EnhancedStatus, String)>,
    /// What the operator wants.
    pub wish: Option<Wish>,
    /// Who may still have the file open.
    pub readers: Readers,
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
    let spread = u32::try_from(id.micros() % 128).unwrap_or(0);
    now + wait + wait / 1024 * spread
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
    /// The disk's; the message stays where it is, and what has no record yet is tried again.
    pub fn settle(&self, spool: &Spool, mut work: Settlement, now: SystemTime) -> io::Result<(Settled, Vec<QueueId>)> {
        let mut notices = Vec::new();
        if work.wish == Some(Wish::Delete) {
            return Ok((Settled::Finished, notices));
        }
        let file = Arc::clone(&work.file);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.duration_since(file.arrival).unwrap_or_default();
        let lifetime = if file.envelope.reverse_path.is_none() { self.bounce_lifetime } else { self.lifetime };
        if !work.deferred.is_empty() && age >= lifetime {
            let from = file.envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::info!("{}: from=<{from}>, status=expired, returned to sender", work.id);
            work.failed.append(&mut work.deferred);
        }
        // Numbers of recipients that expansion made must be in the file before a notice or record speaks of them.
        let stays = !work.deferred.is_empty() || work.wish == Some(Wish::Hold);
        let names: Vec<_> = recipients(&file, &work.notes);
        if stays {
            note(&mut file, std::mem::take(&mut work.notes))?;
        }
        let fate = |(slot, status, text): &(usize, EnhancedStatus, String)| {
            names.get(*slot).map(|recipient| Fate { recipient: recipient.clone(), status: *status, text: text.clone() })
        };
        let failed: Vec<Fate> = work.failed.iter().filter_map(fate).collect();
        notices.extend(self.tell(spool, Notice { about: &file, kind: Kind::Failed, fates: &failed })?);
        if !work.failed.is_empty() && file.envelope.reverse_path.is_none() {
            tracing::warn!("{}: undeliverable notification discarded", work.id);
        }
        notices.extend(self.tell(spool, Notice { about: &file, kind: Kind::Delivered, fates: &work.sent })?);
        if !stays {
            return Ok((Settled::Finished, notices));
        }
        if !work.failed.is_empty() {
            file.append_bounced(&work.failed.iter().map(|(slot, ..)| *slot).collect::<Vec<_>>())?;
        }
        if !self.warn_after.is_zero() && age >= self.warn_after && file.warned.is_none() {
            let late: Vec<Fate> = work.deferred.iter().filter_map(fate).collect();
            notices.extend(self.tell(spool, Notice { about: &file, kind: Kind::Delayed, fates: &late })?);
            file.append_warned()?;
        }
        for (slot, status, text) in &work.deferred {
            file.append_deferred(*slot, *status, text)?;
        }
        if work.wish == Some(Wish::Hold) {
            spool.shift(work.id, Queue::Active, Queue::Hold)?;
            return Ok((Settled::Held, notices));
        }
        let next = next_try(self, work.id, file.arrival, now);
        spool.defer(work.id, Queue::Active, next)?;
        Ok((Settled::Deferred(next), notices))
    }

    fn tell(&self, spool: &Spool, notice: Notice<'_>) -> io::Result<Option<QueueId>> {
        let Notice { about, kind, fates } = notice;
        let wanted: Vec<Fate> = fates.iter().filter(|fate| kind.is_wanted(&fate.recipient)).cloned().collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let id = self.sender.send(spool, Notice { fates: &wanted, ..notice })?;
        if let Some(id) = id {
            tracing::info!("{}: {}: {id}", about.id, kind.logged());
        }
        Ok(id)
    }
}

/// All recipients, those too that are not in the file yet.
fn recipients(file: &QueueFile, notes: &Notes) -> Vec<mail::Recipient> {
    let more = notes.expanded.iter().flat_map(|(.., into)| into);
    file.slots.iter().map(|slot| &slot.recipient).chain(more).cloned().collect()
}

/// Writes what is not in the file yet, synced.
///
/// # Errors
/// The disk's.
pub fn note(file: &mut QueueFile, notes: Notes) -> io::Result<()> {
    for (slot, first, into) in notes.expanded {
        // After a write that failed the numbers here and in the file differ: a record would then speak of somebody else.
        if file.slots.len() != first {
            return Err(io::Error::other("an earlier record is missing"));
        }
        file.append_expanded(slot, into)?;
    }
    if notes.sent.is_empty() { Ok(()) } else { file.append_done(&notes.sent) }
}
