//! What a next hop means: a domain with mail exchangers, a host, an address, or a socket on this machine.
//!
//! Written as in Postfix's transport(5) and `relayhost`: `domain`, `domain:port`, `[host]`, `[host]:port`, `[192.0.2.1]`,
//! `[IPv6:2001:db8::1]:port`, or several of these with commas or blanks between them, to be tried in turn; for LMTP, where exchangers are never asked for, also `unix:path` and `inet:host:port`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use handover::relay::{Dialect, Hop};

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) place: Place,
    /// 0 for a socket on this machine.
    pub(super) port: u16,
}

/// What kind of place that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The exchangers of this domain.
    Domain(String),
    /// This host and no other.
    Host(String),
    /// This address.
    Address(IpAddr),
    /// This socket.
    Socket(PathBuf),
}

/// What holds where a next hop does not say.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// `smtp_tcp_port`
    pub(super) smtp: u16,
    /// `lmtp_tcp_port`
    pub(super) lmtp: u16,
    /// What relative paths are relative to.
    pub(super) queue: PathBuf,
}

/// The next hops of a list, in order; a single one by itself. A socket's path is no list.
pub(super) fn each(hop: &Hop) -> Vec<Hop> {
    let is_path = hop.dialect == Dialect::Lmtp && hop.text.trim_start().starts_with("unix:");
    let parts = hop.text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|part| !part.is_empty());
    let listed: Vec<Hop> = parts.map(|part| Hop { text: part.to_owned(), dialect: hop.dialect }).collect();
    if is_path || listed.len() < 2 { vec![hop.clone()] } else { listed }
}

impl Target {
    /// Reads a next hop; `None` when it makes no sense.
    pub(super) fn read(hop: &Hop, defaults: &Defaults) -> Option<Self> {
        let port = match hop.dialect {
            Dialect::Lmtp => defaults.lmtp,
            Dialect::Smtp => defaults.smtp,
        };
        let text = hop.text.trim();
        if let Some(path) = text.strip_prefix("unix:").filter(|_| hop.dialect == Dialect::Lmtp) {
            return Some(Self { place: Place::Socket(defaults.queue.join(Path::new(path))), port: 0 });
        }
        let text = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inside, after) = rest.split_once(']')?;
                let port = if after.is_empty() { port } else { number(after.strip_prefix(':')?)? };
                return place(inside, true).map(|place| Self { place, port });
            }
            None => match text.rsplit_once(':') {
                Some((host, digits)) if !host.contains(':') => (host, number(digits)?),
                _ => (text, port),
            },
        };
        place(host, hop.dialect == Dialect::Lmtp).map(|place| Self { place, port })
    }
}

/// A host by name or address; else, where it is not told to be one, a domain.
fn place(text: &str, is_host: bool) -> Option<Place> {
    let bare = match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => text.get(5..)?,
        _ => text,
    };
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Place::Address(address));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let sound = !name.is_empty() && name.len() < 256 && name.split('.').all(|label| !label.is_empty());
    let clean = !name.contains(|c: char| c.is_whitespace() || c.is_control() || "[]:/@".contains(c));
    if !sound || !clean {
        return None;
    }
    let name = name.to_lowercase();
    Some(if is_host { Place::Host(name) } else { Place::Domain(name) })
}

/// A port by number or by its name.
fn number(text: &str) -> Option<u16> {
    match text {
        "smtp" => Some(25),
        "lmtp" => Some(24),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        digits => digits.parse().ok().filter(|port| *port != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, text: &str) -> Option<(Place, u16)> {
        let defaults = Defaults { smtp: 25, lmtp: 24, queue: "/q".into() };
        Target::read(&Hop { text: text.into(), dialect }, &defaults).map(|target| (target.place, target.port))
    }

    #[test]
    fn next_hops_are_read_as_postfix_writes_them() {
        let (domain, host) = (|name: &str| Place::Domain(name.into()), |name: &str| Place::Host(name.into()));
        let address = |text: &str| Place::Address(text.parse().expect("an address"));
        let table = [
            ("Example.org", domain("example.org"), 25),
            ("example.org.", domain("example.org"), 25),
            ("example.org:587", domain("example.org"), 587),
            ("[mx.example.org]", host("mx.example.org"), 25),
            ("[mx.example.org]:submission", host("mx.example.org"), 587),
            ("[192.0.2.1]:2525", address("192.0.2.1"), 2525),
            ("192.0.2.1", address("192.0.2.1"), 25),
            ("[IPv6:2001:db8::1]", address("2001:db8::1"), 25),
            ("[ipv6:2001:db8::1]:26", address("2001:db8::1"), 26),
            ("[::1]", address("::1"), 25),
            ("::1", address("::1"), 25),
        ];
        for (text, place, port) in table {
            assert_eq!(read(Dialect::Smtp, text), Some((place, port)), "{text}");
        }
        let table = [
            ("unix:private/lmtp", Place::Socket("/q/private/lmtp".into()), 0),
            ("unix:/run/lmtp", Place::Socket("/run/lmtp".into()), 0),
            ("inet:localhost:2400", host("localhost"), 2400),
            ("example.org", host("example.org"), 24),
        ];
        for (text, place, port) in table {
            assert_eq!(read(Dialect::Lmtp, text), Some((place, port)), "{text}");
        }
    }

    #[test]
    fn a_list_is_several() {
        let list = |text: &str, dialect| -> Vec<String> {
            each(&Hop { text: text.into(), dialect }).into_iter().map(|hop| hop.text).collect()
        };
        assert_eq!(list("[a], [b]:26,c  d", Dialect::Smtp), ["[a]", "[b]:26", "c", "d"]);
        assert_eq!(list("[a]", Dialect::Smtp), ["[a]"]);
        assert_eq!(list("", Dialect::Smtp), [""]);
        assert_eq!(list("unix:/a b,c", Dialect::Lmtp), ["unix:/a b,c"]);
        assert_eq!(list("inet:a:24, inet:b:24", Dialect::Lmtp), ["inet:a:24", "inet:b:24"]);
    }

    #[test]
    fn nonsense_is_no_target() {
        for text in ["", "[", "[]", "[a]25", "[a]:x", "a:0", "a:70000", "a b", "a..b", ".", "[a/b]", "unix:/x"] {
            assert_eq!(read(Dialect::Smtp, text), None, "{text}");
        }
    }
}
