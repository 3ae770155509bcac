//! How many sessions there may be, in all and per client; and who goes when there is no room.
//!
//! Promise: a new client gets in within the time of one goodbye as long as any session is *unsettled* (nobody is logged
//! in, nothing is being stored): the one that has been silent longest is evicted for it. Settled sessions stay.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

/// All sessions of a program.
#[derive(Debug)]
pub struct Sessions {
    most: usize,
    most_per_peer: usize,
    since: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    sessions: HashMap<u64, Arc<Place>>,
    per_peer: HashMap<IpAddr, usize>,
    evicted: usize,
}

#[derive(Debug)]
struct Place {
    /// Milliseconds after `Sessions::since` at which the client last said something.
    heard: AtomicU64,
    state: AtomicU8,
    leave: CancellationToken,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This client has its share.
    Peer,
    /// All places are taken by sessions that may not be evicted.
    All,
}

/// One session's place; dropping it frees it.
#[derive(Debug)]
pub struct Pass {
    number: u64,
    peer: IpAddr,
    place: Arc<Place>,
    sessions: Arc<Sessions>,
}

impl Sessions {
    /// Places for `most` sessions, `most_per_peer` (0: no limit) of them from one address.
    #[must_use]
    pub fn new(most: usize, most_per_peer: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), most_per_peer, since: Instant::now(), table: Mutex::default() })
    }

    /// A place for a client of `peer`, evicting another session if there is no free one.
    ///
    /// # Errors
    /// When there is none to be had: refuse the client with a temporary error.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Pass, Full> {
        self.admit(peer, self.most_per_peer)
    }

    /// As [`Sessions::enter`], with another limit per address; 0: none.
    ///
    /// # Errors
    /// As [`Sessions::enter`].
    pub fn enter_up_to(self: &Arc<Self>, most: usize, peer: IpAddr) -> Result<Pass, Full> {
        self.admit(peer, most)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().sessions.len()
    }

    fn admit(self: &Arc<Self>, peer: IpAddr, most_per_peer: usize) -> Result<Pass, Full> {
        let mut table = self.table();
        if most_per_peer > 0 && table.per_peer.get(&peer).is_some_and(|count| *count >= most_per_peer) {
            return Err(Full::Peer);
        }
        if table.sessions.len() - table.evicted >= self.most {
            let silent = table.sessions.values().filter(|place| place.state.load(Ordering::Relaxed) == UNSETTLED);
            let oldest = silent.min_by_key(|place| place.heard.load(Ordering::Relaxed)).cloned().ok_or(Full::All)?;
            oldest.state.store(EVICTED, Ordering::Relaxed);
            oldest.leave.cancel();
            table.evicted += 1;
        }
        let number = table.next;
        table.next += 1;
        let place =
            Arc::new(Place { heard: self.now().into(), state: UNSETTLED.into(), leave: CancellationToken::new() });
        table.sessions.insert(number, place.clone());
        *table.per_peer.entry(peer).or_default() += 1;
        Ok(Pass { number, peer, place, sessions: self.clone() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Pass {
    /// The client said something.
    pub fn heard(&self) {
        self.place.heard.store(self.sessions.now(), Ordering::Relaxed);
    }

    /// From now on this session is not evicted: somebody logged in, or a message is being stored.
    pub fn settle(&self) {
        let _ = self.place.state.compare_exchange(UNSETTLED, SETTLED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// It may be evicted again.
    pub fn unsettle(&self) {
        let _ = self.place.state.compare_exchange(SETTLED, UNSETTLED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Cancelled when the session is to give up its place.
    #[must_use]
    pub fn leave(&self) -> &CancellationToken {
        &self.place.leave
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        table.sessions.remove(&self.number);
        if self.place.state.load(Ordering::Relaxed) == EVICTED {
            table.evicted -= 1;
        }
        if let Some(count) = table.per_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                table.per_peer.remove(&self.peer);
            }
        }
    }
}

/// Raises the limit of open descriptors as far as allowed and returns it.
#[must_use]
pub fn raise_descriptors() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let wanted = hard.min(MOST_DESCRIPTORS).max(soft);
    let got = if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(got).unwrap_or(usize::MAX)
}

/// How many sessions of `each` descriptors fit below `descriptors`, some being kept back.
#[must_use]
pub fn sessions_for(descriptors: usize, each: usize) -> usize {
    (descriptors.saturating_sub(KEPT_BACK.min(descriptors / 2)) / each.max(1)).max(1)
}

const UNSETTLED: u8 = 0;
const SETTLED: u8 = 1;
const EVICTED: u8 = 2;
const KEPT_BACK: usize = 64;
const MOST_DESCRIPTORS: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_longest_silent_unsettled_one_goes() {
        let sessions = Sessions::new(2, 0);
        let first = sessions.enter(PEER).expect("first");
        let second = sessions.enter(PEER).expect("second");
        first.place.heard.store(9, Ordering::Relaxed);
        second.place.heard.store(5, Ordering::Relaxed);
        let third = sessions.enter(PEER).expect("third");
        assert!(second.leave().is_cancelled() && !first.leave().is_cancelled());
        first.settle();
        third.settle();
        assert_eq!(sessions.enter(PEER).expect_err("full"), Full::All);
        drop(second);
        assert_eq!(sessions.count(), 2);
        drop(first);
        assert!(sessions.enter(PEER).is_ok());
    }

    #[test]
    fn one_client_has_its_share_only() {
        let sessions = Sessions::new(10, 1);
        let first = sessions.enter(PEER).expect("first");
        assert_eq!(sessions.enter(PEER).expect_err("share"), Full::Peer);
        assert!(sessions.enter_up_to(0, PEER).is_ok());
        drop(first);
        assert!(sessions.enter(PEER).is_ok());
    }
}
