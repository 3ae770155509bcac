//! What every program of the mail transport makes of the configuration when it starts.

use std::os::fd::OwnedFd;
use std::path::Path;

use accounts::Accounts;
use config::Config;
use daemon::{log, shutdown};
use privileges::{Error, Jail};

/// Reads the configuration and opens the log.
///
/// # Errors
/// The lines for the log.
pub fn begin(program: &str, dir: &Path) -> Result<Config, String> {
    let config = Config::load(dir).map_err(config::lines)?;
    open_log(program, &config)?;
    Ok(config)
}

/// Opens the log where the configuration wants it.
///
/// # Errors
/// The line for standard error.
pub fn open_log(program: &str, config: &Config) -> Result<(), String> {
    let settings = log::Settings { name: config.text("syslog_name").into(), file: config.path("maillog_file") };
    log::init(program, &settings).map_err(|e| format!("maillog_file {}: {e}", config.text("maillog_file")))
}

/// The configuration as it is now; a wrong one is one line in the log, and the caller keeps what it has.
#[must_use]
pub fn reload(dir: &Path) -> Option<Config> {
    let refused = |problems: Vec<config::Problem>| {
        let more = if problems.len() > 1 { format!(" (and {} more)", problems.len() - 1) } else { String::new() };
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        tracing::error!("reload refused, keeping the old configuration: {first}{more}");
    };
    Config::load(dir).map_err(refused).ok()
}

/// Who has mail here.
#[must_use]
pub fn accounts(config: &Config) -> Accounts {
    config.path("accounts_file").map_or_else(Accounts::system, Accounts::file)
}

/// Becomes `mail_owner` if we are root, from then on ends with the parent, and enters the jail (where the kernel lacks
/// something, a warning). Before threads start.
///
/// # Errors
/// When the user does not exist or cannot be become: end at once.
pub fn give_up_power(config: &Config, jail: &Jail<'_>) -> Result<(), Error> {
    if privileges::is_root() {
        privileges::become_user(&privileges::find_user(config.text("mail_owner"))?, None)?;
    }
    shutdown::end_with_parent();
    privileges::jail(jail).iter().for_each(|lacking| tracing::warn!("jail: {lacking}"));
    Ok(())
}

/// The socket of a delivery program, to which only `mail_owner` may connect. Before privileges go.
///
/// # Errors
/// The line for the log.
pub fn private_socket(config: &Config, program: &str) -> Result<OwnedFd, String> {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let path = Path::new(config.text("queue_directory")).join("private").join(program);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let socket = sys::channel::listen(&path).map_err(|e| failed(&e))?;
    if privileges::is_root() {
        let owner = privileges::find_user(config.text("mail_owner")).map_err(|e| failed(&e))?;
        std::os::unix::fs::lchown(&path, Some(owner.uid), Some(owner.gid)).map_err(|e| failed(&e))?;
    }
    Ok(socket)
}

/// What the system's own look-ups (users, host names, time zone) read. Directories, as editors replace files.
#[must_use]
pub fn system_files() -> Vec<&'static Path> {
    [
        "/etc",
        "/run/systemd",
        "/run/resolvconf",
        "/run/NetworkManager",
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/share/zoneinfo",
        "/dev/null",
        "/dev/urandom",
        "/proc/self",
        "/sys/devices/system/cpu",
    ]
    .map(Path::new)
    .into()
}
