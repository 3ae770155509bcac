//! One connection before login: who it is, its name in the log, and what the log says when it ends without a login.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wire::Security;

/// A connection, as a login machine may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The client's address and port.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Its name in the log, unique for years.
    pub session: String,
    /// Whether a password may come without TLS.
    pub cleartext: Cleartext,
    /// Whether there is a certificate to start TLS with.
    pub tls_available: bool,
}

/// Whether a password may be sent in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleartext {
    /// Never mind: client and server are one machine, or the network is trusted. The log calls it secured.
    Secured,
    /// The operator allows it (`disable_plaintext_auth: no`).
    Allowed,
    /// Only after TLS has begun.
    Refused,
}

/// What happened on it so far.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    pub(crate) attempts: u32,
    pub(crate) user: String,
    pub(crate) method: &'static str,
    pub(crate) remark: Option<String>,
    pub(crate) tls: bool,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, cleartext: Cleartext) -> Self {
        let (peer, local) = (canonical(peer), canonical(local));
        Self { session: session_id(peer), peer, local, cleartext, tls_available: false }
    }

    /// `Login: user=<kevin>, method=PLAIN, …, mpid=488, secured, session=<…>`
    pub(crate) fn login_line(&self, trail: &Trail, user: &str, pid: u64) -> String {
        format!("Login: {}, mpid={pid}{}, session=<{}>", self.who(user, trail), self.cover(trail), self.session)
    }

    /// `Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<kevin>, …, session=<…>`
    pub(crate) fn end_line(&self, trail: &Trail, reason: impl fmt::Display, age: Duration) -> String {
        let seconds = age.as_secs();
        let story = match (&trail.remark, trail.attempts) {
            (Some(remark), _) => remark.clone(),
            (None, 0) => format!("no auth attempts in {seconds} secs"),
            (None, attempts) => format!("auth failed, {attempts} attempts in {seconds} secs"),
        };
        let who = self.who(&trail.user, trail);
        format!("Disconnected: {reason} ({story}): {who}{}, session=<{}>", self.cover(trail), self.session)
    }

    fn who(&self, user: &str, trail: &Trail) -> String {
        let method = if trail.method.is_empty() { String::new() } else { format!(" method={},", trail.method) };
        format!("user=<{}>,{method} rip={}, lip={}", harmless(user), self.peer.ip(), self.local.ip())
    }

    fn cover(&self, trail: &Trail) -> &'static str {
        match (trail.tls, self.cleartext) {
            (true, _) => ", TLS",
            (false, Cleartext::Secured) => ", secured",
            (false, Cleartext::Allowed | Cleartext::Refused) => "",
        }
    }
}

/// A name that cannot end its brackets or fill the log.
fn harmless(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_control() || matches!(c, '<' | '>') { '?' } else { c }).collect()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// As Dovecot makes them: base64 of 48 bits of time in microseconds, the client's port and its address.
fn session_id(peer: SocketAddr) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
    // Two connections in one microsecond, or after the clock was set back, still differ.
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    let time = if last >= now { LAST.fetch_add(1, Ordering::Relaxed) + 1 } else { now };
    let mut octets = time.to_le_bytes()[..6].to_vec();
    octets.extend_from_slice(&peer.port().to_le_bytes());
    match peer.ip() {
        IpAddr::V4(v4) => octets.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => octets.extend_from_slice(&v6.octets()),
    }
    base64(&octets)
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len() * 4 / 3 + 3);
    for group in octets.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - group.len()));
        for letter in 0..=group.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * letter) & 63) as usize]));
        }
    }
    text
}

static LAST: AtomicU64 = AtomicU64::new(0);

/// What TLS from the first octet means for the log.
impl From<Security> for Trail {
    fn from(security: Security) -> Self {
        Self { tls: security == Security::Tls, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let peer = "[::ffff:192.168.0.23]:40000".parse().expect("address");
        let mut connection = Connection::new(peer, "192.168.0.23:110".parse().expect("address"), Cleartext::Secured);
        connection.session = "x2tnfrdgTuzAqAAX".into();
        connection
    }

    #[test]
    fn lines_as_fail2ban_and_people_know_them() {
        let connection = connection();
        let mut trail = Trail { user: "kev>in\n".into(), method: "PLAIN", ..Trail::default() };
        assert_eq!(
            connection.login_line(&trail, "kevin", 488),
            "Login: user=<kevin>, method=PLAIN, rip=192.168.0.23, lip=192.168.0.23, mpid=488, secured, session=<x2tnfrdgTuzAqAAX>"
        );
        trail.attempts = 1;
        assert_eq!(
            connection.end_line(&trail, "Connection closed", Duration::from_secs(2)),
            "Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<kev?in?>, method=PLAIN, \
             rip=192.168.0.23, lip=192.168.0.23, secured, session=<x2tnfrdgTuzAqAAX>"
        );
        assert_eq!(
            connection.end_line(&Trail::from(Security::Tls), "Inactivity", Duration::from_secs(60)),
            "Disconnected: Inactivity (no auth attempts in 60 secs): user=<>, rip=192.168.0.23, lip=192.168.0.23, TLS, \
             session=<x2tnfrdgTuzAqAAX>"
        );
    }

    #[test]
    fn session_ids_are_base64_and_differ() {
        let peer = "192.168.0.23:40000".parse().expect("address");
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| session_id(peer)).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.ends_with("AqAAX")));
        assert_eq!(base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw");
    }
}
