//! Domains of ours of which the DNS says nowhere that their mail comes here.
//!
//! One question to the first server that answers; where none does, nothing can be said.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::{Fault, Patient};

/// What the DNS says of a domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// There is no such domain.
    NoDomain,
    /// It has no MX record.
    NoRecord,
    /// It has some.
    Records,
}

/// Domains without MX.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let servers =
        match patient.dns.map(|text| text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| (ip, 53).into()))) {
            Some(server) => server.into_iter().collect(),
            None => servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        };
    let host = patient.config.text("myhostname").to_owned();
    let mut domains = patient.config.list("mydestination");
    domains.retain(|domain| *domain != host && public(domain));
    domains.dedup();
    domains.iter().filter_map(|domain| fault(domain, &host, ask(domain, &servers)?)).collect()
}

fn fault(domain: &str, host: &str, answer: Answer) -> Option<Fault> {
    let what = match answer {
        Answer::Records => return None,
        Answer::NoDomain => "does not know",
        Answer::NoRecord => "has no MX record for",
    };
    let sentence = format!("The DNS {what} {domain}, so other servers cannot send mail here.");
    Some(Fault::new(sentence, format!("add to the zone: {domain}. MX 10 {host}.")))
}

/// Names of the machine itself are nobody else's business.
fn public(domain: &str) -> bool {
    let local = ["localdomain", "local", "localhost", "lan", "home", "internal"];
    domain.rsplit_once('.').is_some_and(|(_, end)| !local.contains(&end)) && !domain.starts_with("localhost.")
}

fn servers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok();
    text.lines().filter_map(address).map(|ip| SocketAddr::new(ip, 53)).collect()
}

fn ask(domain: &str, servers: &[SocketAddr]) -> Option<Answer> {
    let id = std::process::id() as u16;
    let question = question(domain, id)?;
    servers.iter().find_map(|server| read(&exchange(&question, *server).ok()?, id))
}

fn exchange(question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(question)?;
    let mut octets = vec![0; 4096];
    let length = socket.recv(&mut octets)?;
    octets.truncate(length);
    Ok(octets)
}

/// Header, name, type MX, class IN (RFC 1035 §4.1).
fn question(domain: &str, id: u16) -> Option<Vec<u8>> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in domain.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        octets.push(length);
        octets.extend(label.as_bytes());
    }
    octets.extend([0, 0, MX, 0, 1]);
    Some(octets)
}

/// `None` for what is no answer of ours, or says that the server is in trouble.
fn read(octets: &[u8], id: u16) -> Option<Answer> {
    let pair = |at: usize| Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]));
    if pair(0)? != id || octets.get(2)? & 0x80 == 0 {
        return None;
    }
    match (octets.get(3)? & 0x0f, pair(6)?) {
        (0, 0) => Some(Answer::NoRecord),
        (0, _) => Some(Answer::Records),
        (3, _) => Some(Answer::NoDomain),
        _ => None,
    }
}

const MX: u8 = 15;
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let asked = question("a.fr", 7).unwrap();
        assert_eq!(asked, [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 2, b'f', b'r', 0, 0, 15, 0, 1]);
        assert!(question("a..fr", 7).is_none() && question(&"x".repeat(64), 7).is_none());
        let answer = |code: u8, count: u8| read(&[0, 7, 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], 7);
        assert_eq!(
            [answer(0, 0), answer(0, 2), answer(3, 0), answer(2, 0)],
            [Some(Answer::NoRecord), Some(Answer::Records), Some(Answer::NoDomain), None]
        );
        assert_eq!(read(&asked, 7), None);
        assert_eq!(read(&[0, 7], 7), None);
    }

    #[test]
    fn which_domains_and_servers() {
        assert!(public("m3102.com") && !public("localhost") && !public("localhost.a.fr") && !public("vm.local"));
        assert_eq!(servers("# x\nnameserver 192.168.0.254\nnameserver ::1\nsearch a.fr\n").len(), 2);
    }
}
