//! The ports we serve: which they are, whether somebody listens there, and who.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use config::Config;

use crate::processes;

/// A port of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Port {
    pub(crate) service: &'static str,
    /// The daemon that opens it.
    pub(crate) program: &'static str,
    pub(crate) number: u16,
}

/// Which setting turns a service on, its name there, its program and its standard port.
const SERVICES: [(&str, &str, &str, &str, u16); 7] = [
    ("smtpd_services", "smtp", "smtp", "master", 25),
    ("smtpd_services", "submission", "submission", "master", 587),
    ("smtpd_services", "smtps", "smtps", "master", 465),
    ("protocols", "pop3", "pop3", "popd", 110),
    ("protocols", "pop3", "pop3s", "popd", 995),
    ("protocols", "imap", "imap", "imapd", 143),
    ("protocols", "imap", "imaps", "imapd", 993),
];

/// The ports a configuration asks for, of the daemons that are installed.
pub(crate) fn wanted(config: &Config) -> Vec<Port> {
    let offset = u16::try_from(config.number("port_offset")).unwrap_or(0);
    let on = |setting: &str, item: &str| config.list(setting).iter().any(|word| word == item);
    let tls = config.text("ssl") != "no";
    let rows = SERVICES.into_iter().filter(|(setting, item, ..)| on(setting, item));
    let daemons = processes::wanted(config);
    let rows = rows.filter(|(_, item, service, program, _)| (tls || item == service) && daemons.contains(program));
    rows.map(|(_, _, service, program, port)| Port { service, program, number: port.saturating_add(offset) }).collect()
}

/// Does any process of this machine listen on the port?
pub(crate) fn is_open(port: u16) -> bool {
    !listeners(port).is_empty()
}

/// Why the port cannot be opened, in words; `None` if it can.
pub(crate) fn obstacle(port: u16) -> Option<String> {
    use std::io::ErrorKind::{AddrInUse, PermissionDenied};
    if is_open(port) {
        return Some(owner(port).map_or_else(|| "is in use".to_owned(), |who| format!("is in use by {who}")));
    }
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(|error| error.kind()) {
        Err(AddrInUse) => Some("is in use".to_owned()),
        Err(PermissionDenied) => Some("may be opened by root only".to_owned()),
        _ => None,
    }
}

/// `exim4 (process 123)`, if this user may know: who opened it, not a child that inherited it.
pub(crate) fn owner(port: u16) -> Option<String> {
    let sockets = listeners(port);
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holders: Vec<u32> = pids.filter(|pid| holds(*pid, &sockets)).collect();
    let pid = opener(&holders, parent)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (process {pid})", name.trim()))
}

/// Of those who hold a socket the one whose parent does not: children inherit it, perhaps under a lower number.
fn opener(holders: &[u32], parent: impl Fn(u32) -> Option<u32>) -> Option<u32> {
    holders.iter().copied().find(|pid| parent(*pid).is_none_or(|parent| !holders.contains(&parent)))
}

/// The fourth word of `/proc/PID/stat`; the second, a name in parentheses, may have spaces in it.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn holds(pid: u32, sockets: &HashSet<u64>) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |link: &str| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok();
    let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.any(|target| target.to_str().and_then(inode).is_some_and(|number| sockets.contains(&number)))
}

/// The sockets (by inode) that listen on the port.
fn listeners(port: u16) -> HashSet<u64> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().filter_map(|line| listener(line, port))).collect()
}

/// One line of `/proc/net/tcp`: local address in the second word, state `0A` (listening) in the fourth, inode in the tenth.
fn listener(line: &str, port: u16) -> Option<u64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, own) = words.get(1)?.rsplit_once(':')?;
    let listens = words.get(3) == Some(&"0A") && u16::from_str_radix(own, 16) == Ok(port);
    listens.then(|| words.get(9)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_taken_port_is_told_with_its_owner() {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let inherited = std::os::fd::OwnedFd::from(socket.try_clone().unwrap());
        let mut heir = std::process::Command::new("sleep").arg("60").stdin(inherited).spawn().unwrap();
        assert!(holds(heir.id(), &listeners(port)));
        assert_eq!(parent(heir.id()), Some(std::process::id()));
        let told = obstacle(port).unwrap();
        heir.kill().and_then(|()| heir.wait()).unwrap();
        assert!(told.ends_with(&format!("(process {})", std::process::id())), "{told}");
        drop(socket);
        assert!(!is_open(port));
    }

    #[test]
    fn who_opened_a_socket_is_not_who_inherited_it() {
        let parent = |pid| match pid {
            336 => Some(32_700),
            32_700 => Some(1),
            _ => None,
        };
        assert_eq!(opener(&[336, 32_700], parent), Some(32_700));
        assert_eq!(opener(&[336], parent), Some(336));
        assert_eq!(opener(&[], parent), None);
    }

    #[test]
    fn ports_follow_the_settings() {
        let config = Config::parse(Path::new("/"), "port_offset: 2000\nprotocols: pop3\nsmtpd_services: smtp").unwrap();
        let ports: Vec<(&str, u16)> = wanted(&config).iter().map(|port| (port.service, port.number)).collect();
        assert_eq!(ports, [("smtp", 2025), ("pop3", 2110), ("pop3s", 2995)]);
    }
}
