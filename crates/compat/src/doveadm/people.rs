//! Who may log in, who has, and passwords.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use accounts::{Accounts, Verdict};
use anyhow::{Context as _, Result, anyhow, bail};
use config::Config;
use wire::Secret;

use crate::call::Call;

/// `doveadm auth test USER [PASSWORD]`; `auth login` is the same here.
pub(crate) fn auth(call: &mut Call) -> Result<ExitCode> {
    let deed = if call.words.is_empty() { String::new() } else { call.words.remove(0) };
    if !["test", "login"].contains(&deed.as_str()) {
        bail!("usage: doveadm auth test USER [PASSWORD]");
    }
    call.options("", "axM")?;
    let [user, password @ ..] = call.words.as_slice() else { bail!("usage: doveadm auth test USER [PASSWORD]") };
    let password = match password.first() {
        Some(word) => word.clone(),
        None => ask("Password: ")?,
    };
    let config = call.config()?;
    let name = local_part(&config, user);
    let verdict = accounts(&config).verify(&name, &Secret::new(password.into_bytes()), "127.0.0.1");
    match verdict.map_err(|error| anyhow!("{error}"))? {
        Verdict::Right => {
            println!("passdb: {user} auth succeeded\nextra fields:\n  user={name}");
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Wrong => {
            println!("passdb: {user} auth failed\nextra fields:\n  user={name}");
            Ok(ExitCode::from(77))
        }
    }
}

/// `doveadm user [-f FIELD] USER...`.
pub(crate) fn user(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("u", "fx")?;
    let wanted = options.iter().find(|(letter, _)| *letter == 'f').map(|(_, field)| field.as_str());
    let config = call.config()?;
    let mut code = ExitCode::SUCCESS;
    for user in &call.words {
        let found = accounts(&config).find(&local_part(&config, user)).map_err(|error| anyhow!("{error}"))?;
        let Some(account) = found else {
            eprintln!("userdb lookup: user {user} doesn't exist");
            code = ExitCode::from(67);
            continue;
        };
        let location = match config::mailbox::reading(&config, &account.name, &account.home) {
            config::mailbox::Reading::Maildir { root } => format!("maildir:{}", root.display()),
            config::mailbox::Reading::Mbox { inbox, folders } => {
                format!("mbox:{}:INBOX={}", folders.display(), inbox.display())
            }
        };
        let fields = [
            ("uid", account.uid.to_string()),
            ("gid", account.gid.to_string()),
            ("home", account.home.display().to_string()),
            ("mail", location),
        ];
        match wanted {
            Some(wanted) => {
                fields.iter().filter(|(name, _)| *name == wanted).for_each(|(_, value)| println!("{value}"))
            }
            None => {
                println!("field\tvalue");
                fields.iter().for_each(|(name, value)| println!("{name}\t{value}"));
            }
        }
    }
    Ok(code)
}

/// `doveadm pw`: a hash for `accounts_file`.
pub(crate) fn password(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("Vl", "psurt")?;
    if options.iter().any(|(letter, _)| *letter == 'l') {
        println!("SHA512-CRYPT");
        return Ok(ExitCode::SUCCESS);
    }
    let scheme = options.iter().find(|(letter, _)| *letter == 's').map(|(_, scheme)| scheme.to_uppercase());
    if scheme.as_deref().is_some_and(|scheme| scheme != "SHA512-CRYPT") {
        bail!("only SHA512-CRYPT is made here");
    }
    let given = options.iter().find(|(letter, _)| *letter == 'p').map(|(_, word)| word.clone());
    let word = match given {
        Some(word) => word,
        None => {
            let first = ask("Enter new password: ")?;
            if first != ask("Retype new password: ")? {
                bail!("the passwords are not the same");
            }
            first
        }
    };
    println!("{{SHA512-CRYPT}}{}", accounts::hash(&word)?);
    Ok(ExitCode::SUCCESS)
}

/// `doveadm log find`: where the log is.
pub(crate) fn log(call: &mut Call) -> Result<ExitCode> {
    match call.words.first().map(String::as_str) {
        Some("find") => {
            let log = log_file(&call.config()?);
            ["Debug", "Info", "Warning", "Error", "Fatal"]
                .iter()
                .for_each(|kind| println!("{kind}: {}", log.display()));
            Ok(ExitCode::SUCCESS)
        }
        Some("errors") => Ok(call.facteur(&["log", "-n", "50", "--problems"])),
        _ => bail!("usage: doveadm log find, doveadm log errors"),
    }
}

/// `doveadm who`: sessions that the log has seen begin and not end, of processes that live.
pub(crate) fn who(call: &mut Call) -> Result<ExitCode> {
    call.options("1", "f")?;
    let config = call.config()?;
    let log = log_file(&config);
    let file = fs::File::open(&log).with_context(|| format!("{} cannot be read", log.display()))?;
    let mut open: BTreeMap<String, Session> = BTreeMap::new();
    for line in io::BufReader::new(file).split(b'\n') {
        follow(&String::from_utf8_lossy(&line?), &mut open);
    }
    let mut users: BTreeMap<(String, &str), Vec<&Session>> = BTreeMap::new();
    let wanted = |session: &&Session| call.words.is_empty() || call.words.contains(&session.user);
    for session in open.values().filter(|session| session.lives()).filter(wanted) {
        users.entry((session.user.clone(), session.service)).or_default().push(session);
    }
    println!("{:24} # {:5} {:20} (ips)", "username", "proto", "(pids)");
    for ((user, service), sessions) in users {
        let list = |field: fn(&Session) -> &str| sessions.iter().map(|one| field(one)).collect::<Vec<_>>().join(" ");
        let (pids, ips) = (list(|one| &one.pid), list(|one| &one.rip));
        println!("{user:24} {} {service:5} {:20} ({ips})", sessions.len(), format!("({pids})"));
    }
    Ok(ExitCode::SUCCESS)
}

struct Session {
    user: String,
    service: &'static str,
    pid: String,
    rip: String,
}

impl Session {
    fn lives(&self) -> bool {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        name.trim() == self.service
    }
}

/// A login opens a session, its `Disconnected` ends it.
fn follow(line: &str, open: &mut BTreeMap<String, Session>) {
    let between = |start: &str, end: &str| line.split_once(start)?.1.split_once(end).map(|(text, _)| text.to_owned());
    if line.contains("-login[") && line.contains(": Login: user=<") {
        let service = if line.contains("/imap-login[") { "imap" } else { "pop3" };
        let (user, session) = (between("user=<", ">"), between("session=<", ">"));
        let (pid, rip) = (between("mpid=", ","), between("rip=", ","));
        if let (Some(user), Some(session), Some(pid), Some(rip)) = (user, session, pid, rip) {
            open.insert(session, Session { user, service, pid, rip });
        }
    } else if let Some((head, _)) = line.split_once(">: Disconnected") {
        let session = head.rsplit_once('<').map(|(_, session)| session).unwrap_or_default();
        open.remove(session);
    }
}

pub(super) fn accounts(config: &Config) -> Accounts {
    Accounts::configured(config.text("accounts_file"))
}

/// Users log in with their bare name or with a domain of ours.
pub(super) fn local_part(config: &Config, user: &str) -> String {
    let ours = |domain: &str| config.list("mydestination").iter().any(|own| own.eq_ignore_ascii_case(domain));
    match user.rsplit_once('@') {
        Some((name, domain)) if ours(domain) => name.to_owned(),
        _ => user.to_owned(),
    }
}

fn log_file(config: &Config) -> PathBuf {
    config.path("maillog_file").unwrap_or_else(|| Path::new("/var/log/mail.log").to_path_buf())
}

/// A line from the terminal (without showing it, where `stty` can see to that) or from a pipe.
fn ask(prompt: &str) -> Result<String> {
    let silent = |on: bool| {
        let word = if on { "-echo" } else { "echo" };
        let _ = std::process::Command::new("stty").arg(word).status();
    };
    let terminal = io::stdin().is_terminal();
    if terminal {
        eprint!("{prompt}");
        io::stderr().flush()?;
        silent(true);
    }
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    if terminal {
        silent(false);
        eprintln!();
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_begin_and_end() {
        let mut open = BTreeMap::new();
        let login = "Nov 20 16:11:50 vm facteur/imap-login[9]: Login: user=<kevin>, method=PLAIN, rip=192.168.0.23, \
            lip=192.168.0.1, mpid=529, TLS, session=<Qkeif7dg3IbAqAAX>";
        follow(login, &mut open);
        let one = open.get("Qkeif7dg3IbAqAAX").unwrap();
        assert_eq!(
            (one.user.as_str(), one.service, one.pid.as_str(), one.rip.as_str()),
            ("kevin", "imap", "529", "192.168.0.23")
        );
        follow("x facteur/imap(kevin)<529><other>: Disconnected: Logged out in=1", &mut open);
        assert_eq!(open.len(), 1);
        follow("x facteur/imap(kevin)<529><Qkeif7dg3IbAqAAX>: Disconnected: Logged out in=286", &mut open);
        assert!(open.is_empty());
    }
}
