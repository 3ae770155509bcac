//! `facteur`: try the mail system, check and change its settings, start and stop it, look at its queue.
//!
//! Runs as: whoever calls it; nothing here is needed for mail to flow. May read: the configuration, the log, the queue
//! (where the caller may). May write: `facteur.yaml` (`config set`), queue files (`queue hold` and so on), the directory
//! of `try`. Speaks to: the daemons, by signals. Exits with: 0; 1 and one line for each thing that is wrong; 2 for a
//! command that cannot be understood; 3 from `status` when something that should run does not;
//! 75 from `dns` when the DNS does not answer.

mod arguments;
mod check;
mod complete;
mod daemons;
mod destinations;
mod dns;
mod doctor;
mod explain;
mod import;
mod log;
mod ports;
mod processes;
mod queue;
pub mod reach;
mod record;
mod settings;
mod status;
mod trace;
mod trial;
mod version;
mod why;

pub use settings::write;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{CommandFactory as _, Parser as _};
use config::Config;

use arguments::{Arguments, Command, QueueAction};

/// The command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        // These do something besides showing it, and carry it through.
        Command::Try(_) | Command::Queue(QueueAction::Import(_) | QueueAction::Export) => {}
        _ => sys::end_with_the_reader(),
    }
    obey(&arguments)
}

/// The same for words of a caller's, who has found out what is wanted; the first is the program's name.
#[must_use]
pub fn facteur<T: Into<OsString> + Clone>(words: impl IntoIterator<Item = T>) -> ExitCode {
    match Arguments::try_parse_from(words) {
        Ok(arguments) => obey(&arguments),
        Err(error) => {
            let _ = error.print();
            ExitCode::from(2)
        }
    }
}

/// The process number of the mail transport that runs with this configuration.
#[must_use]
pub fn master(config: &Config) -> Option<i32> {
    processes::running(config.dir()).into_iter().find(|process| process.name == "master").map(|process| process.pid)
}

fn obey(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                eprintln!("facteur: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let dir = arguments.config.as_path();
    match &arguments.command {
        Command::Try(options) => trial::run(options)?,
        Command::Doctor(options) => return doctor::run(dir, options),
        Command::Check => return check::run(dir),
        Command::Status => return status::run(&salvage(dir)?),
        Command::Start(services) => daemons::start(&load(dir)?, &services.services)?,
        Command::Stop(services) => daemons::stop(&salvage(dir)?, &services.services)?,
        Command::Import(options) => import::run(options, dir)?,
        Command::Reload => daemons::reload(&load(dir)?)?,
        Command::Config(action) => settings::run(action, dir)?,
        Command::Queue(action @ (QueueAction::List { .. } | QueueAction::Show { .. } | QueueAction::Cat { .. })) => {
            return queue::run(&salvage(dir)?, action);
        }
        Command::Queue(action) => return queue::run(&load(dir)?, action),
        Command::Log(options) => return log::run(&salvage(dir)?, options),
        Command::Complete { words } => complete::run(&Arguments::command(), words),
        Command::Destinations { json } => return destinations::run(&load(dir)?, *json),
        Command::Dns(options) => return dns::run(&load(dir)?, options),
        Command::Explain { address, from } => return explain::run(&load(dir)?, address, from.as_deref()),
        Command::Why { id } => return why::run(&load(dir)?, id),
        Command::Trace { id } => return trace::run(&load(dir)?, id),
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration, or all that is wrong with it as one error with a line for each.
fn load(dir: &Path) -> Result<Config> {
    Config::load(dir).map_err(|problems| anyhow!(config::lines(problems)))
}

/// The configuration as far as it is right, for looking and stopping; what is wrong is told as a warning.
fn salvage(dir: &Path) -> Result<Config> {
    let (config, problems) = Config::salvage(dir).map_err(|problems| anyhow!(config::lines(problems)))?;
    problems.iter().for_each(|problem| eprintln!("warning: {problem}"));
    Ok(config)
}
