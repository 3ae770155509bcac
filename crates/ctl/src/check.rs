//! `facteur check`: everything that would keep mail from flowing, one line each; nothing when all is right.
//!
//! Warnings (allowed, but surprising) go to standard error and do not change the exit status.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use config::Config;
use config::mailbox::{Delivery, delivery};
use nix::unistd::{Group, User, geteuid};
use routes::tls::Line;

use crate::reach::{self, Wrong};
use crate::{doctor, ports, processes};

/// `facteur check`.
pub(crate) fn run(dir: &Path) -> Result<ExitCode> {
    let config = match Config::load(dir) {
        Ok(config) => config,
        Err(problems) => {
            problems.iter().for_each(|problem| println!("{problem}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    print_warnings(&config);
    let findings = findings(&config);
    findings.iter().for_each(|finding| println!("{finding}"));
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) fn print_warnings(config: &Config) {
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    if let Some(warning) = lacking_reinjection(config) {
        eprintln!("warning: {warning}");
    }
    for (place, line) in tls_policies(config) {
        line.iter().flat_map(|line| &line.told).for_each(|told| eprintln!("warning: {place}: {told}"));
    }
}

fn findings(config: &Config) -> Vec<String> {
    let checks: [fn(&Config) -> Vec<String>; 11] =
        [programs, files, aliases, tables, accounts, keys, names, people, taken, filters, mailboxes];
    checks.iter().flat_map(|check| check(config)).collect()
}

/// Look-up tables that cannot be read or understood (by root: others may not be allowed to look).
fn tables(config: &Config) -> Vec<String> {
    let rows = config::param::TABLE.iter().filter(|row| row.kind == config::param::Kind::Tables);
    let problems = rows.flat_map(|row| config.tables(row.name).problems());
    let hidden = |file: &Path| File::open(file).is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    let told = problems.filter(|problem| geteuid().is_root() || !hidden(&problem.file));
    let mut found: Vec<String> = told.map(|problem| problem.to_string()).collect();
    if geteuid().is_root() {
        found.extend(out_of_reach(config));
    }
    found.extend(tls_policies(config).filter_map(|(place, line)| Some(format!("{place}: {}", line.err()?))));
    found.dedup();
    found
}

/// The lines of smtp_tls_policy_maps that can be looked at: where each stands, and what it means.
fn tls_policies(config: &Config) -> impl Iterator<Item = (String, Result<Line, String>)> {
    let written = config.tables("smtp_tls_policy_maps").view().map(|view| view.written()).unwrap_or_default();
    written.into_iter().map(|found| (found.place(), Line::read(&found.value)))
}

/// Tables that root can read and the programs cannot, and passwords that everybody can read.
fn out_of_reach(config: &Config) -> Vec<String> {
    let unprivileged = |row: &&config::param::Param| {
        row.programs.split(' ').any(|program| ["pickup", "qmgr", "smtp", "smtpd"].contains(&program))
    };
    let rows = config::param::TABLE.iter().filter(|row| row.kind == config::param::Kind::Tables).filter(unprivileged);
    let files = rows.flat_map(|row| config.tables(row.name).files().into_iter().map(|file| (row.name, file)));
    let said = files.filter_map(|(name, file)| {
        let owner = config.text("mail_owner");
        let why = match reach::wrong(config, &file)? {
            Wrong::Hidden => format!("the user {owner} may not read {}", file.display()),
            Wrong::Loose => format!("{} holds passwords and everybody may read it", file.display()),
        };
        let mend = format!("chgrp {owner} {0} && chmod 640 {0}", file.display());
        Some(about(config, name, &format!("{why}: {mend}")))
    });
    said.collect()
}

/// With file and line where the value was set.
fn about(config: &Config, name: &str, text: &str) -> String {
    match config.source(name) {
        Some(source) => format!("{source}: {name}: {text}"),
        None => format!("{name}: {text}"),
    }
}

fn programs(config: &Config) -> Vec<String> {
    let dir = Path::new(config.text("daemon_directory"));
    let missing = processes::wanted(config).into_iter().map(|name| dir.join(name)).filter(|path| !path.exists());
    missing.map(|path| about(config, "daemon_directory", &format!("{} is missing", path.display()))).collect()
}

/// Files that are named must be readable (by root, who reads them: others may not be allowed to look).
fn files(config: &Config) -> Vec<String> {
    let single = ["accounts_file", "ssl_cert", "smtpd_tls_cert_file"].into_iter();
    let named = single.filter_map(|name| config.path(name).map(|path| (name, path)));
    let tables = config.list("alias_maps").into_iter().map(|path| ("alias_maps", path.into()));
    let unreadable = named.chain(tables).filter_map(|(name, path): (&str, std::path::PathBuf)| {
        let error = File::open(&path).err()?;
        (error.kind() != std::io::ErrorKind::PermissionDenied || geteuid().is_root())
            .then(|| about(config, name, &format!("{} cannot be read: {}", path.display(), reason(&error))))
    });
    let mut found: Vec<String> = unreadable.collect();
    found.dedup();
    found
}

/// Lines of alias files that cannot be understood (a file that cannot be read was told by [`files`]).
fn aliases(config: &Config) -> Vec<String> {
    let files = config.list("alias_maps").into_iter().filter(|file| File::open(file).is_ok());
    files.flat_map(|file| handover::aliases::check(Path::new(&file))).map(|problem| problem.to_string()).collect()
}

/// Lines of the accounts file that cannot be understood, or a missing PAM service.
fn accounts(config: &Config) -> Vec<String> {
    let pam = Path::new("/etc/pam.d/facteur");
    match config.path("accounts_file") {
        None if geteuid().is_root() && !pam.exists() => {
            vec![format!("{} is missing: nobody can log in", pam.display())]
        }
        Some(file) if File::open(&file).is_ok() => {
            let told = accounts::Accounts::file(&file).find("root").err();
            told.map(|error| error.to_string()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn keys(config: &Config) -> Vec<String> {
    let pairs = [("ssl_cert", "ssl_key"), ("smtpd_tls_cert_file", "smtpd_tls_key_file")];
    let lonely = pairs.into_iter().filter(|(cert, key)| config.text(cert).is_empty() != config.text(key).is_empty());
    lonely.map(|(cert, key)| about(config, cert, &format!("{cert} and {key} must be given together"))).collect()
}

fn names(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for setting in ["inet_interfaces", "listen"] {
        for name in config.list(setting) {
            if ["all", "loopback-only", "*"].contains(&name.as_str()) {
                continue;
            }
            let bare = name.trim_matches(['[', ']']);
            if std::net::ToSocketAddrs::to_socket_addrs(&(bare, 0)).is_err() {
                found.push(about(config, setting, &format!("{name} has no address on this machine")));
            }
        }
    }
    found
}

/// Mailboxes that mail cannot go to: a directory where a file is meant, a command that there is not.
fn mailboxes(config: &Config) -> Vec<String> {
    let command = config.text("mailbox_command");
    if let Some(program) = lacking_program(command) {
        return vec![about(config, "mailbox_command", &format!("there is no command {program}"))];
    }
    let people = doctor::people(config).into_iter();
    let directory = |(name, home): (String, std::path::PathBuf)| match delivery(config, &name, &home) {
        Delivery::Mbox(path) if path.is_dir() => Some(path),
        Delivery::Command(_) | Delivery::Maildir(_) | Delivery::Mbox(_) => None,
    };
    let said = people.filter_map(directory).next().map(|path| {
        let setting = if config.text("home_mailbox").is_empty() { "mail_spool_directory" } else { "home_mailbox" };
        let (written, shown) = (config.text(setting), path.display());
        about(config, setting, &format!("{shown} is a directory: for a Maildir write {written}/, with the slash"))
    });
    said.into_iter().collect()
}

/// The program a command begins with, if it is nowhere; what only a shell could tell is passed over.
fn lacking_program(command: &str) -> Option<&str> {
    let program = command.split_whitespace().next()?;
    let rooted = program.starts_with('/') && !program.contains(['$', '`', '"', '\'', '\\', '*', '?', ';', '|', '&']);
    (rooted && !Path::new(program).exists()).then_some(program)
}

/// Users and groups the daemons become, when root starts them.
fn people(config: &Config) -> Vec<String> {
    if !geteuid().is_root() || !config.text("accounts_file").is_empty() {
        return Vec::new();
    }
    let user = |name: &str| matches!(User::from_name(name), Ok(Some(_)));
    let group = |name: &str| matches!(Group::from_name(name), Ok(Some(_)));
    let users = ["mail_owner", "default_login_user"].into_iter().filter(|name| !user(config.text(name)));
    let users = users.map(|name| about(config, name, &format!("there is no user {}", config.text(name))));
    let groups = ["mail_privileged_group", "setgid_group"].into_iter().filter(|name| !group(config.text(name)));
    let groups = groups.map(|name| about(config, name, &format!("there is no group {}", config.text(name))));
    users.chain(groups).collect()
}

/// Ports that somebody else has: open, while the daemon that wants them does not run.
fn taken(config: &Config) -> Vec<String> {
    let running = processes::running(config.dir());
    let runs = |name: &str| running.iter().any(|process| process.name == name);
    let ports = ports::wanted(config).into_iter();
    let ports = ports.filter(|port| !runs(port.program) && ports::is_open(port.number));
    let owner = |port: u16| ports::owner(port).unwrap_or_else(|| "another program".to_owned());
    ports.map(|port| format!("port {} ({}) is in use by {}", port.number, port.service, owner(port.number))).collect()
}

const FILTERS: [&str; 3] = ["content_filter", "submission_content_filter", "pickup_content_filter"];

/// Content filters by a transport that there is not.
fn filters(config: &Config) -> Vec<String> {
    let unknown = |name: &&str| {
        let text = config.text(name);
        let transport = text.split_once(':').map_or(text, |(transport, _)| transport).trim();
        !text.is_empty() && routes::dialect(transport).is_none()
    };
    let said = |name: &str| {
        let text = "a content filter is reached by smtp or lmtp: write smtp-amavis:[127.0.0.1]:10024";
        about(config, name, &format!("\"{}\": {text}", config.text(name)))
    };
    FILTERS.into_iter().filter(unknown).map(said).collect()
}

/// Mail goes to a filter and nobody takes it back.
fn lacking_reinjection(config: &Config) -> Option<String> {
    let name = FILTERS.into_iter().find(|name| !config.text(name).is_empty())?;
    let back = config.sockets("content_filter_reinject").is_empty();
    back.then(|| about(config, name, "mail goes to a filter and cannot come back: set content_filter_reinject"))
}

fn reason(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// Is there something at this path that can be listed?
pub(crate) fn is_readable_dir(path: &Path) -> bool {
    fs::read_dir(path).is_ok()
}
