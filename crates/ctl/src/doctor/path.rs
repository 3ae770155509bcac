//! A `sendmail` in the search path that is another mail system's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Fault, Patient};

/// The first `sendmail` that programs find must be ours.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let ours = fs::canonicalize(Path::new(patient.config.text("command_directory")).join("sendmail"));
    let search = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&search).chain(["/usr/sbin", "/usr/lib"].map(PathBuf::from));
    let mut foreign: Vec<(PathBuf, PathBuf)> = Vec::new();
    for path in dirs.map(|dir| dir.join("sendmail")) {
        let Ok(real) = fs::canonicalize(&path) else { continue };
        if ours.as_ref().is_ok_and(|ours| *ours == real) {
            break;
        }
        if !foreign.iter().any(|(_, known)| *known == real) {
            foreign.push((path, real));
        }
    }
    let fault = |(path, real): (PathBuf, PathBuf)| {
        let to = if real == path { String::new() } else { format!(" (which is {})", real.display()) };
        let sentence = format!("The sendmail that programs find, {}{to}, is not Facteur's.", path.display());
        Fault::new(sentence, format!("dpkg -S {}   # and remove that package, or the file", real.display()))
    };
    foreign.into_iter().map(fault).collect()
}
