//! The name of a client, for the log and the Received field.
//!
//! A name counts only if it leads back to the address. Look-ups are kept a minute; at most a few run at a time, each for
//! [`PATIENCE`] at most: whoever cannot be looked up by then is `unknown`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail::Domain;
use tokio::sync::Semaphore;

/// Looks names up and remembers them.
pub(super) struct Names {
    known: Mutex<HashMap<IpAddr, (String, Instant)>>,
    at_once: Arc<Semaphore>,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: Mutex::default(), at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Names {
    /// The client's name, or `unknown`.
    pub(super) async fn of(&self, address: IpAddr) -> String {
        if let Some((name, _)) = self.known().get(&address).filter(|(_, since)| since.elapsed() < KEPT) {
            return name.clone();
        }
        let lookup = async {
            let permit = self.at_once.clone().acquire_owned().await.ok()?;
            let found = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                look_up(address)
            });
            found.await.ok()?
        };
        let name = tokio::time::timeout(PATIENCE, lookup).await.ok().flatten().unwrap_or_else(|| "unknown".into());
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, (_, since)| since.elapsed() < KEPT);
        }
        if known.len() < MOST {
            known.insert(address, (name.clone(), Instant::now()));
        }
        name
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, (String, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_up(address: IpAddr) -> Option<String> {
    let name = dns_lookup::lookup_addr(&address).ok()?;
    // Without a name the address itself comes back; and what comes from the net must look like a name.
    if name.parse::<IpAddr>().is_ok() || Domain::parse(&name).is_err() || name.starts_with('[') {
        return None;
    }
    let mut back = dns_lookup::lookup_host(&name).ok()?;
    back.any(|found| found.to_canonical() == address).then(|| name.trim_end_matches('.').to_owned())
}

const PATIENCE: Duration = Duration::from_secs(2);
const KEPT: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loopback_has_a_name_without_a_name_server_and_nobody_waits_long() {
        let names = Names::default();
        let loopback = "127.0.0.1".parse().expect("address");
        assert_eq!(names.of(loopback).await, "localhost");
        assert_eq!(names.known().len(), 1);
        let since = Instant::now();
        // RFC 5737: an address nobody has.
        assert_eq!(names.of("192.0.2.1".parse().expect("address")).await, "unknown");
        assert!(since.elapsed() < PATIENCE * 2);
    }
}
