//! Who holds a lock file: written into it, so that others see when he is gone and need not wait until it is old.
//!
//! A lock whose holder was killed is broken at once; one of another program, which does not say who holds it, after two
//! minutes. A power cut leaves the file empty, so an empty one is old when it is older than this boot.

use std::time::{Duration, SystemTime};

use durable::{Access, Dir, File, Lock, Patience};

const STALE: Duration = Duration::from_secs(120);
/// More of a lock file is not looked at.
const LONGEST: u64 = 200;

/// The lock file when nobody holds it any more, to be unlinked while it is kept open: of several who find it so, one gets
/// it, and none can take away the lock that another has made meanwhile.
pub(crate) fn stale(dir: &Dir, name: &str) -> Option<File> {
    let file = dir.open_file(name, Access::Read).ok()?;
    let meta = file.meta().ok()?;
    let text = file.read_all(LONGEST).unwrap_or_default();
    let limit = if text.is_empty() { uptime().min(STALE) } else { STALE };
    let is_old = SystemTime::now().duration_since(meta.mtime).is_ok_and(|age| age > limit);
    if !is_old && !is_gone(&String::from_utf8_lossy(&text)) {
        return None;
    }
    file.flock(Lock::Exclusive, Patience::None).ok()?;
    let named = dir.stat(name).ok()?;
    ((named.inode, named.device) == (meta.inode, meta.device)).then_some(file)
}

/// The pid, as liblockfile writes it, and on the next line the boot it is of: after a power cut a pid may be another's.
pub(crate) fn named() -> String {
    format!("{}\n{}\n", std::process::id(), boot())
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// How long this boot is; for ever where it cannot be known.
pub(crate) fn uptime() -> Duration {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(Duration::MAX)
}

/// Whether the holder named in a lock file does not run any more. One that names none may.
fn is_gone(holder: &str) -> bool {
    let mut lines = holder.lines().map(str::trim);
    let Some(pid) = lines.next().and_then(|line| line.parse().ok()).filter(|pid| *pid > 0) else { return false };
    if lines.next().is_some_and(|then| !then.is_empty() && then != boot()) {
        return true;
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_is_gone_is_known() {
        let boot = boot();
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let dead = child.id();
        child.wait().expect("wait");
        for (holder, gone) in [
            (named(), false),
            (format!("{}\n", std::process::id()), false),
            (format!("{}\nanother boot\n", std::process::id()), true),
            (format!("{dead}\n{boot}\n"), true),
            (format!("{dead}"), true),
            ("0".into(), false),
            (String::new(), false),
            ("somebody".into(), false),
        ] {
            assert_eq!(is_gone(&holder), gone, "{holder:?}");
        }
    }
}
