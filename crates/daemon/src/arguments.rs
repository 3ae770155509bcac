//! The command line every daemon has (`-c DIR`, `--version`), and the status it exits with.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The whole of a daemon's `main`: `start` is given the configuration directory.
pub fn run<E: Display>(program: &str, start: impl FnOnce(&Path) -> Result<(), E>) -> ExitCode {
    match read_dir_only(program) {
        Ok(dir) => status(start(&dir)),
        Err(status) => status,
    }
}

/// What a daemon exits with; what went wrong is one line on standard error and in the log.
pub fn status(end: Result<(), impl Display>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            crate::log::fatal(format_args!("{problem:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line: the configuration directory, and what else stood there, for the program to judge.
///
/// # Errors
/// The status to exit with at once: after `--version` (printed), or after a usage line on standard error.
pub fn read(program: &str) -> Result<(PathBuf, Vec<OsString>), ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let (mut dir, mut rest) = (PathBuf::from(DEFAULT), Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--version") => {
                println!("{}", crate::version::text(program));
                return Err(ExitCode::SUCCESS);
            }
            Some("-c") => match arguments.next() {
                Some(value) => dir = value.into(),
                None => return Err(usage(program)),
            },
            Some("-h" | "--help") => return Err(usage(program)),
            _ => rest.push(argument),
        }
    }
    Ok((dir, rest))
}

/// As [`read`], for a program that takes nothing else.
///
/// # Errors
/// As [`read`].
pub fn read_dir_only(program: &str) -> Result<PathBuf, ExitCode> {
    match read(program)? {
        (dir, rest) if rest.is_empty() => Ok(dir),
        _ => Err(usage(program)),
    }
}

fn usage(program: &str) -> ExitCode {
    eprintln!("usage: {program} [-c DIR] [--version]");
    ExitCode::from(2)
}

const DEFAULT: &str = "/etc/facteur";
