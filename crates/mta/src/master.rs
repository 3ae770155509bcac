//! `master`: binds the SMTP ports, keeps `smtpd`, `pickup`, `qmgr` and `local` running, and checks passwords for smtpd.
//!
//! Runs as: root, or any user in one-directory mode. Reads: the configuration, the certificate and its key. Writes: the
//! queue's directories (makes them), its pid file, the self-signed certificate. Speaks to: smtpd over a socket pair
//! ([`crate::control`], `accounts::check`). Parses nothing from the net. Exits with: 0 after SIGTERM or SIGINT, 1 when it
//! cannot start (one line on standard error and in the log says why), 2 for a wrong command line.
//!
//! SIGHUP reads the configuration again; a wrong one is one line in the log and everything stays as it was. A jailed program
//! that would have to read a table in a directory new to it is replaced by a new one: smtpd while its sessions go on, the
//! others when they have finished what they have begun.

use std::path::Path;
use std::process::ExitCode;

use config::Config;
use daemon::{arguments, version};

mod children;
mod guard;
mod layout;
mod passwords;
mod ports;
mod reach;

use children::Plan;

/// The program.
pub fn main() -> ExitCode {
    arguments::run("master", start)
}

fn start(dir: &Path) -> Result<(), String> {
    let config = Config::load(dir).map_err(config::lines)?;
    layout::make_log_folder(&config);
    crate::set_up::open_log("master", &config)?;
    let _ = daemon::limits::raise_descriptors();
    // Not allowed everywhere, and mail goes its way without.
    let _ = sys::schedule::in_batches();
    layout::make(&config).map_err(|e| e.to_string())?;
    let _only_one = guard::lock(&config)?;
    layout::empty_pool(&config).map_err(|e| e.to_string())?;
    let listeners = ports::bind(&config).map_err(|e| e.to_string())?;
    // One thread: a child that ends with its parent ends with the thread that started it.
    let runtime =
        daemon::runtime::build(&mut tokio::runtime::Builder::new_current_thread()).map_err(|e| e.to_string())?;
    tracing::info!("daemon started -- version {}, configuration {}", version::short(), dir.display());
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    runtime.block_on(children::run(Plan { config, listeners }))
}
