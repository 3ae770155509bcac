//! One master per queue: a locked pid file.

use std::io;

use config::Config;
use durable::{Access, Dir, File, Lock, Patience};

/// The lock; it lasts as long as this value.
pub(super) struct Guard {
    _file: File,
}

/// Takes the lock and writes our pid.
///
/// # Errors
/// The one line to say when another master runs, or the file cannot be written.
pub(super) fn lock(config: &Config) -> Result<Guard, String> {
    let folder = config.text("run_directory");
    let failed = |e: io::Error| format!("{folder}/{NAME}: {e}");
    let dir = Dir::open(folder.as_ref()).map_err(failed)?;
    let file = match dir.create(NAME, 0o644) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => dir.open_file(NAME, Access::ReadWrite),
        result => result,
    }
    .map_err(failed)?;
    if file.lock(Lock::Exclusive, Patience::None).is_err() {
        let mut text = [0; 16];
        let length = file.read_at(&mut text, 0).unwrap_or(0);
        let pid = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).trim().to_owned();
        return Err(format!("another master is running already (process {pid}, {folder}/{NAME})"));
    }
    file.set_len(0).map_err(failed)?;
    file.write_at(format!("{}\n", std::process::id()).as_bytes(), 0).map_err(failed)?;
    Ok(Guard { _file: file })
}

const NAME: &str = "master.pid";
