//! Values that say where something is: a mailbox, an address of this machine, the next machine.
//!
//! Only the writing is judged here, in one short phrase; whether there is such a place is for `facteur check`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path};

use crate::value::items;

/// `Maildir/` or `Mailbox`: something below the home. A slash in front means no other place, as in Postfix.
pub(crate) fn in_home(text: &str) -> Result<(), String> {
    let text = text.trim();
    let mut parts = Path::new(text.trim_start_matches('/')).components();
    let names = |part: Component<'_>| matches!(part, Component::Normal(_));
    if text.is_empty() || (parts.clone().next().is_some() && parts.all(names)) {
        return Ok(());
    }
    Err(format!("\"{text}\" is no place below the home: write Maildir/ or Mailbox"))
}

/// `*`, an address, or the name of one.
pub(crate) fn interface(item: &str) -> Result<(), String> {
    let bare = item.trim_start_matches('[').trim_end_matches(']');
    let sound = match (bare.contains(':'), bare.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.')) {
        (true, _) => bare.parse::<Ipv6Addr>().is_ok(),
        (false, true) => bare.parse::<Ipv4Addr>().is_ok(),
        (false, false) => true,
    };
    if sound { Ok(()) } else { Err(format!("\"{item}\" is not an address")) }
}

/// `maildir:~/Maildir` or `mbox:~/mail:INBOX=/var/mail/%u`.
pub(crate) fn location(text: &str) -> Result<(), String> {
    let text = text.trim();
    let kind = text.split_once(':').map_or("", |(kind, _)| kind);
    if text.is_empty() || ["maildir", "mbox"].contains(&kind) {
        return Ok(());
    }
    Err(format!("\"{text}\" is not a place: write maildir:~/Maildir or mbox:~/mail:INBOX=/var/mail/%u"))
}

/// Each `domain`, `domain:port`, `[host]`, `[host]:port` or an address.
pub(crate) fn next_hops(text: &str) -> Result<(), String> {
    items(text).try_for_each(next_hop)
}

fn next_hop(text: &str) -> Result<(), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let wrong =
        || format!("\"{text}\" is not a next hop: write [smtp.example.com], [smtp.example.com]:587 or example.com");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| format!("\"{text}\": a bracket is not closed"))?;
            let host = host.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")).map_or(host, |_| &host[5..]);
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if let Some(port) = port.filter(|port| !is_port(port)) {
        return Err(format!("\"{text}\": {port} is not a port: write a number up to 65535"));
    }
    if host.parse::<IpAddr>().is_ok() || is_name(host) { Ok(()) } else { Err(wrong()) }
}

fn is_port(text: &str) -> bool {
    let named = ["lmtp", "smtp", "smtps", "submission", "submissions"].contains(&text);
    named || text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let strange = |c: char| c.is_whitespace() || c.is_control() || "[]:/@,".contains(c);
    !name.is_empty() && name.len() < 256 && name.split('.').all(|label| !label.is_empty()) && !name.contains(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_of_a_list() {
        for right in [
            "",
            "example.org.",
            "example.org:587",
            "[mx.example.org]",
            "[mx.example.org]:submission",
            "[192.0.2.1]:2525",
            "192.0.2.1",
            "[IPv6:2001:db8::1]:26",
            "[::1]",
            "::1",
            "smtp_host",
            "[a], [b]",
            "a b:26",
        ] {
            assert_eq!(next_hops(right), Ok(()), "{right}");
        }
        for wrong in ["[smtp.x", "x:abc", "[x]:99999", "[]", "[a]25", "a:0", "a..b", "[a], [b", "a@b", "/x"] {
            assert!(next_hops(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            next_hop("[x]:99999").unwrap_err(),
            "\"[x]:99999\": 99999 is not a port: write a number up to 65535"
        );
    }

    #[test]
    fn places_of_this_machine() {
        for right in ["*", "::", "[::1]", "127.0.0.1", "localhost", "all", "vm-1.example.org"] {
            assert_eq!(interface(right), Ok(()));
        }
        for wrong in ["300.1.1.1", "1.2.3", "::x", "12"] {
            assert!(interface(wrong).is_err(), "{wrong}");
        }
        assert!(location("").is_ok() && location("maildir:~/M").is_ok() && location("mbox:~/m:INBOX=/v/%u").is_ok());
        assert!(location("foo").is_err() && location("sdbox:~/x").is_err() && location("~/Maildir").is_err());
        assert!(in_home("").is_ok() && in_home("/Maildir/").is_ok() && in_home("mail/in").is_ok());
        assert!(in_home("/").is_err() && in_home("../x/").is_err() && in_home("a/../../etc/").is_err());
    }
}
