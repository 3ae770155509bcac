//! Through which content filter mail goes that comes in here, and what is done before it and what after
//! (`content_filter`, `receive_override_options`).
//!
//! Addresses are mapped once: before the filter, or, with `no_address_mappings`, when the mail comes back from it.

use config::Config;

use crate::control::Service;

/// The settings.
pub(super) struct Ways {
    server: Option<String>,
    submission: Option<String>,
    maps_after: bool,
    /// Recipients whom nobody knows are taken in our domains (`no_unknown_recipient_checks`).
    pub(super) anybody: bool,
}

impl Ways {
    pub(super) fn of(config: &Config) -> Self {
        let options = config.list("receive_override_options");
        let has = |name: &str| options.iter().any(|option| option == name);
        Self {
            server: filter(config, "content_filter"),
            submission: filter(config, "submission_content_filter"),
            maps_after: has("no_address_mappings"),
            anybody: has("no_unknown_recipient_checks"),
        }
    }

    /// `transport:next-hop`
    pub(super) fn filter(&self, service: Service) -> Option<&str> {
        match service {
            Service::Smtp => self.server.as_deref(),
            Service::Submission | Service::Smtps => self.submission.as_deref(),
            Service::Reinject => None,
        }
    }

    /// Canonical, virtual and bcc maps and masquerading are for this mail now.
    pub(super) const fn maps_addresses(&self, service: Service) -> bool {
        let filtered = match service {
            Service::Smtp => self.server.is_some(),
            Service::Submission | Service::Smtps => self.submission.is_some(),
            Service::Reinject => return self.maps_after,
        };
        !(filtered && self.maps_after)
    }
}

/// What a parameter names, if anything.
fn filter(config: &Config, name: &str) -> Option<String> {
    Some(config.text(name).trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(text: &str) -> Ways {
        Ways::of(&Config::parse(std::path::Path::new("/nowhere"), text).expect("configuration"))
    }

    #[test]
    fn addresses_are_mapped_once() {
        let both = |text: &str| {
            let ways = ways(text);
            [Service::Smtp, Service::Submission, Service::Reinject].map(|service| ways.maps_addresses(service))
        };
        let late = "receive_override_options: no_address_mappings\n";
        assert_eq!(both(""), [true, true, false]);
        assert_eq!(both(late), [true, true, true]);
        assert_eq!(both("content_filter: smtp:[127.0.0.1]:10024\n"), [true, true, false]);
        assert_eq!(both(&format!("content_filter: smtp:[127.0.0.1]:10024\n{late}")), [false, false, true]);
        let only = format!("content_filter: smtp:[127.0.0.1]:10024\nsubmission_content_filter: \"\"\n{late}");
        assert_eq!(both(&only), [false, true, true]);
    }

    #[test]
    fn services_have_filters_of_their_own_and_what_comes_back_has_none() {
        let ways = ways("content_filter: smtp:[127.0.0.1]:10024\nsubmission_content_filter: lmtp:unix:/f\n");
        let of = |service| ways.filter(service);
        assert_eq!(of(Service::Smtp), Some("smtp:[127.0.0.1]:10024"));
        assert_eq!(of(Service::Smtps), Some("lmtp:unix:/f"));
        assert_eq!(of(Service::Reinject), None);
    }
}
