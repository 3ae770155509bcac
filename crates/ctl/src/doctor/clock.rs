//! A clock that is wrong: behind what was already written, or before this program was built.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{Fault, Patient};
use crate::record;

/// Files from the future, a program from the future.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let now = SystemTime::now();
    let queue = PathBuf::from(patient.config.text("queue_directory"));
    let written = [
        record::file(patient.config),
        queue.join("incoming"),
        queue.join("active"),
        patient.config.dir().to_path_buf(),
    ];
    let program = std::env::current_exe().ok();
    let mut later: Vec<(PathBuf, SystemTime)> = Vec::new();
    for path in written.into_iter().chain(program) {
        if let Ok(time) = fs::metadata(&path).and_then(|meta| meta.modified()) {
            later.push((path, time));
        }
    }
    let newest = later.into_iter().filter(|(_, time)| *time > now + MARGIN).max_by_key(|(_, time)| *time);
    let fault = |(path, time): (PathBuf, SystemTime)| {
        let ahead = time.duration_since(now).unwrap_or_default().as_secs() / 60;
        let sentence = format!("The clock is wrong: {} was written {ahead} minutes in the future.", path.display());
        Fault::new(sentence, "timedatectl set-ntp true   # or: date -s 'YYYY-MM-DD HH:MM'")
    };
    newest.map(fault).into_iter().collect()
}

/// File servers and containers may differ a little.
const MARGIN: Duration = Duration::from_secs(120);
