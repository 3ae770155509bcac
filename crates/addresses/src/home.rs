//! What is ours, as far as tables of addresses care.

use std::collections::HashSet;

use config::{Config, Destinations};
use mail::{Address, Domain};
use tables::View;
use tables::address::{Hit, Key};

/// Our domains, and how local parts are divided.
#[derive(Debug)]
pub(crate) struct Home {
    destinations: Destinations,
    pub(crate) origin: Domain,
    delimiters: String,
    propagate: HashSet<String>,
}

impl Home {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            destinations: config.destinations(),
            origin: Domain::parse(config.text("myorigin"))
                .or_else(|_| Domain::parse(config.text("myhostname")))
                .or_else(|_| Domain::parse("localhost"))
                .expect("localhost is a domain"),
            delimiters: config.text("recipient_delimiter").to_owned(),
            propagate: config.list("propagate_unmatched_extensions").into_iter().collect(),
        }
    }

    pub(crate) fn is_destination(&self, domain: &Domain) -> bool {
        self.destinations.contains(domain.as_str())
    }

    /// Whether tables may leave this domain out: it is delivered here, or added to names that have none.
    fn is_ours(&self, domain: &Domain) -> bool {
        *domain == self.origin || self.is_destination(domain)
    }

    /// Whether results get the extension the table did not see (`propagate_unmatched_extensions`).
    pub(crate) fn propagates(&self, to: &str) -> bool {
        self.propagate.contains(to)
    }
}

/// A table, asked by the rules of our home.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) home: &'a Home,
    pub(crate) view: &'a View,
}

impl Look<'_> {
    /// What the table says of the address, or of what it is without its extension, or of its domain.
    pub(crate) fn find(self, address: &Address) -> Option<Hit> {
        if self.view.is_empty() {
            return None;
        }
        let domain = address.domain();
        let key = Key {
            local: address.local(),
            domain: domain.map_or("", Domain::as_str),
            is_ours: domain.is_none_or(|domain| self.home.is_ours(domain)),
            delimiters: &self.home.delimiters,
        };
        key.find(self.view)
    }
}
