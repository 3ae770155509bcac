//! The names of the machine: its own, and the one in mail.

use std::net::ToSocketAddrs as _;
use std::path::Path;

use super::{Fault, Patient};

/// A host name without an address.
pub(super) fn host(patient: &Patient) -> Vec<Fault> {
    let name = patient.config.text("myhostname");
    match (name, 25).to_socket_addrs().is_ok_and(|mut found| found.next().is_some()) {
        true => Vec::new(),
        false => {
            let short = name.split('.').next().unwrap_or(name);
            let aliases = if short == name { name.to_owned() } else { format!("{name} {short}") };
            let mend = format!("echo '127.0.1.1 {aliases}' >> /etc/hosts");
            vec![Fault::new(format!("The name of this machine, {name}, has no address."), mend)]
        }
    }
}

/// No `/etc/mailname` where the configuration leaves it to that.
pub(super) fn mail(patient: &Patient) -> Vec<Fault> {
    let decided = patient.config.source("myorigin").is_some();
    if decided || Path::new("/etc/mailname").exists() {
        return Vec::new();
    }
    let name = patient.config.text("myorigin");
    let sentence =
        format!("There is no mail name (/etc/mailname), so mail of this machine's users comes from user@{name}.");
    vec![Fault::new(sentence, format!("echo YOUR.DOMAIN > /etc/mailname && {}", patient.facteur("reload")))]
}

/// Mail of our users that cannot be answered, because their domain is not one of ours.
pub(super) fn origin(patient: &Patient) -> Vec<Fault> {
    let config = patient.config;
    let origin = config.text("myorigin");
    let delivered = ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"];
    let ours = delivered.into_iter().any(|name| config.list(name).iter().any(|own| own.eq_ignore_ascii_case(origin)));
    // A machine that only sends has its mail elsewhere.
    if ours || !config.text("relayhost").is_empty() {
        return Vec::new();
    }
    let sentence = format!("Mail from users here is from user@{origin}, but mail to {origin} is not delivered here.");
    let words = format!("set mydestination {origin}, {}", config.written("mydestination").replace('$', "\\$"));
    vec![Fault::new(sentence, patient.set(&words))]
}

/// Mail for other places is sent to a domain that is delivered here: it would come back.
pub(super) fn next_hop(patient: &Patient) -> Vec<Fault> {
    let relay = patient.config.text("relayhost").split(':').next().unwrap_or_default();
    // One in brackets is a host, and may well be near.
    let ours = patient.config.list("mydestination").iter().any(|own| own.eq_ignore_ascii_case(relay));
    if relay.is_empty() || relay.starts_with('[') || !ours {
        return Vec::new();
    }
    let sentence =
        format!("Mail to other places is sent to {relay} (relayhost), which is delivered here: it would come back.");
    vec![Fault::new(sentence, patient.set("unset relayhost"))]
}
