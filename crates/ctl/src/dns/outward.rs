//! The addresses from which mail of this machine reaches others.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use config::Config;

/// Those addresses, as far as the machine itself can know them: what the caller names, else what the configuration
/// names, else what the system would send from. Private ones are not seen by anybody outside and left out.
pub(crate) fn addresses(config: &Config, named: &[IpAddr]) -> Vec<IpAddr> {
    if !named.is_empty() {
        return named.to_owned();
    }
    let wanted = |address: &IpAddr| match config.text("inet_protocols") {
        "ipv4" => address.is_ipv4(),
        "ipv6" => address.is_ipv6(),
        _ => true,
    };
    let written = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let bound = ["smtp_bind_address", "smtp_bind_address6"].map(|name| written(config.text(name)));
    let routers = config.list("proxy_interfaces");
    let said = bound.into_iter().flatten().chain(routers.iter().filter_map(|text| written(text)));
    let mut found: Vec<IpAddr> = said.filter(|address| is_public(*address)).collect();
    if found.is_empty() {
        let routes = ["192.0.2.1:25", "[2001:db8::1]:25"].into_iter().filter_map(source);
        found = routes.filter(|address| is_public(*address)).collect();
    }
    found.retain(wanted);
    found.dedup();
    found
}

/// What the system would send from, by its routes; nothing is sent.
fn source(to: &str) -> Option<IpAddr> {
    let to: SocketAddr = to.parse().ok()?;
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether others can reach it.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            let local = v6.is_unique_local() || v6.is_unicast_link_local();
            !(local || v6.is_loopback() || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_seen_from_outside() {
        let table = [("203.0.113.5", true), ("10.0.0.1", false), ("100.64.0.1", false), ("100.128.0.1", true)];
        for (address, public) in
            table.into_iter().chain([("fd00::1", false), ("2a01::1", true), ("::ffff:127.0.0.1", false)])
        {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
