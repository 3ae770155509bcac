//! Which of our daemons run, found in `/proc`: no file with a number that could be stale.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use config::Config;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) pid: i32,
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let Process { name, pid } = self;
        let what = if signal == Signal::SIGHUP { "reload" } else { "end" };
        match kill(Pid::from_raw(*pid), signal) {
            Err(Errno::EPERM) => bail!("only root may tell {name} (process {pid}) to {what}"),
            done => done.with_context(|| format!("{name} (process {pid}) cannot be told to {what}")),
        }
    }

    /// Is it still there? (A zombie is not.)
    pub(crate) fn lives(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid)).is_ok_and(|stat| !stat.contains(") Z "))
    }
}

/// The daemons a configuration asks for, of those that are installed (each has a package of its own).
pub(crate) fn wanted(config: &Config) -> Vec<&'static str> {
    let protocols = config.list("protocols");
    let has = |name: &str| protocols.iter().any(|protocol| protocol == name);
    let readers = [("pop3", "popd"), ("imap", "imapd")].into_iter().filter(|(protocol, _)| has(protocol));
    let asked: Vec<&str> = std::iter::once("master").chain(readers.map(|(_, program)| program)).collect();
    let there = |name: &&&str| Path::new(config.text("daemon_directory")).join(name).exists();
    let installed: Vec<&str> = asked.iter().filter(there).copied().collect();
    // With none at all, each of them is missing.
    if installed.is_empty() { asked } else { installed }
}

/// The daemons that run with the configuration in `dir`.
pub(crate) fn running(dir: &Path) -> Vec<Process> {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf());
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<Process> = pids.filter_map(|pid| daemon(pid, &dir)).collect();
    found.sort_by_key(|process| (NAMES.iter().position(|name| *name == process.name), process.pid));
    found
}

const NAMES: [&str; 3] = ["master", "popd", "imapd"];

fn daemon(pid: i32, dir: &Path) -> Option<Process> {
    let process = |file: &str| PathBuf::from(format!("/proc/{pid}/{file}"));
    let name = fs::read_to_string(process("comm")).ok()?;
    let name = NAMES.into_iter().find(|known| *known == name.trim())?;
    let words = fs::read_to_string(process("cmdline")).ok()?;
    let own = configuration(words.split('\0'))?;
    let own = match (own.is_absolute(), fs::read_link(process("cwd"))) {
        (false, Ok(cwd)) => cwd.join(own),
        _ => own,
    };
    let own = fs::canonicalize(&own).unwrap_or(own);
    let process = Process { name, pid };
    (own == dir && process.lives()).then_some(process)
}

/// The directory after `-c`, or the usual one.
fn configuration<'a>(words: impl Iterator<Item = &'a str>) -> Option<PathBuf> {
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        match word.strip_prefix("-c") {
            Some("") => return words.next().map(PathBuf::from),
            Some(dir) => return Some(PathBuf::from(dir)),
            None => {}
        }
    }
    Some(PathBuf::from("/etc/facteur"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_on_a_command_line() {
        let dir = |line: &str| configuration(line.split(' ')).unwrap();
        assert_eq!(dir("/usr/lib/facteur/master -c /x/etc"), Path::new("/x/etc"));
        assert_eq!(dir("master -c/x/etc"), Path::new("/x/etc"));
        assert_eq!(dir("master"), Path::new("/etc/facteur"));
    }

    #[test]
    fn readers_run_when_asked_for() {
        let config = |text| Config::parse(Path::new("/"), text).unwrap();
        assert_eq!(wanted(&config("")), ["master", "popd", "imapd"]);
        assert_eq!(wanted(&config("protocols: imap")), ["master", "imapd"]);
        assert_eq!(wanted(&config("protocols:")), ["master"]);
    }
}
