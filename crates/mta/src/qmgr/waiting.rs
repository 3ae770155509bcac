//! Deferred messages, as qmgr holds them: when each is due, and for which destination it waits where that is known.
//!
//! A message in this life of the program that has nobody left but recipients of one next hop is tied to it. When it comes due
//! while that destination is left in peace it is put off again here, and its file is not touched.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use mail::QueueId;

use super::windows::Name;

/// What waits for its time: sixteen octets for each message, and its tie.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    heap: BinaryHeap<Reverse<(u64, QueueId)>>,
    ties: HashMap<QueueId, Name>,
}

impl Waiting {
    /// This one is due then.
    pub(super) fn push(&mut self, id: QueueId, due: SystemTime) {
        self.heap.push(Reverse((micros(due), id)));
    }

    /// This one waits for nobody but that destination.
    pub(super) fn tie(&mut self, id: QueueId, to: Name) {
        self.ties.insert(id, to);
    }

    /// Takes the next that is due, with its tie.
    pub(super) fn next(&mut self) -> Option<(QueueId, Option<Name>)> {
        let Reverse((due, id)) = *self.heap.peek()?;
        if due > micros(SystemTime::now()) {
            return None;
        }
        self.heap.pop();
        Some((id, self.ties.get(&id).cloned()))
    }

    /// It is taken up: its tie may change.
    pub(super) fn untie(&mut self, id: QueueId) {
        self.ties.remove(&id);
    }

    /// How many messages are tied to each destination.
    pub(super) fn tied(&self) -> HashMap<Name, usize> {
        let mut counts = HashMap::new();
        self.ties.values().for_each(|name| *counts.entry(Name::clone(name)).or_default() += 1);
        counts
    }

    /// How long until the next is due.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let Reverse((due, _)) = self.heap.peek()?;
        let due = SystemTime::UNIX_EPOCH + Duration::from_micros(*due);
        Some(due.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// All of them, whenever they are due.
    pub(super) fn take_all(&mut self) -> Vec<QueueId> {
        std::mem::take(&mut self.heap).into_iter().map(|Reverse((_, id))| id).collect()
    }

    /// The directory was listed. What was deferred since the list was made is kept; what is gone since is found out when it
    /// is due; what was put off here keeps its later time.
    pub(super) fn listed(&mut self, list: Vec<(QueueId, SystemTime)>, known: &HashSet<QueueId>) {
        let mut times: HashMap<QueueId, u64> = self.heap.drain().map(|Reverse((due, id))| (id, due)).collect();
        for (id, due) in list {
            let tied = self.ties.contains_key(&id);
            times
                .entry(id)
                .and_modify(|at| *at = if tied { (*at).max(micros(due)) } else { micros(due) })
                .or_insert_with(|| micros(due));
        }
        times.retain(|id, _| !known.contains(id));
        self.ties.retain(|id, _| times.contains_key(id) || known.contains(id));
        self.heap = times.into_iter().map(|(id, due)| Reverse((due, id))).collect();
    }
}

pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_with_its_tie_and_keeps_a_later_time() {
        let (now, id) = (SystemTime::now(), |number| QueueId::new(number, 0));
        let (past, future) = (now - Duration::from_secs(9), now + Duration::from_secs(900));
        let mut waiting = Waiting::default();
        waiting.push(id(1), past);
        waiting.push(id(2), future);
        waiting.tie(id(1), "smtp:x".into());
        assert_eq!(waiting.next(), Some((id(1), Some("smtp:x".into()))));
        assert_eq!(waiting.next(), None);
        // Put off here: the directory still has the old time.
        waiting.push(id(1), future);
        waiting.listed(vec![(id(1), past), (id(2), past), (id(3), past)], &HashSet::from([id(3)]));
        assert_eq!(waiting.next(), Some((id(2), None)));
        assert_eq!(waiting.next(), None);
        assert!(waiting.until_next().is_some_and(|time| time > Duration::from_secs(800)));
        waiting.untie(id(1));
        waiting.listed(vec![(id(1), past)], &HashSet::new());
        assert_eq!(waiting.next(), Some((id(1), None)));
    }
}
