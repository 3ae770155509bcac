//! Disks without room: for the queue, for the mail, for the log.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::{Fault, Patient};
use crate::record;

/// Less room than smtpd demands before it takes a message, or almost no files left.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let config = patient.config;
    let size = config.bytes("message_size_limit");
    let least = config.bytes("queue_minfree").max(size + size / 2).max(1 << 20);
    let log = record::file(config);
    let places = [
        ("the queue", PathBuf::from(config.text("queue_directory")), least),
        ("mail", PathBuf::from(config.text("mail_spool_directory")), least),
        ("the log", log.parent().unwrap_or(Path::new("/")).to_path_buf(), 1 << 20),
    ];
    let mut seen = Vec::new();
    places.iter().filter_map(|(what, path, least)| full(what, path, *least, &mut seen)).collect()
}

/// One fault for each disk.
fn full(what: &str, path: &Path, least: u64, seen: &mut Vec<u64>) -> Option<Fault> {
    let told = statvfs(path).ok()?;
    let (disk, free) = (told.filesystem_id(), told.blocks_available().saturating_mul(told.fragment_size()));
    let no_files = told.files() > 0 && told.files_available() < 100;
    if seen.contains(&disk) || (free >= least && !no_files) {
        return None;
    }
    seen.push(disk);
    let shown = path.display();
    let sentence = match no_files {
        true => format!("The disk of {what}, {shown}, has no room for more files."),
        false => format!(
            "The disk of {what}, {shown}, is full: {} MB are free, {} MB are needed.",
            free >> 20,
            (least >> 20).max(1)
        ),
    };
    Some(Fault::new(sentence, format!("du -xh {shown} | sort -h | tail   # then remove what is not needed")))
}
