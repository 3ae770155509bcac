//! What one session has not been told yet about the mailbox it has open.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use imap::question::{Access, Changes, Known};
use mail::{Flags, Uid};
use tokio::sync::Notify;

/// A session that follows a mailbox.
pub(crate) struct Follower {
    /// EXAMINE takes no recent marks.
    pub(crate) access: Access,
    pending: Mutex<Pending>,
    news: Notify,
}

/// Changes in the order of uids; each message is in at most one of them.
#[derive(Default)]
struct Pending {
    appeared: BTreeMap<Uid, Known>,
    flags: BTreeMap<Uid, Flags>,
    vanished: Vec<Uid>,
    lost: bool,
}

impl Follower {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, pending: Mutex::default(), news: Notify::new() }
    }

    /// A new message.
    pub(crate) fn appeared(&self, message: Known) {
        self.pending().appeared.insert(message.uid, message);
    }

    /// Other flags; for a message not yet told of, they are its first ones.
    pub(crate) fn flags(&self, uid: Uid, flags: &Flags) {
        let mut pending = self.pending();
        match pending.appeared.get_mut(&uid) {
            Some(message) => message.flags.clone_from(flags),
            None => drop(pending.flags.insert(uid, flags.clone())),
        }
    }

    /// A message is gone; one not yet told of never was.
    pub(crate) fn vanished(&self, uid: Uid) {
        let mut pending = self.pending();
        pending.flags.remove(&uid);
        if pending.appeared.remove(&uid).is_none() {
            pending.vanished.push(uid);
        }
    }

    /// The mailbox is not what it was.
    pub(crate) fn lost(&self) {
        self.pending().lost = true;
        self.news.notify_one();
    }

    /// The uids the session knows mean nothing any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.pending().lost
    }

    /// Wakes the session if there is something to tell.
    pub(crate) fn wake(&self) {
        let pending = self.pending();
        let nothing = pending.appeared.is_empty() && pending.flags.is_empty() && pending.vanished.is_empty();
        if !nothing {
            self.news.notify_one();
        }
    }

    /// Takes all there is to tell.
    pub(crate) fn take(&self) -> Changes {
        let Pending { appeared, flags, mut vanished, lost } = std::mem::take(&mut *self.pending());
        vanished.sort_unstable();
        Changes { appeared: appeared.into_values().collect(), flags: flags.into_iter().collect(), vanished, lost }
    }

    /// Returns when there is something to tell.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::new(number).expect("not zero")
    }

    #[test]
    fn a_message_that_came_and_went_is_not_told() {
        let follower = Follower::new(Access::Select);
        follower.appeared(Known { uid: uid(5), flags: Flags::default(), recent: true });
        follower.flags(uid(4), &Flags::default());
        follower.vanished(uid(5));
        follower.vanished(uid(4));
        let changes = follower.take();
        assert_eq!((changes.appeared.len(), changes.flags.len(), changes.vanished), (0, 0, vec![uid(4)]));
        assert_eq!(follower.take(), Changes::default());
    }
}
