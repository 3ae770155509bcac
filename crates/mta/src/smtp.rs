//! `smtp`: hands messages to other hosts, by SMTP or LMTP. One process for all connections.
//!
//! Runs as: `mail_owner`, jailed, started by master. May read: the configuration, its tables (passwords for other hosts among
//! them), certificates of authorities, the system's host names; of messages what qmgr passes as open queue files. May
//! write: nothing but its socket `QUEUE/private/smtp`. Speaks to: the net, name servers, `qmgr` over that socket
//! ([`handover::relay`]). Must not write the spool. Exits with: 0 on SIGTERM, 1 when it cannot start, 2 for a wrong command line.
//!
//! SIGHUP reads the configuration again, for orders that come afterwards; a wrong one is one line in the log.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::Config;
use daemon::{arguments, limits};
use privileges::{Exec, Jail, Network};

use crate::set_up;

mod answers;
mod content;
mod courier;
mod deliver;
mod exit;
mod find;
mod hop;
mod hosts;
mod ledger;
mod logins;
mod names;
mod nature;
mod policy;
mod pool;
mod serve;
mod settings;

use exit::Exit;
use logins::Logins;
use settings::Settings;

/// The program.
pub fn main() -> ExitCode {
    arguments::run("smtp", start)
}

fn start(dir: &Path) -> Result<(), String> {
    let config = set_up::begin("smtp", dir)?;
    let _ = limits::raise_descriptors();
    let socket = set_up::private_socket(&config, "smtp")?;
    let settings = Settings::new(&config);
    give_up_power(&config)?;
    let workers = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let runtime = daemon::runtime::build(tokio::runtime::Builder::new_multi_thread().worker_threads(workers));
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(serve::run(&config, settings, socket))
}

/// The jail: see the head of this file. Directories rather than files, since editors replace files.
fn give_up_power(config: &Config) -> Result<(), String> {
    let mut readable = directories(config);
    readable.push(config.dir().to_owned());
    let mut read_only = set_up::system_files();
    read_only.extend(AUTHORITIES.map(Path::new));
    read_only.extend(readable.iter().map(PathBuf::as_path));
    let jail = Jail { read_only: &read_only, read_write: &[], exec: Exec::Never, network: Network::Allow };
    set_up::give_up_power(config, &jail).map_err(|e| e.to_string())
}

/// Where its tables are.
pub(crate) fn directories(config: &Config) -> Vec<PathBuf> {
    let mut files = config.tables("smtp_tls_policy_maps").files();
    files.extend(Logins::new(config).files());
    files.extend(Exit::new(config).files());
    files.extend(config.path("smtp_tls_CAfile"));
    files.into_iter().filter_map(|file| file.parent().map(Path::to_owned)).collect()
}

/// Where links in `/etc/ssl/certs` lead.
const AUTHORITIES: [&str; 2] = ["/usr/share/ca-certificates", "/usr/local/share/ca-certificates"];
