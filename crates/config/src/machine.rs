//! What the machine says of itself: its name, its domain, its mail name. Nothing is asked of a network, and a jailed
//! program that reads its configuration again gets the same answers: the name comes from the kernel, not from `/proc`.

use std::fs;
use std::io;

/// The host name, with its domain where `/etc/hosts` tells it (`127.0.1.1 vm.example.com vm`).
pub(crate) fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    let name = name.trim();
    if name.is_empty() || name == "(none)" {
        return "localhost".into();
    }
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    full_name(name, &hosts).unwrap_or(name).to_owned()
}

/// A name without its first part; `localdomain` for a name without dots.
pub(crate) fn domain_of(host: &str) -> String {
    host.split_once('.').map_or("localdomain", |(_, domain)| domain).to_owned()
}

/// The first word of `/etc/mailname`.
pub(crate) fn mail_name() -> Option<String> {
    let text = fs::read_to_string("/etc/mailname").ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// The short text of an input or output error, without the number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn full_name<'a>(name: &str, hosts: &'a str) -> Option<&'a str> {
    let prefix = format!("{name}.");
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut canonical = lines.filter_map(|line| line.split_whitespace().nth(1));
    canonical.find(|candidate| candidate.starts_with(&prefix) && !candidate.starts_with("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(domain_of("srvdmz.virtualux.fr"), "virtualux.fr");
        assert_eq!(domain_of("vm"), "localdomain");
        assert_eq!(full_name("vm", "127.0.0.1 localhost\n127.0.1.1 vm.example.com vm\n"), Some("vm.example.com"));
        assert_eq!(full_name("vm", "127.0.1.1 vm\n"), None);
    }
}
