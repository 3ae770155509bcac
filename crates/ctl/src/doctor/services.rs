//! Daemons that do not run, and ports that somebody else has.

use config::Config;

use super::{Fault, Patient};
use crate::record::{self, Record};
use crate::{ports, processes};

/// Ports of ours that another program has.
pub(super) fn ports(patient: &Patient) -> Vec<Fault> {
    let running = processes::running(patient.config.dir());
    let wanted = ports::wanted(patient.config);
    let foreign = wanted.iter().filter(|port| !running.iter().any(|one| one.name == port.program));
    let taken = foreign.filter(|port| ports::is_open(port.number));
    let fault = |port: &ports::Port| {
        let owner = ports::owner(port.number).unwrap_or_else(|| "another program".to_owned());
        let sentence =
            format!("Port {} ({}) is in use by {owner}, so {} cannot start.", port.number, port.service, port.program);
        Fault::new(sentence, format!("{} && {}", end(&owner), patient.facteur("start")))
    };
    taken.map(fault).collect()
}

/// How to end `exim4 (process 12)`: by its unit's name where systemd knows it.
fn end(owner: &str) -> String {
    let (name, rest) = owner.split_once(" (process ").unwrap_or((owner, ""));
    let pid = rest.trim_end_matches(')');
    let unit = match name {
        "master" | "smtpd" => "postfix",
        "pop3-login" | "imap-login" | "dovecot" => "dovecot",
        other => other,
    };
    let known = ["/lib/systemd/system", "/etc/systemd/system", "/run/systemd/generator.late"];
    match known.iter().any(|dir| std::path::Path::new(&format!("{dir}/{unit}.service")).exists()) {
        true => format!("systemctl disable --now {unit}"),
        false if pid.is_empty() => "find it as root (ss -ltnp), end it".to_owned(),
        false => format!("kill {pid}"),
    }
}

/// Daemons that should run and do not, with the last words of each.
pub(super) fn down(patient: &Patient) -> Vec<Fault> {
    let running = processes::running(patient.config.dir());
    let down =
        processes::wanted(patient.config).into_iter().filter(|name| !running.iter().any(|one| one.name == *name));
    let fault = |name: &'static str| {
        let words =
            last_words(patient.config, name).map_or_else(String::new, |text| format!("; its last words: {text}"));
        let service = if name == "master" { "mta" } else { name };
        Fault::new(format!("{name} does not run{words}."), patient.facteur(&format!("start {service}")))
    };
    down.map(fault).collect()
}

/// The last line in the log that says why it ended.
fn last_words(config: &Config, program: &str) -> Option<String> {
    let mut words = None;
    let read = record::read_back(&record::file(config), TAIL, |line| {
        let Some(record) = Record::parse(line, config.text("syslog_name")) else { return };
        if record.program == program {
            let bad = record.text.starts_with("fatal: ") || record.text.starts_with("error: ");
            words = bad.then(|| record.text.trim_end_matches('.').to_owned());
        }
    });
    read.ok().and(words)
}

const TAIL: u64 = 1 << 20;
