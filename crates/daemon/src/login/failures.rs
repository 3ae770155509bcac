//! Wrong passwords per address: how long the answer to the next one waits.
//!
//! The first few wait the plain failure delay, as people mistype; then it doubles up to [`LONGEST`]. An IPv6 client is
//! its /64. The table is bounded: when full, the oldest entries are forgotten first. This machine itself is never
//! slowed down further, because webmail logs all its users in from here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The table.
#[derive(Debug)]
pub(crate) struct Failures {
    delay: Duration,
    seen: HashMap<IpAddr, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    count: u32,
    last: Instant,
}

impl Failures {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { delay, seen: HashMap::new() }
    }

    /// Notes a wrong password at `now`; says how long after the question the answer may go.
    pub(crate) fn wrong(&mut self, address: IpAddr, now: Instant) -> Duration {
        if address.to_canonical().is_loopback() {
            return self.delay;
        }
        if self.seen.len() >= MOST {
            self.forget(now);
        }
        let seen = self.seen.entry(network(address)).or_insert(Seen { count: 0, last: now });
        if now.duration_since(seen.last) > MEMORY {
            seen.count = 0;
        }
        *seen = Seen { count: seen.count.saturating_add(1), last: now };
        let doublings = seen.count.saturating_sub(FREE).min(8);
        (self.delay * 2u32.pow(doublings)).min(LONGEST.max(self.delay))
    }

    /// A right password makes up for the wrong ones.
    pub(crate) fn right(&mut self, address: IpAddr) {
        self.seen.remove(&network(address));
    }

    fn forget(&mut self, now: Instant) {
        self.seen.retain(|_, seen| now.duration_since(seen.last) <= MEMORY);
        if self.seen.len() >= MOST {
            let mut times: Vec<Instant> = self.seen.values().map(|seen| seen.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            self.seen.retain(|_, seen| seen.last > middle);
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

/// Wrong passwords that cost no more than the plain delay.
const FREE: u32 = 3;
/// No answer waits longer.
const LONGEST: Duration = Duration::from_secs(15);
/// After this long without another one, all is forgotten.
const MEMORY: Duration = Duration::from_secs(600);
/// Addresses remembered.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_and_is_forgotten() {
        let mut failures = Failures::new(Duration::from_secs(2));
        let (address, now) = (IpAddr::from([192, 0, 2, 1]), Instant::now());
        let waits: Vec<u64> = (0..8).map(|_| failures.wrong(address, now).as_secs()).collect();
        assert_eq!(waits, [2, 2, 2, 4, 8, 15, 15, 15]);
        assert_eq!(failures.wrong(IpAddr::from([192, 0, 2, 2]), now).as_secs(), 2);
        assert_eq!(failures.wrong(address, now + MEMORY + Duration::from_secs(1)).as_secs(), 2);
        failures.right(address);
        assert_eq!(failures.wrong(address, now).as_secs(), 2);
    }

    #[test]
    fn this_machine_is_not_slowed_down() {
        let mut failures = Failures::new(Duration::from_secs(2));
        let waits = (0..9).map(|_| failures.wrong(IpAddr::from([127, 0, 0, 1]), Instant::now()).as_secs());
        assert_eq!(waits.max(), Some(2));
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_the_table_is_bounded() {
        let mut failures = Failures::new(Duration::from_secs(2));
        let now = Instant::now();
        for host in 0..50_000u32 {
            let [a, b] = [(host >> 16) as u16, host as u16];
            failures.wrong(IpAddr::from([0x2001, 0xdb8, 1, 1, 0, 0, a, b]), now);
            failures.wrong(IpAddr::from([0x2001, 0xdb8, a, b, 0, 0, 0, 1]), now + Duration::from_millis(host.into()));
        }
        assert!(failures.seen.len() <= MOST);
    }
}
