//! People who cannot log in: no password, a locked account, or a password in clear that was refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use config::Config;

use super::{Fault, Patient};
use crate::record::{self, Record};

/// Somebody who may have mail.
pub(super) struct Person {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) home: PathBuf,
    /// As in `/etc/shadow`; `None` if this user may not see it.
    hash: Option<String>,
}

/// The people of this system: of the accounts file, or those of the machine that are no services.
pub(super) fn people(config: &Config) -> Vec<Person> {
    match config.path("accounts_file") {
        Some(file) => fs::read_to_string(file).unwrap_or_default().lines().filter_map(|line| person(line, 1)).collect(),
        None => {
            let shadow = fs::read_to_string("/etc/shadow").ok();
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let human = |person: &Person| (1000..60_000).contains(&person.uid);
            let mut people: Vec<Person> =
                passwd.lines().filter(may_log_in).filter_map(|line| person(line, 1)).filter(human).collect();
            for person in &mut people {
                person.hash = shadow.as_deref().and_then(|shadow| hash(shadow, &person.name));
            }
            people
        }
    }
}

fn person(line: &str, hash: usize) -> Option<Person> {
    let fields: Vec<&str> = line.split(':').collect();
    let field = |index: usize| fields.get(index).map(|text| (*text).to_owned());
    if line.starts_with('#') || fields.len() < 7 {
        return None;
    }
    Some(Person { name: field(0)?, uid: field(2)?.parse().ok()?, home: field(5)?.into(), hash: field(hash) })
}

fn may_log_in(line: &&str) -> bool {
    !line.ends_with("/nologin") && !line.ends_with("/false")
}

fn hash(shadow: &str, name: &str) -> Option<String> {
    let line = shadow.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(1).map(str::to_owned)
}

/// People without a password, or with a locked one.
pub(super) fn passwords(patient: &Patient) -> Vec<Fault> {
    let file = patient.config.path("accounts_file");
    let fault = |person: &Person| {
        let what = match person.hash.as_deref()? {
            "" => "has no password",
            hash if hash.starts_with(['!', '*']) => "has a locked password",
            _ => return None,
        };
        let name = &person.name;
        let mend = match &file {
            None => format!("passwd {name}"),
            Some(file) => format!(
                "doveadm pw   # and put what it prints (without {{...}}) behind \"{name}:\" in {}",
                file.display()
            ),
        };
        Some(Fault::new(format!("{name} {what}, so {name} cannot log in to read or send mail."), mend))
    };
    people(patient.config).iter().filter_map(fault).collect()
}

/// Logins in clear that were refused lately: by address, the last user first seen.
pub(super) fn cleartext(patient: &Patient) -> Vec<Fault> {
    if !patient.config.flag("disable_plaintext_auth") {
        return Vec::new();
    }
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    let _ = record::read_back(&record::file(patient.config), TAIL, |line| {
        let Some(record) = Record::parse(line, patient.config.text("syslog_name")) else { return };
        let address = record.text.split_once("rip=").and_then(|(_, rest)| rest.split(',').next());
        match address {
            Some(rip) if record.text.contains("tried to use disallowed plaintext auth") => {
                refused.insert(rip.to_owned(), record.program.trim_end_matches("-login").to_uppercase());
            }
            // It has found another way since.
            Some(rip) if record.text.starts_with("Login: ") => _ = refused.remove(rip),
            _ => {}
        }
    });
    let trusted = patient.config.networks("login_trusted_networks");
    refused.retain(|rip, _| rip.parse().is_ok_and(|address| !trusted.contains(address)));
    let fault = |(rip, service): (&String, &String)| {
        let sentence =
            format!("{rip} sent a password in clear by {service}, which is refused because others could read it.");
        let network = network(rip, patient.config.text("login_trusted_networks"));
        let ports = if service == "IMAP" { "143, or TLS on port 993" } else { "110, or TLS on port 995" };
        let mend = format!(
            "choose STARTTLS on port {ports} in the mail program; or allow it there: {}",
            patient.set(&format!("set login_trusted_networks {network}"))
        );
        Fault::new(sentence, mend)
    };
    refused.iter().map(fault).collect()
}

/// The value with this address's network besides.
fn network(rip: &str, now: &str) -> String {
    let own = match rip.rsplit_once('.') {
        Some((start, _)) if rip.parse::<std::net::Ipv4Addr>().is_ok() => format!("{start}.0/24"),
        _ => format!("[{rip}]/128"),
    };
    if now.is_empty() { own } else { format!("{now}, {own}") }
}

/// How much of the log counts as lately.
const TAIL: u64 = 1 << 20;

#[cfg(test)]
impl Person {
    /// Somebody with this home.
    pub(super) fn at(name: &str, home: &std::path::Path) -> Self {
        Self { name: name.into(), uid: 1000, home: home.into(), hash: None }
    }
}
