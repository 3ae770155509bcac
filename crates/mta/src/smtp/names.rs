//! DNS: the exchangers of a domain and the addresses of a host.
//!
//! Asks the servers of `dns_servers`, else those of `/etc/resolv.conf`, which is read again when it changes; `/etc/hosts` comes before
//! DNS for addresses. Answers are cached as long as they allow. Every look-up has a limit of its own and holds up nobody
//! else. Names are taken as they are: no search list is applied. (DNSSEC, for DANE, has its place here: the answers would
//! carry their proof.)

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::answers::{self, Exchanger};

/// What was not found, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) why: Why,
}

/// Why not, the mildest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// There is no such name.
    NoName,
    /// The name exists and has no such record.
    NoData,
    /// Nobody knows now.
    Again,
}

/// Which addresses are of use (`inet_protocols`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocols {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

/// The resolver. For the life of the process.
#[derive(Debug)]
pub(super) struct Names {
    /// `dns_servers`
    servers: Mutex<Vec<SocketAddr>>,
    present: Mutex<Option<Present>>,
}

/// What was made of the files as they were.
struct Present {
    looked: Instant,
    changed: [Option<SystemTime>; 2],
    resolver: TokioResolver,
    hosts: Arc<HashMap<String, Vec<IpAddr>>>,
}

impl Miss {
    /// In the words of Postfix.
    pub(super) fn text(&self) -> String {
        let said = match self.why {
            Why::NoName => "Host not found",
            Why::NoData => "Host found but no data record of requested type",
            Why::Again => "Host not found, try again",
        };
        let (name, kind) = (&self.name, self.kind);
        format!("Host or domain name not found. Name service error for name={name} type={kind}: {said}")
    }
}

impl Names {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers: Mutex::new(servers), present: Mutex::default() }
    }

    /// Asks these from now on.
    pub(super) fn renew(&self, servers: Vec<SocketAddr>) {
        *lock(&self.servers) = servers;
        *lock(&self.present) = None;
    }

    /// The MX records of a domain, in no order.
    pub(super) async fn exchangers(&self, domain: &str) -> Result<Vec<Exchanger>, Miss> {
        let records = self.look_up(domain, RecordType::MX, "MX").await?;
        let found = answers::exchangers(records);
        if found.is_empty() {
            return Err(Miss { name: domain.into(), kind: "MX", why: Why::NoData });
        }
        Ok(found)
    }

    /// The addresses of a host, by `/etc/hosts` or DNS.
    pub(super) async fn addresses(&self, host: &str, protocols: Protocols) -> Result<Vec<IpAddr>, Miss> {
        let wanted = |address: &IpAddr| if address.is_ipv4() { protocols.v4 } else { protocols.v6 };
        if let Some(known) = self.hosts().get(&host.to_lowercase()) {
            let found: Vec<IpAddr> = known.iter().copied().filter(wanted).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let v4 = async { if protocols.v4 { Some(self.look_up(host, RecordType::A, "A").await) } else { None } };
        let v6 = async { if protocols.v6 { Some(self.look_up(host, RecordType::AAAA, "AAAA").await) } else { None } };
        let (v4, v6) = tokio::join!(v4, v6);
        let (mut found, mut miss) = (Vec::new(), None::<Miss>);
        for answer in [v4, v6].into_iter().flatten() {
            match answer {
                Ok(records) => found.extend(records.into_iter().filter_map(answers::address)),
                // The mildest counts: what nobody knows now may be there later.
                Err(next) if miss.as_ref().is_none_or(|miss| next.why >= miss.why) => miss = Some(next),
                Err(_) => {}
            }
        }
        match miss {
            _ if !found.is_empty() => Ok(found),
            Some(miss) => Err(miss),
            None => Err(Miss { name: host.into(), kind: "A", why: Why::NoData }),
        }
    }

    /// Whether `/etc/hosts` names it.
    pub(super) fn is_in_hosts(&self, name: &str) -> bool {
        self.hosts().contains_key(&name.to_lowercase())
    }

    async fn look_up(&self, name: &str, record: RecordType, kind: &'static str) -> Result<Vec<RData>, Miss> {
        let miss = |why| Miss { name: name.to_owned(), kind, why };
        let Ok(mut asked) = Name::from_utf8(name) else { return Err(miss(Why::NoName)) };
        asked.set_fqdn(true);
        let resolver = self.present(|present| present.resolver.clone());
        match tokio::time::timeout(LONGEST, resolver.lookup(asked, record)).await {
            Ok(Ok(found)) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Ok(Err(error)) => Err(miss(judged(&error))),
            Err(_) => Err(miss(Why::Again)),
        }
    }

    fn hosts(&self) -> Arc<HashMap<String, Vec<IpAddr>>> {
        self.present(|present| present.hosts.clone())
    }

    /// Looks at the files first, now and then.
    fn present<T>(&self, take: impl FnOnce(&Present) -> T) -> T {
        let servers = lock(&self.servers).clone();
        let mut present = lock(&self.present);
        let fresh = present.take().and_then(|mut present| {
            if present.looked.elapsed() > LOOK_AGAIN {
                present.looked = Instant::now();
                if changed() != present.changed {
                    return None;
                }
            }
            Some(present)
        });
        take(present.insert(fresh.unwrap_or_else(|| Present::read(&servers))))
    }
}

impl Present {
    fn read(servers: &[SocketAddr]) -> Self {
        let changed = changed();
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = true;
        // The library counts those after the first.
        options.attempts = 1;
        options.max_active_requests = 4096;
        options.cache_size = 4096;
        let mut servers = servers.to_owned();
        if servers.is_empty() {
            servers = read_resolv_conf(&fs::read_to_string(RESOLV_CONF).unwrap_or_default(), &mut options);
        }
        let servers = servers.into_iter().map(server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let made = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        let resolver = made.build().expect("only a trust anchor that is read can fail, and none is");
        let hosts = Arc::new(read_hosts(&fs::read_to_string(HOSTS).unwrap_or_default()));
        Self { looked: Instant::now(), changed, resolver, hosts }
    }
}

impl std::fmt::Debug for Present {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Present").field("changed", &self.changed).finish_non_exhaustive()
    }
}

fn changed() -> [Option<SystemTime>; 2] {
    [RESOLV_CONF, HOSTS].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The servers; the options that matter go to `options`. Without any it is this machine, as resolv.conf(5) says.
fn read_resolv_conf(text: &str, options: &mut ResolverOpts) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().map(|word| word.split('%').next().unwrap_or(word).parse::<IpAddr>());
                servers.extend(address.and_then(Result::ok).map(|address| SocketAddr::new(address, 53)));
            }
            Some("options") => {
                for (name, value) in words.filter_map(|word| word.split_once(':')) {
                    match (name, value.parse::<u64>()) {
                        ("timeout", Ok(seconds)) => options.timeout = Duration::from_secs(seconds.clamp(1, 30)),
                        ("attempts", Ok(tries)) => {
                            options.attempts = usize::try_from(tries.clamp(1, 5) - 1).unwrap_or(1)
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], 53)));
    }
    servers
}

fn read_hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            hosts.entry(name.to_lowercase()).or_default().push(address);
        }
    }
    hosts
}

fn judged(error: &NetError) -> Why {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Why::NoName,
            ResponseCode::NoError => Why::NoData,
            _ => Why::Again,
        },
        _ => Why::Again,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A look-up may go through several servers and aliases.
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_files_are_read() {
        let mut options = ResolverOpts::default();
        let text = "# x\nnameserver 192.0.2.53\nsearch lan\nnameserver fe80::1%eth0\nnameserver x\noptions timeout:1 attempts:9 rotate\n";
        let servers: Vec<String> = read_resolv_conf(text, &mut options).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[fe80::1]:53"]);
        assert_eq!((options.timeout, options.attempts), (Duration::from_secs(1), 4));
        assert_eq!(read_resolv_conf("", &mut options).len(), 1);
        let hosts = read_hosts("127.0.0.1 localhost\n::1 localhost ip6 # me\n192.0.2.1\tPC.lan pc\nnonsense pc\n");
        assert_eq!((hosts["localhost"].len(), &hosts["pc.lan"], hosts.len()), (2, &hosts["pc"], 4));
    }

    #[test]
    fn what_is_not_found_is_said_as_postfix_does() {
        let miss = Miss { name: "x.org".into(), kind: "MX", why: Why::Again };
        let text =
            "Host or domain name not found. Name service error for name=x.org type=MX: Host not found, try again";
        assert_eq!(miss.text(), text);
        assert!(Why::NoName < Why::NoData && Why::NoData < Why::Again);
    }
}
