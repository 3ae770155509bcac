//! Networks as people write them: `127.0.0.0/8`, `[::1]/128`, `192.168.0.23`, `!10.0.0.1`.
//!
//! An IPv4 client that arrives as `::ffff:a.b.c.d` is the IPv4 client; `[::ffff:127.0.0.0]/104` is `127.0.0.0/8`.

use std::net::{IpAddr, Ipv6Addr};

/// A list of networks; the first item that matches decides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Networks(Vec<Network>);

/// One item of the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Network {
    base: u128,
    /// How many of the 128 bits of an IPv6 (or mapped IPv4) address must agree.
    bits: u32,
    excluded: bool,
}

impl Networks {
    /// Reads items that were checked before; wrong ones are left out.
    pub(crate) fn read<'a>(items: impl Iterator<Item = &'a str>) -> Networks {
        Networks(items.filter_map(|item| parse(item).ok()).collect())
    }

    /// Is this address in the list?
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let value = wide(address);
        let found = self.0.iter().find(|net| (value ^ net.base) & mask(net.bits) == 0);
        found.is_some_and(|net| !net.excluded)
    }
}

pub(crate) fn parse(text: &str) -> Result<Network, String> {
    let wrong = || format!("\"{text}\" is not a network: write 192.168.0.0/24 or [::1]/128");
    let (excluded, body) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (address, bits) = body.split_once('/').map_or((body, None), |(address, bits)| (address, Some(bits)));
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits: u32 = bits.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
    if bits > width {
        return Err(format!("\"{text}\" has too many bits, the most is {width}"));
    }
    let (base, bits) = (wide(address), bits + 128 - width);
    if base & !mask(bits) != 0 {
        return Err(format!("\"{text}\" has bits outside its network: write {}", corrected(base & mask(bits), bits)));
    }
    Ok(Network { base, bits, excluded })
}

fn corrected(base: u128, bits: u32) -> String {
    match Ipv6Addr::from_bits(base).to_ipv4_mapped() {
        Some(v4) if bits >= 96 => format!("{v4}/{}", bits - 96),
        _ => format!("[{}]/{bits}", Ipv6Addr::from_bits(base)),
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(list: &str, address: &str) -> bool {
        Networks::read(list.split(' ')).contains(address.parse().unwrap())
    }

    #[test]
    fn membership() {
        let usual = "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128";
        assert!(contains(usual, "127.0.0.1") && contains(usual, "::ffff:127.9.9.9") && contains(usual, "::1"));
        assert!(!contains(usual, "128.0.0.1") && !contains(usual, "::2"));
        assert!(contains("192.168.0.23", "192.168.0.23") && !contains("192.168.0.23", "192.168.0.24"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("!10.0.0.1 10.0.0.0/8", "10.0.0.1") && contains("!10.0.0.1 10.0.0.0/8", "10.0.0.2"));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            parse("192.168.0.1/24").unwrap_err(),
            "\"192.168.0.1/24\" has bits outside its network: write 192.168.0.0/24"
        );
        assert!(parse("192.168.0.0/33").is_err() && parse("lan").is_err() && parse("10.0.0.0/x").is_err());
    }
}
