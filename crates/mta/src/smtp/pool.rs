//! Connections that rest for some seconds, to be used again by the next message for the same next hop, login
//! and TLS policy.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use handover::relay::Hop;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::courier::Parcel;
use super::policy::Policy;

/// Which messages may share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) hop: Hop,
    /// Who we are there.
    pub(super) user: Option<String>,
    /// What was asked of TLS: a table that asks for more is not answered with an older connection.
    pub(super) policy: Policy,
}

/// A connection at rest.
#[derive(Clone, Debug)]
pub(super) struct Warm {
    pub(super) number: u64,
    /// Takes the next message.
    pub(super) mail: Sender<Parcel>,
    /// Whose it is.
    pub(super) address: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    resting: Mutex<HashMap<Key, Vec<Warm>>>,
    numbers: AtomicU64,
    /// Nothing rests any more.
    pub(super) closed: CancellationToken,
}

impl Pool {
    /// A number for a new connection.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The one that came to rest last: the others may go.
    pub(super) fn take(&self, key: &Key) -> Option<Warm> {
        let mut resting = self.lock();
        let list = resting.get_mut(key)?;
        let warm = list.pop();
        if list.is_empty() {
            resting.remove(key);
        }
        warm
    }

    /// Rests until it is taken or leaves.
    pub(super) fn rest(&self, key: &Key, warm: Warm) {
        self.lock().entry(key.clone()).or_default().push(warm);
    }

    /// It is gone.
    pub(super) fn leave(&self, key: &Key, number: u64) {
        let mut resting = self.lock();
        if let Some(list) = resting.get_mut(key) {
            list.retain(|warm| warm.number != number);
            if list.is_empty() {
                resting.remove(key);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Vec<Warm>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Level;
    use super::*;

    #[test]
    fn the_last_to_rest_is_the_first_to_go() {
        let pool = Pool::default();
        let key = Key { hop: Hop::default(), user: None, policy: Policy::at(Level::May) };
        let stricter = Key { policy: Policy::at(Level::Secure), ..key.clone() };
        let other = Key { user: Some("kevin".into()), ..key.clone() };
        let (mail, _parcels) = tokio::sync::mpsc::channel(1);
        for _ in 0..3 {
            pool.rest(&key, Warm { number: pool.number(), mail: mail.clone(), address: String::new() });
        }
        assert!(pool.take(&other).is_none() && pool.take(&stricter).is_none());
        assert_eq!(pool.take(&key).map(|warm| warm.number), Some(2));
        pool.leave(&key, 0);
        assert_eq!(pool.take(&key).map(|warm| warm.number), Some(1));
        assert!(pool.take(&key).is_none());
        assert!(pool.lock().is_empty());
    }
}
