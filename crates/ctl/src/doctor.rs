//! `facteur doctor`: what is wrong, one sentence for each fault, and the command that mends it.
//!
//! Looks and changes nothing. What this user may not see is passed over; as root it sees most. Each check is a file in
//! `doctor/` and a row in [`CHECKS`].

mod alias_loops;
mod certificate;
mod clock;
mod der;
mod disk;
mod dns;
mod logins;
mod mailboxes;
mod names;
mod path;
mod queue;
mod refusals;
mod services;
mod spool;
mod tables;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use config::Config;

use crate::arguments::DoctorOptions;

/// Something that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// What, in one sentence.
    sentence: String,
    /// The command that mends it, or what to do by hand.
    mend: String,
}

impl Fault {
    fn new(sentence: impl Into<String>, mend: impl Into<String>) -> Fault {
        Fault { sentence: sentence.into(), mend: mend.into() }
    }
}

/// What is looked at.
struct Patient<'a> {
    config: &'a Config,
    /// Set with `--dns`.
    dns: Option<&'a str>,
}

impl Patient<'_> {
    /// A `facteur` command for this system.
    fn facteur(&self, words: &str) -> String {
        match self.config.dir() == Path::new("/etc/facteur") {
            true => format!("facteur {words}"),
            false => format!("facteur -c {} {words}", self.config.dir().display()),
        }
    }

    /// Changing a setting and making it count.
    fn set(&self, words: &str) -> String {
        format!("{} && {}", self.facteur(&format!("config {words}")), self.facteur("reload"))
    }

    /// A system in a directory of its own: the machine's mail name, sendmail and DNS are not its business.
    fn is_trial(&self) -> bool {
        !self.config.text("accounts_file").is_empty()
    }
}

type Check = fn(&Patient) -> Vec<Fault>;

/// Whom a check is about.
#[derive(Clone, Copy, Eq, PartialEq)]
enum About {
    /// Every mail system.
    All,
    /// The mail system of the machine.
    Machine,
}

/// The most common cause first, for one fault often brings others.
const CHECKS: [(&str, About, Check); 21] = [
    ("port", About::All, services::ports),
    ("service", About::All, services::down),
    ("host-name", About::All, names::host),
    ("mail-name", About::Machine, names::mail),
    ("origin", About::All, names::origin),
    ("next-hop", About::All, names::next_hop),
    ("disk", About::All, disk::check),
    ("spool", About::All, spool::check),
    ("mailbox", About::All, mailboxes::check),
    ("places", About::All, mailboxes::places),
    ("password", About::All, logins::passwords),
    ("cleartext", About::All, logins::cleartext),
    ("alias", About::All, alias_loops::check),
    ("table", About::All, tables::check),
    ("queue", About::All, queue::check),
    ("postfix-queue", About::Machine, queue::postfix),
    ("relay", About::All, refusals::relay),
    ("certificate", About::All, certificate::check),
    ("clock", About::All, clock::check),
    ("sendmail", About::Machine, path::check),
    ("dns", About::Machine, dns::check),
];

/// `facteur doctor`; exit status 1 if something is wrong.
pub(crate) fn run(dir: &Path, options: &DoctorOptions) -> Result<ExitCode> {
    let faults = match Config::load(dir) {
        Ok(config) => examine(&Patient { config: &config, dns: options.dns.as_deref() }, &options.checks)?,
        Err(problems) => problems.iter().map(|problem| mistake(problem, dir)).collect(),
    };
    for (index, Fault { sentence, mend }) in faults.iter().enumerate() {
        println!("{}. {sentence}\n   {mend}", index + 1);
    }
    if faults.is_empty() {
        println!("Nothing is wrong{}.", if sees_queue(dir) { "" } else { " that this user may see: root sees more" });
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everybody who may have mail: name and home.
pub(crate) fn people(config: &Config) -> Vec<(String, PathBuf)> {
    logins::people(config).into_iter().map(|person| (person.name, person.home)).collect()
}

/// As root, and in a trial system as its owner.
fn sees_queue(dir: &Path) -> bool {
    let queue = Config::load(dir).map(|config| Path::new(config.text("queue_directory")).join("active"));
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    !queue.is_ok_and(|queue| std::fs::read_dir(queue).is_err_and(|error| denied(&error)))
}

fn examine(patient: &Patient, named: &[String]) -> Result<Vec<Fault>> {
    let names: Vec<&str> = CHECKS.iter().map(|(name, ..)| *name).collect();
    if let Some(unknown) = named.iter().find(|name| !names.contains(&name.as_str())) {
        anyhow::bail!("there is no check {unknown}: {}", names.join(", "));
    }
    let wanted = |(name, about, _): &&(&str, About, Check)| match named.is_empty() {
        true => *about == About::All || !patient.is_trial(),
        false => named.iter().any(|one| one == name),
    };
    Ok(CHECKS.iter().filter(wanted).flat_map(|(_, _, check)| check(patient)).collect())
}

fn mistake(problem: &config::Problem, dir: &Path) -> Fault {
    let mend = match problem.line {
        0 => "see to that, then: facteur check".to_owned(),
        line => format!("editor +{line} {} && facteur -c {} check", problem.file.display(), dir.display()),
    };
    Fault::new(format!("The configuration is wrong: {problem}."), mend)
}
