//! Connections that rest for some seconds, to be used again by the next message for the same next hop and TLS policy with
//! the same login.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use handover::relay::Hop;
use smtp::client::Host;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::courier::Parcel;
use super::policy::Policy;

/// Which messages may share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) hop: Hop,
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
    pub(super) host: Host,
    /// Who we are there: only messages of the same login may follow.
    pub(super) user: Option<String>,
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

    /// The one that came to rest last of those that fit: the others may go.
    pub(super) fn take(&self, key: &Key, fits: impl Fn(&Warm) -> bool) -> Option<Warm> {
        let mut resting = self.lock();
        let list = resting.get_mut(key)?;
        let warm = list.iter().rposition(fits).map(|place| list.remove(place));
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
        let key = Key { hop: Hop::default(), policy: Policy::at(Level::May) };
        let stricter = Key { policy: Policy::at(Level::Secure), ..key.clone() };
        let host = Host { name: "mx".into(), address: String::new() };
        let (mail, _parcels) = tokio::sync::mpsc::channel(1);
        for _ in 0..3 {
            let warm = Warm { number: pool.number(), mail: mail.clone(), host: host.clone(), user: None };
            pool.rest(&key, warm);
        }
        let any = |_: &Warm| true;
        assert!(pool.take(&stricter, any).is_none());
        assert!(pool.take(&key, |warm| warm.user.is_some()).is_none());
        assert_eq!(pool.take(&key, any).map(|warm| warm.number), Some(2));
        pool.leave(&key, 0);
        assert_eq!(pool.take(&key, any).map(|warm| warm.number), Some(1));
        assert!(pool.take(&key, any).is_none());
        assert!(pool.lock().is_empty());
    }
}
