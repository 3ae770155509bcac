//! What is this machine: the addresses at which it takes mail, and the domains that are delivered on it.
//!
//! A domain is ours when `mydestination` has it, or when it is one of our addresses in brackets (RFC 1123 §5.2.17). Addresses
//! are asked of the system each time, since they come and go; that happens only for a domain that is an address.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use crate::Config;

/// `inet_interfaces` and `proxy_interfaces`.
#[derive(Clone, Debug)]
pub struct Interfaces(Vec<String>);

/// The domains whose mail is delivered on this machine.
#[derive(Clone, Debug)]
pub struct Destinations {
    names: HashSet<String>,
    interfaces: Interfaces,
}

impl Config {
    /// Where this machine takes mail.
    #[must_use]
    pub fn interfaces(&self) -> Interfaces {
        Interfaces([self.list("inet_interfaces"), self.list("proxy_interfaces")].concat())
    }

    /// What is delivered on this machine.
    #[must_use]
    pub fn destinations(&self) -> Destinations {
        let bare = |name: &String| name.strip_suffix('.').unwrap_or(name).to_lowercase();
        Destinations { names: self.list("mydestination").iter().map(bare).collect(), interfaces: self.interfaces() }
    }
}

impl Interfaces {
    /// The addresses as they are now. What cannot be told is left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all = Vec::new();
        for name in &self.0 {
            match name.as_str() {
                "all" => all.extend(of_machine()),
                "loopback-only" => all.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]),
                name => all.extend(named(name.trim_start_matches('[').trim_end_matches(']'))),
            }
        }
        all
    }
}

impl Destinations {
    /// Whether mail for this domain, in lower case, is delivered on this machine.
    #[must_use]
    pub fn contains(&self, domain: &str) -> bool {
        self.names.contains(domain)
            || literal(domain).is_some_and(|address| self.interfaces.addresses().contains(&address))
    }

    /// Whether that is so because it is one of our addresses.
    #[must_use]
    pub fn has_as_address(&self, domain: &str) -> bool {
        !self.names.contains(domain) && self.contains(domain)
    }
}

/// The address in `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
fn literal(domain: &str) -> Option<IpAddr> {
    let inside = domain.strip_prefix('[')?.strip_suffix(']')?;
    let bare = match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inside.get(5..)?,
        _ => inside,
    };
    bare.parse().ok()
}

fn named(name: &str) -> Vec<IpAddr> {
    let found: Vec<IpAddr> = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => (name, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect(),
    };
    if found.iter().any(IpAddr::is_unspecified) { of_machine() } else { found }
}

/// The addresses of the interfaces that are up.
fn of_machine() -> Vec<IpAddr> {
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn ours(settings: &str, domain: &str) -> bool {
        let text = format!("mydestination: M.com, [192.0.2.9]\n{settings}");
        Config::parse(Path::new("/nowhere"), &text).expect("a configuration").destinations().contains(domain)
    }

    #[test]
    fn names_and_addresses_of_ours_are_ours() {
        let some = "inet_interfaces: 192.0.2.1, [2001:db8::1]\nproxy_interfaces: 192.0.2.2\n";
        for domain in ["m.com", "[192.0.2.9]", "[192.0.2.1]", "[ipv6:2001:db8:0::1]", "[2001:db8::1]", "[192.0.2.2]"] {
            assert!(ours(some, domain), "{domain}");
        }
        for domain in ["x.com", "[192.0.2.3]", "192.0.2.1", "[ipv6:2001:db8::2]", "[m.com]", "[x]", ""] {
            assert!(!ours(some, domain), "{domain}");
        }
        for settings in ["", "inet_interfaces: 0.0.0.0\n", "inet_interfaces: loopback-only\n"] {
            assert!(ours(settings, "[127.0.0.1]") && !ours(settings, "[192.0.2.1]"), "{settings}");
        }
    }
}
