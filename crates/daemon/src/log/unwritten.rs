//! `/var/log/mail.log` on a machine where nobody else writes it: no syslog daemon runs, or journald alone, which keeps
//! the lines to itself.
//!
//! Promise: while a syslog daemon takes the lines, this file is left to it, so that no line stands there twice. Looks
//! again every few seconds, as a syslog daemon may be installed or removed under us. Only root opens the file; what
//! root starts keeps it open after power is given up. So it cannot be renamed and made anew when it is rotated: it is
//! copied and emptied, under an exclusive lock (BSD) that makes each line come before or after, never between. Who holds
//! that lock too long is not waited for. Can fail: the file cannot be opened; then lines go to syslog only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use durable::Patience;
use durable::lock;

/// The file, and how to know whether it is ours to write.
pub(super) struct Unwritten {
    file: File,
    host: String,
    places: Places,
    /// Held while a line is written: the threads share one lock on the file.
    seen: Mutex<Seen>,
}

/// What was found, and when; nothing yet at first.
#[derive(Default)]
struct Seen {
    ours: Option<(Instant, bool)>,
    /// The lock was waited for in vain at that time.
    in_vain: Option<Instant>,
}

/// Where to look for a syslog daemon.
pub(super) struct Places {
    /// The socket that programs log to.
    pub(super) log: PathBuf,
    /// journald's, which `log` then is a link to.
    pub(super) journal: PathBuf,
    /// Where journald hands lines on to a syslog daemon.
    pub(super) behind_journal: PathBuf,
}

impl Unwritten {
    /// Opens the file, if we are root.
    pub(super) fn open() -> Option<Self> {
        let path = Path::new(MAIL_LOG);
        let file = privileges::is_root().then(|| open(path, group(ADM)).ok()).flatten()?;
        Some(Self { file, host: super::short_host().ok()?, places: Places::default(), seen: Mutex::default() })
    }

    /// Writes a line, made with the machine's name, when nobody else does.
    pub(super) fn write(&self, line: impl FnOnce(&str) -> String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.ours(&self.places) {
            return;
        }
        let lock = lock::hold(&self.file, seen.patience());
        seen.in_vain = lock.is_err().then(|| seen.in_vain.filter(recent).unwrap_or_else(Instant::now));
        let mut file = &self.file;
        let _ = file.write_all(line(&self.host).as_bytes());
    }
}

impl Seen {
    fn ours(&mut self, places: &Places) -> bool {
        match self.ours {
            Some((when, ours)) if recent(&when) => ours,
            _ => {
                let ours = !places.syslog_runs();
                self.ours = Some((Instant::now(), ours));
                ours
            }
        }
    }

    /// Waits long enough for a rotation, which only adds and empties under the lock; not again and again.
    fn patience(&self) -> Patience {
        if self.in_vain.is_some_and(|when| recent(&when)) { Patience::None } else { Patience::for_duration(ROTATION) }
    }
}

fn recent(when: &Instant) -> bool {
    when.elapsed() < LOOK
}

impl Places {
    fn syslog_runs(&self) -> bool {
        if super::connect(&self.log).is_err() {
            return false;
        }
        let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if resolved(&self.log) != resolved(&self.journal) {
            return true;
        }
        let nobody = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
        super::connect(&self.behind_journal).map_or_else(|error| !nobody.contains(&error.kind()), |_| true)
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            log: super::DEV_LOG.into(),
            journal: "/run/systemd/journal/dev-log".into(),
            behind_journal: "/run/systemd/journal/syslog".into(),
        }
    }
}

/// Readable by the group that may read logs, as syslog daemons make it.
fn open(path: &Path, group: Option<u32>) -> io::Result<File> {
    let options = || {
        let mut options = OpenOptions::new();
        options.append(true).mode(0o640).custom_flags(nix::libc::O_NOFOLLOW);
        options
    };
    match options().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options().open(path),
        Err(error) => Err(error),
        Ok(file) => {
            // A group that cannot be given leaves the file to root, who can still read it.
            let _ = group
                .filter(|group| file.metadata().is_ok_and(|meta| meta.gid() != *group))
                .map(|group| fchown(&file, None, Some(group)));
            Ok(file)
        }
    }
}

fn group(name: &str) -> Option<u32> {
    nix::unistd::Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
}

const MAIL_LOG: &str = "/var/log/mail.log";
const ADM: &str = "adm";
const LOOK: Duration = Duration::from_secs(5);
const ROTATION: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_syslog_daemon_is_noticed_with_and_without_journald() {
        let dir = tempfile::tempdir().expect("dir");
        let at = |name: &str| dir.path().join(name);
        let places = Places { log: at("log"), journal: at("dev-log"), behind_journal: at("syslog") };
        assert!(!places.syslog_runs(), "nothing there");
        let own = UnixDatagram::bind(at("log")).expect("bind");
        assert!(places.syslog_runs(), "a syslog daemon has the socket");
        drop(own);
        assert!(!places.syslog_runs(), "it has ended");
        fs::remove_file(at("log")).expect("removed");
        let _journald = UnixDatagram::bind(at("dev-log")).expect("bind");
        std::os::unix::fs::symlink("dev-log", at("log")).expect("link");
        assert!(!places.syslog_runs(), "journald alone");
        let behind = UnixDatagram::bind(at("syslog")).expect("bind");
        assert!(places.syslog_runs(), "journald hands on");
        drop(behind);
        assert!(!places.syslog_runs(), "nobody takes what it hands on");
    }

    /// What is copied and emptied under the lock loses no line; without the lock it does.
    #[test]
    fn no_line_falls_between_copy_and_emptying() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("mail.log");
        let places = Places { log: dir.path().join("none"), ..Places::default() };
        let file = open(&path, None).expect("made");
        let log = Unwritten { file, host: "vm".into(), places, seen: Mutex::default() };
        let kept = std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..2000).for_each(|_| log.write(|_| "x\n".into())))).collect();
            let mut kept = 0;
            while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                // Only when something is there: who rotates without end keeps the lock from the writers.
                if fs::metadata(&path).expect("there").len() > 0 {
                    kept += rotate(&path);
                }
                std::thread::yield_now();
            }
            kept
        });
        assert_eq!(kept + rotate(&path), 8000);
    }

    /// As logrotate and our script do it; the number of lines.
    fn rotate(path: &Path) -> usize {
        let file = OpenOptions::new().write(true).open(path).expect("opened");
        file.lock().expect("locked");
        let text = fs::read(path).expect("read");
        std::thread::yield_now();
        file.set_len(0).expect("emptied");
        text.iter().filter(|octet| **octet == b'\n').count()
    }

    #[test]
    fn a_lock_that_stays_does_not_stop_the_log() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("mail.log");
        let places = Places { log: dir.path().join("none"), ..Places::default() };
        let file = open(&path, None).expect("made");
        let log = Unwritten { file, host: "vm".into(), places, seen: Mutex::default() };
        let other = fs::File::open(&path).expect("opened");
        let held = lock::hold(&other, Patience::None).expect("shared");
        log.write(|host| format!("{host} beside another\n"));
        drop(held);
        other.lock().expect("exclusive");
        let begin = Instant::now();
        (0..100).for_each(|_| log.write(|_| "x\n".into()));
        assert!(begin.elapsed() < 3 * ROTATION, "{:?}", begin.elapsed());
        assert_eq!(fs::read_to_string(&path).expect("read").lines().count(), 101);
    }

    #[test]
    fn the_file_is_made_for_the_group_and_never_through_a_link() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("mail.log");
        let own = nix::unistd::getegid().as_raw();
        drop(open(&path, Some(own)).expect("made"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        drop(open(&path, None).expect("opened again"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert!(open(&link, None).is_err());
    }
}
