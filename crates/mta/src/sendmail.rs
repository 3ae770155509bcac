//! `sendmail`, `mailq`, `newaliases` and `facteur-drop`: the commands by which programs and people on this machine hand
//! over mail and look at the queue.
//!
//! Runs as: the user who calls it; `facteur-drop` with the group `setgid_group` besides. Reads: standard input, the
//! configuration; `mailq` the queue, where it may, else it asks `pickup`. Writes: only `facteur-drop` writes, and only in
//! `maildrop`. Speaks to: `facteur-drop` (a pipe), `pickup` and `qmgr` (wake-ups, which may be lost). No daemon need run for
//! mail to be taken. Exits with: the codes of `sysexits.h`, see [`Exit`].
//!
//! Promise: status 0 means that the message survives a power cut. Any other status means that nothing will be delivered.

use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;

use config::Config;

mod aliases;
mod drop;
mod options;
mod session;
mod submit;
mod verify;

pub use drop::main as drop_main;
pub(crate) use submit::is_field;

use options::{Mode, Options};

/// Why a command failed: the status of `sysexits.h`, and a sentence for standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    status: u8,
    text: String,
}

impl Exit {
    /// The command line is wrong (64).
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { status: 64, text: text.into() }
    }
    /// The message is wrong (65).
    pub(crate) fn data(text: impl Into<String>) -> Self {
        Self { status: 65, text: text.into() }
    }
    /// No such user (67).
    pub(crate) fn no_user(text: impl Into<String>) -> Self {
        Self { status: 67, text: text.into() }
    }
    /// It cannot be done here (69).
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { status: 69, text: text.into() }
    }
    /// Try again later (75).
    pub(crate) fn temporary(text: impl Into<String>) -> Self {
        Self { status: 75, text: text.into() }
    }
    /// The caller may not (77).
    pub(crate) fn forbidden(text: impl Into<String>) -> Self {
        Self { status: 77, text: text.into() }
    }
    /// The configuration is wrong (78).
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self { status: 78, text: text.into() }
    }
    /// Ended with this status after saying why itself.
    pub(crate) fn said(status: u8) -> Self {
        Self { status, text: String::new() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The program `name`, with its arguments. `mailq` is `sendmail -bp`, `newaliases` is `sendmail -bi`.
#[must_use]
pub fn main(name: &str) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--version") {
        println!("{}", daemon::version::text(name));
        return ExitCode::SUCCESS;
    }
    let done = options::read(name, &arguments).and_then(run);
    finish(name, done)
}

/// Says on standard error what went wrong, and with which status to end.
pub(crate) fn finish(name: &str, done: Result<(), Exit>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if !exit.text.is_empty() {
                writeln!(std::io::stderr(), "{name}: fatal: {exit}").ok();
            }
            ExitCode::from(exit.status)
        }
    }
}

fn run(options: Options) -> Result<(), Exit> {
    let config = load(&options.config_dir)?;
    match &options.mode {
        Mode::Submit => submit::run(&options, &config),
        Mode::List => list(&config),
        Mode::Aliases => aliases::check(&config),
        Mode::Verify => verify::run(&options, &config),
        Mode::Flush => wake(&config, "qmgr", b"flush\n"),
        Mode::FlushOne(id) => wake(&config, "qmgr", format!("flush {id}\n").as_bytes()),
        Mode::FlushSite(domain) => wake(&config, "qmgr", format!("flush {domain}\n").as_bytes()),
        Mode::Daemon => Err(Exit::usage("the mail system is started as a service: systemctl start facteur")),
        Mode::Smtp => session::run(&config),
    }
}

/// Reads the configuration; all that is wrong in it, a line each.
pub(crate) fn load(dir: &Path) -> Result<Config, Exit> {
    Config::load(dir).map_err(|problems| match problems.iter().any(|problem| problem.passes) {
        true => Exit::temporary(config::lines(problems)),
        false => Exit::config(config::lines(problems)),
    })
}

fn list(config: &Config) -> Result<(), Exit> {
    let text = crate::pickup::listing::fetch(config)?;
    std::io::stdout().write_all(&text).map_err(|error| Exit::unavailable(format!("standard output: {error}")))
}

/// Tells a program of the mail system that there is something to do.
fn wake(config: &Config, program: &str, what: &[u8]) -> Result<(), Exit> {
    let path = Path::new(config.text("queue_directory")).join("public").join(program);
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(what, &path));
    sent.map(drop).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Exit::forbidden("only root can have the queue tried now"),
        _ => Exit::unavailable(format!("Mail system is down -- {}: {error}", path.display())),
    })
}
