//! Where the mail for an address goes: by which transport, and to which next hop (Postfix: trivial-rewrite(8), transport(5)).
//!
//! | the address's domain is in | transport | next hop |
//! |---|---|---|
//! | `mydestination`, or none, or one of our addresses in brackets | `local_transport` | – |
//! | an address without brackets | – | none: it is refused |
//! | `virtual_alias_domains` | – | none: whoever is an alias has become somebody else |
//! | `virtual_mailbox_domains` | `virtual_transport` | the domain |
//! | `relay_domains`, or below one of them | `relay_transport` | `sender_dependent_relayhost_maps`, `relayhost`, the domain |
//! | anything else | `default_transport` | the same |
//!
//! A transport that names its next hop itself (`smtp:[gate.example]`) overrides the third column, `transport_maps` the
//! second and third. A transport in `defer_transports` waits. What is decided depends on nothing but the configuration, the
//! tables and the two addresses; a table that cannot be read is a reason to wait, never another way.

use std::net::Ipv4Addr;

use config::{Config, Destinations};
use handover::Outcome;
use handover::relay::{Dialect, Hop};
use mail::{Address, EnhancedStatus};
use tables::{Found, Listed, Names, Tables, Trouble, View};

pub mod luser;
pub mod tls;

#[cfg(test)]
mod tests;

/// What is done with the mail for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Delivered on this machine.
    Local,
    /// Handed to this next hop.
    Relay {
        /// `smtp`, `relay` or `lmtp`, perhaps with a dash and more: [`dialect`].
        transport: String,
        /// Where to.
        hop: Hop,
    },
    /// Decided here and now: `error:`, `retry:`, `discard:`, or trouble of ours.
    Settled(Outcome),
    /// Put aside, with this reason: `hold:`.
    Hold(String),
}

/// A way, and which settings led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What is done.
    pub way: Way,
    /// Each setting that decided something: its name, or `file:line` of a table, and what it says. In the order asked.
    pub because: Vec<(String, String)>,
}

/// The settings about routes.
#[derive(Debug)]
pub struct Router {
    ours: Destinations,
    virtual_domains: Vec<String>,
    aliased: Names,
    relayed: Vec<String>,
    local: String,
    virtual_transport: String,
    relay: String,
    default: String,
    relayhost: String,
    deferred: Vec<String>,
    delimiter: String,
    maps: Tables,
    by_sender: Tables,
}

/// A transport and a next hop, as they stand in a setting; empty: not said.
struct Said<'a> {
    transport: &'a str,
    hop: &'a str,
}

impl<'a> Said<'a> {
    fn of(text: &'a str) -> Self {
        let (transport, hop) = text.split_once(':').unwrap_or((text, ""));
        Self { transport: transport.trim(), hop: hop.trim() }
    }
}

impl Router {
    /// From the configuration. No table is read yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let domains = |name: &str| config.list(name).iter().map(|domain| domain.to_lowercase()).collect();
        let transport = |name: &str| config.text(name).to_owned();
        Self {
            ours: config.destinations(),
            virtual_domains: domains("virtual_mailbox_domains"),
            aliased: config.names("virtual_alias_domains"),
            relayed: domains("relay_domains"),
            local: transport("local_transport"),
            virtual_transport: transport("virtual_transport"),
            relay: transport("relay_transport"),
            default: transport("default_transport"),
            relayhost: transport("relayhost"),
            deferred: config.list("defer_transports"),
            delimiter: config.text("recipient_delimiter").to_owned(),
            maps: config.tables("transport_maps"),
            by_sender: config.tables("sender_dependent_relayhost_maps"),
        }
    }

    /// The files that must be readable to decide.
    #[must_use]
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        [self.maps.files(), self.by_sender.files(), self.aliased.tables().files()].concat()
    }

    /// Where mail from `sender` (`None`: the null sender) for `recipient` goes.
    #[must_use]
    pub fn route(&self, sender: Option<&Address>, recipient: &Address) -> Route {
        let mut because = Because(Some(Vec::new()));
        let way = self.decide(sender, recipient, &mut because).unwrap_or_else(unknown);
        Route { way, because: because.0.unwrap_or_default() }
    }

    /// As [`Router::route`], without what led to it.
    #[must_use]
    pub fn way(&self, sender: Option<&Address>, recipient: &Address) -> Way {
        self.decide(sender, recipient, &mut Because(None)).unwrap_or_else(unknown)
    }

    /// Where mail for a content filter goes: `transport:next-hop` as in `content_filter`.
    #[must_use]
    pub fn filter(filter: &str, recipient: &Address) -> Way {
        let Said { transport, hop } = Said::of(filter);
        let domain = recipient.domain().map_or("", |domain| domain.as_str());
        by_name(transport, if hop.is_empty() { domain.to_owned() } else { hop.to_owned() })
    }

    fn decide(&self, sender: Option<&Address>, recipient: &Address, because: &mut Because) -> Result<Way, Trouble> {
        let domain = recipient.domain().map_or("", |domain| domain.as_str());
        let class = self.class(domain);
        if class != Class::Ours
            && let Some(listed) = self.aliased.find(domain)?
        {
            let place = match listed {
                Listed::Written => "virtual_alias_domains".to_owned(),
                Listed::In(found) => found.place(),
            };
            because.note(&place, domain);
            let text = "User unknown in virtual alias table".to_owned();
            return Ok(Way::Settled(Outcome::Bounced(EnhancedStatus::new(5, 1, 1), text)));
        }
        if matches!(class, Class::Relayed | Class::Other) && is_numeric(domain) {
            because.note("an address without brackets", domain);
            return Ok(Way::Settled(Outcome::Bounced(EnhancedStatus::new(5, 1, 3), "bad address syntax".to_owned())));
        }
        let chosen = match class {
            Class::Ours => &self.local,
            Class::Virtual => &self.virtual_transport,
            Class::Relayed => &self.relay,
            Class::Other => &self.default,
        };
        because.note(self.reason(class, domain), domain);
        let mut said = Said::of(chosen);
        because.note(class.setting(), chosen);
        // local delivers by user: what its next hop says is nobody's host.
        let mapped = if domain.is_empty() { None } else { self.mapped(recipient, because)? };
        let mapped = mapped.as_deref().map(Said::of);
        if let Some(Said { transport, hop }) = &mapped {
            if !transport.is_empty() {
                said = Said { transport, hop };
            } else if !hop.is_empty() {
                said.hop = hop;
            }
        }
        let maps_say = mapped.is_some_and(|mapped| !mapped.transport.is_empty());
        let hop = match said.hop {
            "" if matches!(class, Class::Relayed | Class::Other) && !maps_say => {
                self.next_hop(sender, domain, because)?
            }
            "" => domain.to_owned(),
            hop => hop.to_owned(),
        };
        Ok(self.by_transport(said.transport, hop))
    }

    /// Which setting says so; for an address, where it is ours.
    fn reason(&self, class: Class, domain: &str) -> &'static str {
        if class == Class::Ours && self.ours.has_as_address(domain) { "inet_interfaces" } else { class.reason() }
    }

    fn class(&self, domain: &str) -> Class {
        let has = |list: &[String]| list.iter().any(|name| name == domain);
        let below = |list: &[String]| parents(domain).any(|parent| list.iter().any(|name| name == parent));
        if domain.is_empty() || self.ours.contains(domain) {
            Class::Ours
        } else if has(&self.virtual_domains) {
            Class::Virtual
        } else if has(&self.relayed) || below(&self.relayed) {
            Class::Relayed
        } else {
            Class::Other
        }
    }

    /// What `transport_maps` says: for the address, without its extension, for the domain, for what is above it, for all.
    fn mapped(&self, recipient: &Address, because: &mut Because) -> Result<Option<String>, Trouble> {
        let view = self.maps.view()?;
        if view.is_empty() {
            return Ok(None);
        }
        let domain = recipient.domain().map_or("", |domain| domain.as_str());
        let local = recipient.local().to_lowercase();
        let (user, extension) = tables::address::split_extension(&local, &self.delimiter);
        let found = view
            .lookup(&format!("{local}@{domain}"))
            .or_else(|| if extension.is_empty() { None } else { view.lookup_part(&format!("{user}@{domain}")) })
            .or_else(|| view.lookup_part(domain))
            .or_else(|| parents(domain).find_map(|parent| view.lookup_part(&format!(".{parent}"))))
            .or_else(|| view.lookup_part("*"));
        Ok(found.map(|found| noted(found, because)))
    }

    fn next_hop(&self, sender: Option<&Address>, domain: &str, because: &mut Because) -> Result<String, Trouble> {
        let view = self.by_sender.view()?;
        if let Some(found) = self.for_sender(&view, sender) {
            match noted(found, because).as_str() {
                "DUNNO" => {}
                hop => return Ok(hop.to_owned()),
            }
        }
        if self.relayhost.is_empty() {
            return Ok(domain.to_owned());
        }
        because.note("relayhost", &self.relayhost);
        Ok(self.relayhost.clone())
    }

    /// By the sender's address and domain; the null sender is `<>`.
    fn for_sender(&self, view: &View, sender: Option<&Address>) -> Option<Found> {
        if view.is_empty() {
            return None;
        }
        let Some(sender) = sender else { return view.lookup("<>") };
        let local = sender.local().to_lowercase();
        let domain = sender.domain().map_or("", |domain| domain.as_str());
        let key = tables::address::Key {
            local: &local,
            domain,
            is_ours: self.class(domain) == Class::Ours,
            delimiters: &self.delimiter,
        };
        key.find(view).map(|hit| hit.found)
    }

    fn by_transport(&self, transport: &str, hop: String) -> Way {
        if self.deferred.iter().any(|name| name == transport) {
            let text = "deferred transport".to_owned();
            return Way::Settled(Outcome::Deferred(EnhancedStatus::new(4, 3, 2), text));
        }
        by_name(transport, hop)
    }
}

fn by_name(transport: &str, hop: String) -> Way {
    if let Some(dialect) = dialect(transport) {
        return relay(transport, hop, dialect);
    }
    match transport {
        "local" => Way::Local,
        "error" => Way::Settled(said(5, &hop, Outcome::Bounced)),
        "retry" => Way::Settled(said(4, &hop, Outcome::Deferred)),
        "discard" => Way::Settled(said(2, &hop, Outcome::Sent)),
        "hold" => Way::Hold(hop),
        _ => {
            let text = format!("mail transport unavailable: there is no transport \"{transport}\"");
            Way::Settled(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text))
        }
    }
}

/// Whether a domain is an address without its brackets, which is no domain of anybody (Postfix: `resolve_numeric_domain = no`).
#[must_use]
pub fn is_numeric(domain: &str) -> bool {
    domain.parse::<Ipv4Addr>().is_ok()
}

/// What a transport speaks that hands mail to next hops. As services in Postfix's `master.cf` have names of their own
/// (`smtp-amavis`), so may transports here: what stands behind a dash only tells them apart.
#[must_use]
pub fn dialect(transport: &str) -> Option<Dialect> {
    match transport.split_once('-').map_or(transport, |(kind, _)| kind) {
        "smtp" | "relay" => Some(Dialect::Smtp),
        "lmtp" => Some(Dialect::Lmtp),
        _ => None,
    }
}

/// What led to a way, for those who want to know.
struct Because(Option<Vec<(String, String)>>);

impl Because {
    fn note(&mut self, name: &str, value: &str) {
        if let Some(list) = &mut self.0 {
            list.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn unknown(Trouble(text): Trouble) -> Way {
    Way::Settled(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), format!("cannot look up the route: {text}")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Ours,
    Virtual,
    Relayed,
    Other,
}

impl Class {
    const fn reason(self) -> &'static str {
        match self {
            Self::Ours => "mydestination",
            Self::Virtual => "virtual_mailbox_domains",
            Self::Relayed => "relay_domains",
            Self::Other => "in no list of domains",
        }
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::Ours => "local_transport",
            Self::Virtual => "virtual_transport",
            Self::Relayed => "relay_transport",
            Self::Other => "default_transport",
        }
    }
}

fn relay(transport: &str, hop: String, dialect: Dialect) -> Way {
    // Names of hosts and domains compare without case; the path of a socket does not.
    let text = if hop.starts_with("unix:") { hop } else { hop.to_lowercase() };
    Way::Relay { transport: transport.to_owned(), hop: Hop { text, dialect } }
}

/// `5.7.1 text`, or `text` with the plainest status of its class.
fn said(class: u8, text: &str, outcome: fn(EnhancedStatus, String) -> Outcome) -> Outcome {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match EnhancedStatus::parse(first) {
        Some(status) if status.class == class => outcome(status, rest.trim().to_owned()),
        _ => outcome(EnhancedStatus::new(class, 0, 0), text.to_owned()),
    }
}

/// `b.c` and `c` of `a.b.c`.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    let name = if domain.starts_with('[') { "" } else { domain };
    name.match_indices('.').filter_map(move |(at, _)| name.get(at + 1..))
}

fn noted(found: Found, because: &mut Because) -> String {
    because.note(&found.place(), &found.value);
    found.value
}
