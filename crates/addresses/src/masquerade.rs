//! `user@host.example.com` becomes `user@example.com` (`masquerade_domains`).

use config::Config;
use mail::{Address, Domain};

use crate::canonical::places;
use crate::{Place, Step, Trail};

/// The domains, where they apply, and to whom they do not.
#[derive(Debug)]
pub(crate) struct Settings {
    /// In order; `!` in front: what is below stays as it is.
    domains: Vec<String>,
    places: Vec<Place>,
    exceptions: Vec<String>,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        let small = |name: &str| config.list(name).iter().map(|word| word.to_lowercase()).collect();
        Self {
            domains: small("masquerade_domains"),
            places: places(&config.list("masquerade_classes")),
            exceptions: small("masquerade_exceptions"),
        }
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.domains.is_empty()
    }

    pub(crate) fn sees_headers(&self) -> bool {
        let header = |place: &Place| matches!(place, Place::HeaderSender | Place::HeaderRecipient);
        !self.is_idle() && self.places.iter().any(header)
    }

    pub(crate) fn apply(&self, place: Place, address: Address, trail: &mut Trail) -> Address {
        if self.is_idle() || !self.places.contains(&place) {
            return address;
        }
        let new = self.stripped(&address).and_then(|domain| Address::new(address.local(), Some(domain)).ok());
        let Some(new) = new else { return address };
        trail.push(Step {
            setting: "masquerade_domains",
            place: self.domains.join(", "),
            from: address.to_string(),
            to: new.to_string(),
        });
        new
    }

    fn stripped(&self, address: &Address) -> Option<Domain> {
        let domain = address.domain()?.as_str();
        if self.exceptions.contains(&address.local().to_lowercase()) {
            return None;
        }
        // The first domain that is above or the same decides.
        self.domains.iter().find_map(|written| {
            let (keep, parent) = match written.strip_prefix('!') {
                Some(parent) => (true, parent),
                None => (false, written.as_str()),
            };
            let above = domain.strip_suffix(parent)?;
            match (above, keep) {
                ("", _) => Some(None),
                (above, _) if !above.ends_with('.') => None,
                (_, true) => Some(None),
                (_, false) => Some(Domain::parse(parent).ok()),
            }
        })?
    }
}
