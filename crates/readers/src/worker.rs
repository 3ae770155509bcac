//! `pop3` and `imap`: all sessions of one user. See [`daemon::login::worker`].
//!
//! Runs as: the user named by `--user`, jailed, started by the keeper with its socket as standard input. May read and
//! write: the user's home and mailboxes. Speaks to: the client, the keeper. Exits with: 0 when the keeper hangs up or it
//! was told to stop, 1 when it cannot start, 2 for a wrong command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use accounts::Account;
use config::Config;
use config::mailbox::{Reading, reading};
use daemon::login::worker::{Mail, Settings};
use daemon::shutdown::{self, Signals};
use daemon::{Channel, arguments, limits, login};
use nix::sys::stat::{Mode, umask};
use privileges::{Exec, Jail, Network, User};

use crate::Service;

/// The program. `make` builds what serves the sessions, with the user's rights.
pub fn main<M: Mail>(service: &Service, make: impl FnOnce(&Config, &Account) -> M) -> ExitCode {
    let (dir, rest) = match arguments::read(service.worker) {
        Ok(read) => read,
        Err(status) => return status,
    };
    let rest: Vec<&str> = rest.iter().filter_map(|argument| argument.to_str()).collect();
    let ["--user", user] = rest[..] else {
        eprintln!("usage: {} [-c DIR] --user NAME (started by {})", service.worker, service.keeper);
        return ExitCode::from(2);
    };
    arguments::status(start(service, &dir, user, make))
}

fn start<M: Mail>(
    service: &Service,
    dir: &Path,
    user: &str,
    make: impl FnOnce(&Config, &Account) -> M,
) -> Result<(), String> {
    let config = crate::prepare(service.worker, dir)?;
    let _ = limits::raise_descriptors();
    let found = crate::accounts(&config).find(user).map_err(|e| e.to_string())?;
    let account = found.ok_or_else(|| format!("no user {user}"))?;
    become_owner(&config, &account)?;
    let mail = make(&config, &account);
    let settings = Settings::new(service.protocol, service.line_limit, service.silence.length(&config));
    // One thread for the sessions, since taking the mail group for a moment concerns the whole process; disk work has
    // its own threads.
    let runtime =
        daemon::runtime::build(&mut tokio::runtime::Builder::new_current_thread()).map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let signals = Signals::listen().map_err(|e| e.to_string())?;
        let channel =
            Channel::inherited().map_err(|_| format!("{} is started by {}", service.worker, service.keeper))?;
        login::worker::run(mail, settings, channel, signals.stop.clone()).await.map_err(|e| e.to_string())
    })
}

/// Becomes the user for good, with the mail group in reserve, and enters the jail.
fn become_owner(config: &Config, account: &Account) -> Result<(), String> {
    if privileges::is_root() {
        let user = User { name: account.name.clone(), uid: account.uid, gid: account.gid };
        let group = privileges::find_group(config.text("mail_privileged_group")).ok();
        privileges::become_user_in(&user, group, &access_groups(config))
            .map_err(|e| format!("{}: {e}", account.name))?;
    }
    umask(Mode::from_bits_truncate(0o077));
    shutdown::end_with_parent();
    let places = places(config, account);
    let jail = Jail {
        read_only: &[
            Path::new("/etc"),
            Path::new("/dev/null"),
            Path::new("/dev/urandom"),
            Path::new("/usr/share/zoneinfo"),
            // To know whose locks are left over from before a power cut.
            Path::new("/proc/sys/kernel/random/boot_id"),
            Path::new("/proc/uptime"),
        ],
        read_write: &places.iter().map(PathBuf::as_path).collect::<Vec<_>>(),
        exec: Exec::Never,
        network: Network::Deny,
    };
    privileges::jail(&jail).iter().for_each(|lacking| tracing::warn!("jail: {lacking}"));
    Ok(())
}

/// `mail_access_groups`. The group of root is nobody's, and one that is not there is left out, not the user's mail.
fn access_groups(config: &Config) -> Vec<u32> {
    let mut groups = Vec::new();
    for name in config.list("mail_access_groups") {
        match privileges::find_group(&name) {
            Ok(0) => tracing::error!("mail_access_groups: {name} is the group of root, nobody gets it"),
            Ok(group) => groups.push(group),
            Err(error) => tracing::error!("mail_access_groups: {error}"),
        }
    }
    groups
}

/// The home, and where mailboxes and their locks are.
fn places(config: &Config, account: &Account) -> Vec<PathBuf> {
    let above = |path: &Path| path.parent().map(Path::to_owned);
    let mut places = vec![account.home.clone()];
    match reading(config, &account.name, &account.home) {
        Reading::Maildir { root } => {
            places.extend(above(&root).filter(|_| !root.exists()));
            places.push(root);
        }
        Reading::Mbox { inbox, folders } => places.extend(above(&inbox).into_iter().chain([folders])),
    }
    places
}
