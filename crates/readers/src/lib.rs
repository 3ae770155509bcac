//! The six programs of the readers' services, but for the protocol: `popd`, `pop3-login`, `pop3` and `imapd`,
//! `imap-login`, `imap`. They read the configuration, open the log, take only the rights they need and run the parts of
//! [`daemon::login`].
//!
//! A service says who it is by a [`Service`]; its three `main` functions are [`keeper::main`], [`front::main`] and
//! [`worker::main`].

pub mod front;
pub mod keeper;
pub mod mailbox;
pub mod worker;

use std::path::Path;
use std::time::Duration;

use config::Config;
use daemon::log;

/// Names and numbers of a service.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// In `protocols`, and what the log calls a session: `pop3`.
    pub protocol: &'static str,
    /// The program that may be root: `popd`.
    pub keeper: &'static str,
    /// The program that talks before login: `pop3-login`.
    pub front: &'static str,
    /// The program that talks after login: `pop3`.
    pub worker: &'static str,
    /// The port that begins in clear.
    pub port: u16,
    /// The port that begins with TLS.
    pub tls_port: u16,
    /// The longest command line after login.
    pub line_limit: usize,
    /// How long a client may be silent after login before the machine is told.
    pub silence: Silence,
}

/// Where a length of time is laid down.
#[derive(Clone, Copy, Debug)]
pub enum Silence {
    /// Here.
    Fixed(Duration),
    /// In the configuration, under this name.
    Parameter(&'static str),
}

impl Silence {
    fn length(self, config: &Config) -> Duration {
        match self {
            Self::Fixed(length) => length,
            Self::Parameter(name) => config.time(name).max(Duration::from_secs(1)),
        }
    }
}

/// Reads the configuration and opens the log.
fn prepare(program: &str, dir: &Path) -> Result<Config, String> {
    let config = Config::load(dir).map_err(config::lines)?;
    let settings = log::Settings { name: config.text("syslog_name").into(), file: config.path("maillog_file") };
    log::init(program, &settings).map_err(|e| format!("maillog_file {}: {e}", config.text("maillog_file")))?;
    Ok(config)
}

fn accounts(config: &Config) -> accounts::Accounts {
    config.path("accounts_file").map_or_else(accounts::Accounts::system, accounts::Accounts::file)
}
