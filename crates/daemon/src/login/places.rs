//! How many sessions each user has from each address (`mail_max_userip_connections`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All places taken.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<(String, IpAddr), usize>>);

/// One place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    key: (String, IpAddr),
    places: Arc<Places>,
}

impl Places {
    /// A place for `user` from `address`, if fewer than `most` are taken.
    pub(crate) fn take(self: &Arc<Self>, user: &str, address: IpAddr, most: usize) -> Option<Place> {
        let key = (user.to_owned(), address.to_canonical());
        let mut table = self.table();
        let taken = table.entry(key.clone()).or_default();
        if *taken >= most {
            return None;
        }
        *taken += 1;
        Some(Place { key, places: self.clone() })
    }

    fn table(&self) -> MutexGuard<'_, HashMap<(String, IpAddr), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        if let Some(taken) = table.get_mut(&self.key) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                table.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_per_user_and_address() {
        let places = Arc::new(Places::default());
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let first = places.take("kevin", here, 1);
        assert!(first.is_some());
        assert!(places.take("kevin", here, 1).is_none());
        assert!(places.take("kevin", there, 1).is_some());
        assert!(places.take("foo", here, 1).is_some());
        drop(first);
        assert!(places.take("kevin", here, 1).is_some());
        assert!(places.table().is_empty());
    }
}
