//! What the configuration says, resolved once for all sessions that begin under it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use config::{Config, Destinations, Networks};
use mail::{Domain, OldForms};
use smtp::server::{Auth, Client, Limits, Policy, Settings};

use crate::control::Service;

/// The rules of a session.
pub(super) struct Rules {
    pub(super) hostname: String,
    banner: String,
    pub(super) origin: Domain,
    pub(super) my_networks: Networks,
    line_feeds: LineFeeds,
    helo_required: bool,
    pub(super) forbid_pipelining: bool,
    discarded: Vec<String>,
    destinations: Destinations,
    relay_domains: HashSet<String>,
    /// Whose waiting mail anybody may start.
    flush_domains: HashSet<String>,
    /// Domains of mailboxes that are not users of this machine.
    mailbox_domains: HashSet<String>,
    tls: TlsLevel,
    auth: Auth,
    /// Who may send passwords in clear for submission, besides clients on this machine.
    trusted_logins: Networks,
    vrfy: bool,
    limits: Limits,
    pub(super) timeout: Duration,
    pub(super) delimiter: String,
    /// `luser_relay` takes whom nobody knows.
    pub(super) everybody_exists: bool,
    pub(super) hop_limit: usize,
    pub(super) duplicate_limit: usize,
    /// Octets the disk must have left.
    pub(super) least_space: u64,
    pub(super) soft_bounce: bool,
    forms: OldForms,
    /// Missing header fields are added for everybody (`always_add_missing_headers`).
    pub(super) complete_always: bool,
    /// Completes bare names in header fields of mail from outside.
    pub(super) remote_domain: Option<String>,
}

/// What STARTTLS is (`smtpd_tls_security_level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsLevel {
    None,
    May,
    Encrypt,
}

impl Rules {
    pub(super) fn of(config: &Config) -> Self {
        let hostname = config.text("myhostname").to_owned();
        let banner = config.text("smtpd_banner");
        let banner = banner.strip_prefix(&hostname).unwrap_or(banner).trim_start().to_owned();
        let origin = Domain::parse(config.text("myorigin"))
            .or_else(|_| Domain::parse(&hostname))
            .or_else(|_| Domain::parse("localhost"))
            .expect("localhost is a domain");
        let size = config.bytes("message_size_limit");
        Self {
            hostname,
            banner,
            origin,
            my_networks: config.networks("mynetworks"),
            line_feeds: if config.flag("smtpd_forbid_bare_newline") {
                LineFeeds::From(config.networks("smtpd_forbid_bare_newline_exclusions"))
            } else {
                LineFeeds::Everybody
            },
            helo_required: config.flag("smtpd_helo_required"),
            forbid_pipelining: config.flag("smtpd_forbid_unauth_pipelining"),
            discarded: config.list("smtpd_discard_ehlo_keywords"),
            destinations: config.destinations(),
            relay_domains: domains(config, "relay_domains"),
            flush_domains: domains(config, "fast_flush_domains"),
            mailbox_domains: domains(config, "virtual_mailbox_domains"),
            tls: match config.text("smtpd_tls_security_level") {
                "none" => TlsLevel::None,
                "encrypt" => TlsLevel::Encrypt,
                _ => TlsLevel::May,
            },
            auth: auth(config),
            trusted_logins: config.networks("login_trusted_networks"),
            vrfy: !config.flag("disable_vrfy_command"),
            limits: limits(config),
            timeout: config.time("smtpd_timeout"),
            delimiter: config.text("recipient_delimiter").to_owned(),
            everybody_exists: !config.text("luser_relay").is_empty(),
            hop_limit: count(config, "hopcount_limit"),
            duplicate_limit: count(config, "duplicate_filter_limit"),
            least_space: config.bytes("queue_minfree").max(size.saturating_add(size / 2)),
            soft_bounce: config.flag("soft_bounce"),
            forms: addresses::old_forms(config),
            complete_always: config.flag("always_add_missing_headers"),
            remote_domain: Some(config.text("remote_header_rewrite_domain").trim().to_owned())
                .filter(|domain| !domain.is_empty()),
        }
    }

    /// What the session machine is told.
    pub(super) fn settings(&self, service: Service, client: Client, visit: &Visit) -> Settings {
        let policy = Policy {
            in_my_networks: visit.trusted,
            line_feeds: match &self.line_feeds {
                LineFeeds::Everybody => true,
                LineFeeds::From(networks) => networks.contains(visit.address),
            },
            helo_required: self.helo_required,
            forbid_pipelining: self.forbid_pipelining && !visit.trusted,
            submission: service.is_submission(),
            tls_available: self.tls != TlsLevel::None && visit.tls_loaded,
            tls_required: self.tls == TlsLevel::Encrypt,
            auth: self.auth_of(service, visit),
            vrfy: self.vrfy,
            early_talker: visit.early_talker,
            counts_messages: visit.counts_messages,
            forms: self.forms,
            transcript: visit.transcript,
        };
        let policy = if service == Service::Reinject { from_filter(policy) } else { policy };
        // What a filter adds must not make a message too long that was not.
        let message_size = if service == Service::Reinject { 0 } else { self.limits.message_size };
        Settings {
            hostname: self.hostname.clone(),
            banner: self.banner.clone(),
            origin: self.origin.clone(),
            client,
            policy,
            limits: Limits { message_size, ..self.limits },
            discarded: self.discarded.clone(),
        }
    }

    /// As POP3 and IMAP have it: a webmail on this machine, or a trusted network, need not speak TLS to log in.
    fn auth_of(&self, service: Service, visit: &Visit) -> Auth {
        let secured = visit.address == visit.local || self.trusted_logins.contains(visit.address);
        match self.auth {
            Auth::UnderTls if secured && service == Service::Submission => Auth::Always,
            auth @ (Auth::Off | Auth::UnderTls | Auth::Always) => auth,
        }
    }

    /// Whether mail for this domain, or this address in brackets, is delivered here.
    pub(super) fn is_ours(&self, domain: &Domain) -> bool {
        self.destinations.contains(domain.as_str())
    }

    /// Whether the domain's mailboxes are kept elsewhere than with the users of this machine.
    pub(super) fn has_mailboxes(&self, domain: &Domain) -> bool {
        self.mailbox_domains.contains(domain.as_str())
    }

    /// Whether mail for this domain, or one above it, may pass through from anybody.
    pub(super) fn is_relayed(&self, domain: &Domain) -> bool {
        has_it_or_above(&self.relay_domains, domain)
    }

    /// Whether ETRN may start the mail for this domain.
    pub(super) fn may_flush(&self, domain: &Domain) -> bool {
        self.is_ours(domain) || has_it_or_above(&self.flush_domains, domain)
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.my_networks.contains(address)
    }
}

/// A filter is a program of this machine that gives back what was looked at already.
const fn from_filter(policy: Policy) -> Policy {
    Policy {
        in_my_networks: true,
        line_feeds: false,
        helo_required: false,
        forbid_pipelining: false,
        tls_available: false,
        tls_required: false,
        auth: Auth::Off,
        early_talker: false,
        counts_messages: false,
        ..policy
    }
}

fn has_it_or_above(list: &HashSet<String>, domain: &Domain) -> bool {
    let name = domain.as_str();
    let above = name.match_indices('.').map(|(at, _)| &name[at + 1..]);
    std::iter::once(name).chain(above).any(|name| list.contains(name))
}

/// Who may type whole sessions with bare line feeds.
enum LineFeeds {
    Everybody,
    From(Networks),
}

/// What is known of a client before it says anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub(super) address: IpAddr,
    /// Ours.
    pub(super) local: IpAddr,
    pub(super) trusted: bool,
    pub(super) early_talker: bool,
    pub(super) tls_loaded: bool,
    pub(super) counts_messages: bool,
    pub(super) transcript: bool,
}

fn domains(config: &Config, name: &str) -> HashSet<String> {
    config
        .list(name)
        .iter()
        .filter_map(|text| Domain::parse(text).ok())
        .map(|domain| domain.as_str().to_owned())
        .collect()
}

fn auth(config: &Config) -> Auth {
    match (config.flag("smtpd_sasl_auth_enable"), config.flag("smtpd_tls_auth_only")) {
        (false, _) => Auth::Off,
        (true, true) => Auth::UnderTls,
        (true, false) => Auth::Always,
    }
}

fn limits(config: &Config) -> Limits {
    let number = |name: &str| u32::try_from(config.number(name)).unwrap_or(u32::MAX);
    Limits {
        message_size: config.bytes("message_size_limit"),
        recipients: count(config, "smtpd_recipient_limit"),
        overshoot: count(config, "smtpd_recipient_overshoot_limit"),
        soft_errors: number("smtpd_soft_error_limit"),
        error_pause: config.time("smtpd_error_sleep_time"),
        hard_errors: number("smtpd_hard_error_limit"),
        junk_commands: number("smtpd_junk_command_limit"),
        line_length: usize::try_from(config.bytes("line_length_limit")).unwrap_or(usize::MAX),
    }
}

fn count(config: &Config, name: &str) -> usize {
    usize::try_from(config.number(name)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::of(&Config::parse(std::path::Path::new("/nowhere"), text).expect("configuration"))
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect(text)
    }

    #[test]
    fn domains_are_ours_relayed_or_foreign() {
        let rules = rules("mydestination: M3102.com, localhost\nrelay_domains: partner.example\n");
        assert!(rules.is_ours(&domain("m3102.COM")) && !rules.is_ours(&domain("sub.m3102.com")));
        assert!(rules.is_relayed(&domain("partner.example")) && rules.is_relayed(&domain("a.b.partner.example")));
        assert!(!rules.is_relayed(&domain("notpartner.example")) && !rules.is_relayed(&domain("example")));
    }

    #[test]
    fn the_banner_and_the_room_that_must_be_left() {
        let rules = rules("myhostname: vm.m3102.com\nmessage_size_limit: 1000\nqueue_minfree: 10\n");
        assert_eq!((rules.banner.as_str(), rules.least_space), ("ESMTP Facteur", 1500));
        let address = IpAddr::from([127, 0, 0, 1]);
        let visit = Visit {
            address,
            local: address,
            trusted: true,
            early_talker: false,
            tls_loaded: false,
            counts_messages: false,
            transcript: false,
        };
        let client = Client { name: "localhost".into(), address: "127.0.0.1".into() };
        let settings = rules.settings(Service::Smtp, client.clone(), &visit);
        assert!(!settings.policy.submission && !settings.policy.tls_available && settings.policy.in_my_networks);
        assert!(rules.settings(Service::Smtps, client, &visit).policy.submission);
    }

    #[test]
    fn who_may_type_line_feeds_and_who_may_hurry() {
        let seen = |text: &str, address: &str| {
            let rules = rules(text);
            let address: IpAddr = address.parse().expect(address);
            let local = IpAddr::from([127, 0, 0, 1]);
            let visit = Visit {
                address,
                local,
                trusted: rules.trusts(address),
                early_talker: false,
                tls_loaded: false,
                counts_messages: false,
                transcript: false,
            };
            let client = Client { name: "unknown".into(), address: address.to_string() };
            let policy = rules.settings(Service::Smtp, client, &visit).policy;
            (policy.line_feeds, policy.forbid_pipelining)
        };
        assert_eq!(seen("", "127.0.0.1"), (true, false));
        assert_eq!(seen("", "192.0.2.1"), (false, true));
        assert_eq!(seen("smtpd_forbid_bare_newline: no\n", "192.0.2.1"), (true, true));
        assert_eq!(seen("smtpd_forbid_bare_newline_exclusions: 192.0.2.1/32\n", "192.0.2.1"), (true, true));
        assert_eq!(seen("smtpd_forbid_bare_newline_exclusions: 192.0.2.1/32\n", "127.0.0.1"), (false, false));
        assert_eq!(seen("smtpd_forbid_unauth_pipelining: no\n", "192.0.2.1"), (false, false));
    }

    #[test]
    fn who_may_send_passwords_in_clear() {
        let auth = |text: &str, service, address: &str| {
            let address: IpAddr = address.parse().expect(address);
            let local = IpAddr::from([192, 0, 2, 1]);
            let visit = Visit {
                address,
                local,
                trusted: false,
                early_talker: false,
                tls_loaded: true,
                counts_messages: false,
                transcript: false,
            };
            let client = Client { name: "unknown".into(), address: address.to_string() };
            rules(text).settings(service, client, &visit).policy.auth
        };
        let trusting = "login_trusted_networks: 192.0.2.0/28\n";
        for (text, service, address, expected) in [
            ("", Service::Submission, "192.0.2.1", Auth::Always),
            ("", Service::Submission, "192.0.2.2", Auth::UnderTls),
            (trusting, Service::Submission, "192.0.2.2", Auth::Always),
            (trusting, Service::Submission, "192.0.2.16", Auth::UnderTls),
            (trusting, Service::Smtp, "192.0.2.2", Auth::UnderTls),
            ("smtpd_tls_auth_only: no\n", Service::Smtp, "192.0.2.2", Auth::Always),
            ("smtpd_sasl_auth_enable: no\n", Service::Submission, "192.0.2.1", Auth::Off),
        ] {
            assert_eq!(auth(text, service, address), expected, "{text} {service:?} {address}");
        }
    }

    #[test]
    fn our_networks_by_default_are_this_machine() {
        let rules = rules("");
        for (address, trusted) in [("127.0.0.9", true), ("::1", true), ("192.168.0.1", false), ("::2", false)] {
            assert_eq!(rules.trusts(address.parse().expect(address)), trusted, "{address}");
        }
    }
}
