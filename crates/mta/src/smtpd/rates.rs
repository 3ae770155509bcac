//! How much one client may ask for in a time (`smtpd_client_connection_rate_limit` and its like; Postfix: anvil(8)).
//!
//! The counts are of this process: a new start begins anew. Addresses that have been silent for the time are forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::{Config, Networks};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Connection,
    Message,
    Recipient,
}

/// The settings; 0: any number.
pub(super) struct Limits {
    unit: Duration,
    most: [u64; EVENTS],
    /// `smtpd_client_connection_count_limit`
    pub(super) sessions: usize,
    exceptions: Networks,
}

/// What each client has asked for.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<IpAddr, Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    counts: [u64; EVENTS],
}

impl Event {
    /// As in the log line about a limit.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Connection => "Connection",
            Self::Message => "Message delivery request",
            Self::Recipient => "Recipient address",
        }
    }
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        let names = [
            "smtpd_client_connection_rate_limit",
            "smtpd_client_message_rate_limit",
            "smtpd_client_recipient_rate_limit",
        ];
        Self {
            unit: config.time("anvil_rate_time_unit"),
            most: names.map(|name| config.number(name)),
            sessions: usize::try_from(config.number("smtpd_client_connection_count_limit")).unwrap_or(usize::MAX),
            exceptions: config.networks("smtpd_client_event_limit_exceptions"),
        }
    }

    /// Limits are not for this client.
    pub(super) fn excepts(&self, client: IpAddr) -> bool {
        self.exceptions.contains(client)
    }

    const fn most(&self, event: Event) -> u64 {
        self.most[event as usize]
    }

    /// Events of this kind are counted.
    pub(super) const fn counts(&self, event: Event) -> bool {
        self.most(event) > 0
    }
}

impl Rates {
    /// Counts an event; when there were too many, how many there were.
    pub(super) fn exceeded(&self, event: Event, client: IpAddr, limits: &Limits) -> Option<u64> {
        self.exceeded_at(Instant::now(), (event, client), limits)
    }

    fn exceeded_at(&self, now: Instant, (event, client): (Event, IpAddr), limits: &Limits) -> Option<u64> {
        if !limits.counts(event) || limits.excepts(client) {
            return None;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, window| now.duration_since(window.since) < limits.unit);
        }
        let fresh = Window { since: now, counts: [0; EVENTS] };
        let window = all.entry(client).or_insert(fresh);
        if now.duration_since(window.since) >= limits.unit {
            *window = fresh;
        }
        let count = &mut window.counts[event as usize];
        *count += 1;
        (*count > limits.most(event)).then_some(*count)
    }
}

const EVENTS: usize = 3;
/// Clients remembered before those that have been silent are forgotten.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_count_of_each_event_in_each_time() {
        let text = "smtpd_client_message_rate_limit: 2\nsmtpd_client_recipient_rate_limit: 1\nmynetworks: 10.0.0.0/8\n";
        let config = Config::parse(std::path::Path::new("/nowhere"), text).expect("configuration");
        let (limits, rates, start) = (Limits::of(&config), Rates::default(), Instant::now());
        let count = |event, client: &str, seconds| {
            let client = client.parse().expect("an address");
            rates.exceeded_at(start + Duration::from_secs(seconds), (event, client), &limits)
        };
        let message = |client, seconds| count(Event::Message, client, seconds);
        assert_eq!([message("192.0.2.1", 0), message("192.0.2.1", 1), message("192.0.2.1", 59)], [None, None, Some(3)]);
        assert_eq!((message("192.0.2.2", 59), message("192.0.2.1", 60)), (None, None));
        assert_eq!(
            (count(Event::Recipient, "192.0.2.2", 59), count(Event::Recipient, "192.0.2.2", 59)),
            (None, Some(2))
        );
        assert!((0..9).all(|_| message("10.1.1.1", 0).is_none() && count(Event::Connection, "192.0.2.1", 0).is_none()));
    }
}
