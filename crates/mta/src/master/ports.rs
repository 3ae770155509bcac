//! The listening sockets of `inet_interfaces`, `inet_protocols`, `smtpd_services` and `port_offset`, and of
//! `content_filter_reinject`.

use std::net::{IpAddr, TcpListener};

use config::Config;
use daemon::listen::{self, Error};

use crate::control::Service;

/// Binds them all.
///
/// # Errors
/// The first that cannot be had.
pub(super) fn bind(config: &Config) -> Result<Vec<(Service, TcpListener)>, Error> {
    let addresses = addresses(config)?;
    let offset = u16::try_from(config.number("port_offset")).unwrap_or(u16::MAX);
    let wanted = config.list("smtpd_services");
    let mut bound = Vec::new();
    for service in Service::ALL.into_iter().filter(|service| wanted.iter().any(|name| name == service.name())) {
        let Some(port) = service.port() else { continue };
        let listeners = listen::bind_each(&addresses, port.saturating_add(offset))?;
        bound.extend(listeners.into_iter().map(|listener| (service, listener)));
    }
    for address in config.sockets("content_filter_reinject") {
        bound.push((Service::Reinject, listen::bind(address)?));
    }
    Ok(bound)
}

fn addresses(config: &Config) -> Result<Vec<IpAddr>, Error> {
    let protocols = config.list("inet_protocols");
    let speaks = |name: &str| protocols.iter().any(|one| one == "all" || one == name);
    let (v4, v6) = (speaks("ipv4"), speaks("ipv6"));
    let mut addresses = listen::interfaces(&config.list("inet_interfaces"))?;
    addresses.retain(|address| if address.is_ipv4() { v4 } else { v6 });
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let config = Config::parse(std::path::Path::new("/nowhere"), text).expect("configuration");
        addresses(&config).expect("addresses").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn interfaces_and_protocols_together() {
        assert_eq!(of("inet_interfaces: all\n"), ["0.0.0.0", "::"]);
        assert_eq!(of("inet_interfaces: loopback-only\ninet_protocols: ipv4\n"), ["127.0.0.1"]);
        assert_eq!(of("inet_interfaces: 192.0.2.1 ::1\ninet_protocols: ipv6\n"), ["::1"]);
        assert_eq!(
            of("inet_interfaces: $myhostname, localhost\nmyhostname: localhost\ninet_protocols: ipv4\n"),
            ["127.0.0.1"]
        );
    }
}
