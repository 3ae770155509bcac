//! From a next hop to the hosts that are tried for it.

use std::hash::{BuildHasher, RandomState};

use handover::Outcome;
use mail::EnhancedStatus;

use super::answers::Exchanger;
use super::hop::{Place, Target};
use super::hosts::{Candidate, Found, Loop, arrange};
use super::names::{Miss, Names, Why};
use super::settings::Finding;

/// Why there is no host to try.
#[derive(Debug)]
pub(super) enum Lost {
    /// For now, and for all mail there.
    Missed(EnhancedStatus, String),
    /// For good.
    Ruled(Outcome),
}

impl Finding {
    /// The hosts for a place other than a socket, the best first.
    pub(super) async fn hosts(&self, names: &Names, target: &Target) -> Result<Vec<Candidate>, Lost> {
        let (found, domain) = match &target.place {
            Place::Socket(_) => return Ok(Vec::new()),
            Place::Address(address) => {
                let name = address.to_string();
                return Ok(vec![Candidate { name, address: *address, preference: 0, best: true }]);
            }
            Place::Host(name) => (self.host(names, name, 0).await.map_err(|miss| lost(&miss))?, name),
            Place::Domain(name) => (self.domain(names, name).await?, name),
        };
        let may_loop = target.port == self.own_port && is_domain(target);
        let own = if may_loop { self.interfaces.addresses() } else { Vec::new() };
        let seed = RandomState::new().hash_one(domain);
        arrange(found, &own, &self.choice, seed).map_err(|why| match why {
            Loop::Best => ruled(EnhancedStatus::new(5, 4, 6), format!("mail for {domain} loops back to myself")),
            Loop::NoPrimary => {
                let text = format!("unable to find primary relay for {domain}");
                Lost::Missed(EnhancedStatus::new(4, 4, 4), text)
            }
        })
    }

    async fn domain(&self, names: &Names, domain: &str) -> Result<Found, Lost> {
        match names.exchangers(domain).await {
            Ok(list) if list.iter().all(|one| one.name.is_empty()) => {
                let text = format!("Domain {domain} does not accept mail (nullMX)");
                Err(ruled(EnhancedStatus::new(5, 1, 10), text))
            }
            Ok(list) => self.exchangers(names, domain, list).await,
            Err(Miss { why: Why::NoData, .. }) => self.host(names, domain, 0).await.map_err(|miss| lost(&miss)),
            // A machine without DNS may still know its neighbours.
            Err(Miss { why: Why::NoName, .. }) if names.is_in_hosts(domain) => {
                self.host(names, domain, 0).await.map_err(|miss| lost(&miss))
            }
            Err(miss) if miss.why == Why::Again && self.ignore_mx_error => {
                self.host(names, domain, 0).await.map_err(|miss| lost(&miss))
            }
            Err(miss) => Err(lost(&miss)),
        }
    }

    /// The addresses of all exchangers; those without one are left out.
    async fn exchangers(&self, names: &Names, domain: &str, mut list: Vec<Exchanger>) -> Result<Found, Lost> {
        list.retain(|one| !one.name.is_empty());
        list.sort_by_key(|one| one.preference);
        list.truncate(MOST_EXCHANGERS);
        let best = list.first().map_or(0, |one| one.preference);
        let (mut candidates, mut miss) = (Vec::new(), None::<Miss>);
        let looks = list.iter().map(|one| self.host(names, &one.name, one.preference));
        for found in all(looks).await {
            match found {
                Ok(found) => candidates.extend(found.candidates),
                Err(next) if miss.as_ref().is_none_or(|miss| next.why >= miss.why) => miss = Some(next),
                Err(_) => {}
            }
        }
        match miss {
            Some(mut miss) if candidates.is_empty() => {
                tracing::warn!("no MX host for {domain} has a valid address record");
                if self.defer_without_address {
                    miss.why = Why::Again;
                }
                Err(lost(&miss))
            }
            _ => Ok(Found { candidates, best }),
        }
    }

    async fn host(&self, names: &Names, name: &str, preference: u16) -> Result<Found, Miss> {
        let addresses = names.addresses(name, self.protocols).await?;
        let candidate = |address| Candidate { name: name.to_owned(), address, preference, best: false };
        Ok(Found { candidates: addresses.into_iter().map(candidate).collect(), best: preference })
    }
}

fn is_domain(target: &Target) -> bool {
    matches!(target.place, Place::Domain(_))
}

fn ruled(status: EnhancedStatus, text: String) -> Lost {
    Lost::Ruled(Outcome::Bounced(status, text))
}

fn lost(miss: &Miss) -> Lost {
    match miss.why {
        Why::Again => Lost::Missed(EnhancedStatus::new(4, 4, 3), miss.text()),
        Why::NoData | Why::NoName => ruled(EnhancedStatus::new(5, 4, 4), miss.text()),
    }
}

/// All of them at the same time.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut ready = true;
        for (future, found) in waiting.iter_mut().filter(|(_, found)| found.is_none()) {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => *found = Some(value),
                std::task::Poll::Pending => ready = false,
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, found)| found).collect()
}

/// Nobody needs more, and each costs a look-up.
const MOST_EXCHANGERS: usize = 20;
