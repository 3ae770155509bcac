//! Who holds a lock file: named in it from its first moment, so that others see when he is gone and need not wait until it
//! is old.
//!
//! A lock is written under a name of its own and gets the lock's name by a rename that replaces nothing: a holder killed at
//! any moment leaves no lock, or one that names him. The lock of one who is gone is broken at once; one of another program,
//! which does not say who holds it, after two minutes. A power cut may empty the file, so an empty one is old when it is
//! older than this boot. Layout: pid, as liblockfile writes it; the boot it is of (after a power cut a pid may be
//! another's); the host (a pid of another machine on shared storage says nothing); one line each, then what the lock's user
//! writes there.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use durable::{Access, Dir, File, Lock, Patience};

const STALE: Duration = Duration::from_secs(120);
/// More of a lock file is not looked at to learn who holds it.
const LONGEST: usize = 400;

/// Makes the lock file `name`; `None` while there is one.
pub(crate) fn make(dir: &Dir, name: &str, mode: u32) -> io::Result<Option<File>> {
    // Whoever waits asks again and again: most times this look is all that happens.
    if dir.stat(name).is_ok() {
        return Ok(None);
    }
    let (own, file) = create_own(dir, name, mode)?;
    match file.append(named().as_bytes()).and_then(|_| dir.rename_new(&own, dir, name)) {
        Ok(()) => Ok(Some(file)),
        Err(error) => {
            let _ = dir.unlink(&own);
            if error.kind() == io::ErrorKind::AlreadyExists { Ok(None) } else { Err(error) }
        }
    }
}

/// A file under a name that only this process uses now. One left over by a process that had our number is passed by.
fn create_own(dir: &Dir, name: &str, mode: u32) -> io::Result<(String, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (host, pid) = (host().replace('/', "_"), std::process::id());
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = format!(".{}{OWN}{host}.{pid}.{count}", name.trim_start_matches('.'));
        match dir.create(&own, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
            created => return created.map(|file| (own, file)),
        }
    }
}

/// Between a lock's name and what makes the name the process's own.
const OWN: &str = ".by.";

/// Removes what processes left behind that were killed on the way to a lock in this directory.
pub(crate) fn sweep(dir: &Dir) -> io::Result<()> {
    for entry in dir.entries()? {
        if entry.name.starts_with('.') && entry.name.contains(OWN) && stale(dir, &entry.name).is_some() {
            let _ = dir.unlink(&entry.name);
        }
    }
    Ok(())
}

/// What processes of this machine left behind that were killed on the way to the lock `lock`: files that name one who is gone,
/// and old ones that name nobody. In a directory that is not ours alone, nothing else is to be touched.
pub(crate) fn left_behind(dir: &Dir, lock: &str) -> io::Result<Vec<String>> {
    let ours = format!(".{}{OWN}{}.", lock.trim_start_matches('.'), host().replace('/', "_"));
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit());
    let is_own = |name: &str| {
        let numbers = name.strip_prefix(&ours).and_then(|rest| rest.split_once('.'));
        numbers.is_some_and(|(pid, count)| is_number(pid) && is_number(count))
    };
    let is_left = |name: &String| {
        stale(dir, name).is_some_and(|stale| stale.is_gone || stale.file.meta().is_ok_and(|meta| meta.size == 0))
    };
    let names = dir.entries()?.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| is_own(name)).filter(is_left).collect())
}

fn beginning(file: &File) -> io::Result<String> {
    let mut text = [0; LONGEST];
    let got = file.read_at(&mut text, 0)?;
    Ok(String::from_utf8_lossy(&text[..got]).into_owned())
}

/// A lock file that nobody holds any more, to be unlinked while it is kept open: of several who find it so, one gets it, and
/// none can take away the lock that another has made meanwhile.
pub(crate) struct Stale {
    /// It.
    pub(crate) file: File,
    /// Its holder is known to be gone: it is not only old.
    pub(crate) is_gone: bool,
}

pub(crate) fn stale(dir: &Dir, name: &str) -> Option<Stale> {
    let file = dir.open_file(name, Access::Read).ok()?;
    let meta = file.meta().ok()?;
    let text = beginning(&file).unwrap_or_default();
    let limit = if text.is_empty() { uptime().min(STALE) } else { STALE };
    let is_old = SystemTime::now().duration_since(meta.mtime).is_ok_and(|age| age > limit);
    let is_gone = is_gone(&text);
    if !is_old && !is_gone {
        return None;
    }
    file.flock(Lock::Exclusive, Patience::None).ok()?;
    let named = dir.stat(name).ok()?;
    ((named.inode, named.device) == (meta.inode, meta.device)).then_some(Stale { file, is_gone })
}

/// What this process writes into its locks.
pub(crate) fn named() -> String {
    format!("{}\n{}\n{}\n", std::process::id(), boot(), host())
}

/// Where in a lock file what its user writes there begins.
pub(crate) fn after_holder(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', text).nth(2).map(|at| at + 1)
}

/// Empty where it cannot be known.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    BOOT.get_or_init(read)
}

fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// How long this boot is; for ever where it cannot be known.
pub(crate) fn uptime() -> Duration {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(Duration::MAX)
}

/// Whether the holder named in a lock file does not run any more. One that names none may, and so may one elsewhere.
fn is_gone(holder: &str) -> bool {
    let mut lines = holder.lines().map(str::trim);
    let Some(pid) = lines.next().and_then(|line| line.parse().ok()).filter(|pid| *pid > 0) else { return false };
    let (then, elsewhere) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if !elsewhere.is_empty() && elsewhere != host() {
        return false;
    }
    // A boot is only compared where both are known.
    if !then.is_empty() && !boot().is_empty() && then != boot() {
        return true;
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> u32 {
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        child.wait().expect("wait");
        child.id()
    }

    #[test]
    fn a_holder_that_is_gone_is_known() {
        let (boot, host, dead) = (boot(), host(), dead());
        for (holder, gone) in [
            (named(), false),
            (format!("{}\n", std::process::id()), false),
            (format!("{}\nanother boot\n", std::process::id()), true),
            (format!("{}\nanother boot\n{host}\n", std::process::id()), true),
            (format!("{dead}\n{boot}\n{host}\n"), true),
            (format!("{dead}\n{boot}\n{host}\nwhat its user\nwrote"), true),
            (format!("{dead}\nanother boot\nanother host\n"), false),
            (format!("{dead}\n\n\n"), true),
            (format!("{dead}"), true),
            ("0".into(), false),
            (String::new(), false),
            ("somebody".into(), false),
        ] {
            assert_eq!(is_gone(&holder), gone, "{holder:?}");
        }
    }

    #[test]
    fn a_lock_names_its_holder_at_every_moment() {
        use durable::forgetful::{Survival, at_every_step};
        at_every_step(
            0,
            |_| (),
            |dir| make(dir, "x.lock", 0o600).is_ok_and(|made| made.is_some()),
            |cut, made, dir| {
                // A kill is a cut after which all that was done stays.
                if cut.survival == Survival::Everything {
                    let there = dir.open_file("x.lock", Access::Read).map(|file| beginning(&file).expect("read"));
                    assert_eq!(there.as_deref().ok(), made.then(named).as_deref(), "{cut:?}");
                }
            },
        );
    }

    #[test]
    fn what_the_killed_left_on_the_way_is_swept() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        let names = || dir.entries().expect("entries").into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        let (own, _) = create_own(&dir, "x.lock", 0o600).expect("create");
        let lost = dir.create(".y.lock.by.vm.1.2", 0o600).expect("create");
        lost.append(format!("{}\n", dead()).as_bytes()).expect("write");
        dir.open_file(&own, Access::Append).and_then(|file| file.append(named().as_bytes())).expect("write");
        sweep(&dir).expect("sweep");
        assert_eq!(names(), [own]);
    }

    #[test]
    fn beside_others_only_what_is_surely_left_is_swept() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        let gone = format!("{}\n{}\n{}\n", dead(), boot(), host());
        let long_ago = SystemTime::now() - Duration::from_secs(600);
        let mut left = Vec::new();
        for (name, text, then, goes) in [
            (format!(".x.lock.by.{}.1.0", host()), &gone, SystemTime::now(), true),
            (format!(".x.lock.by.{}.1.1", host()), &String::new(), long_ago, true),
            (format!(".x.lock.by.{}.1.2", host()), &String::new(), SystemTime::now(), false),
            (format!(".x.lock.by.{}.1.3", host()), &named(), long_ago, false),
            (format!(".x.lock.by.{}.1.4", host()), &"notes".to_owned(), long_ago, false),
            (format!(".y.lock.by.{}.1.0", host()), &gone, long_ago, false),
            (format!(".x.lock.by.{}.1.o", host()), &gone, long_ago, false),
            (".x.lock.by.elsewhere-.1.0".to_owned(), &gone, long_ago, false),
            ("x.lock".to_owned(), &gone, long_ago, false),
        ] {
            dir.create(&name, 0o600).and_then(|file| file.append(text.as_bytes())).expect("create");
            dir.set_mtime(&name, then).expect("mtime");
            left.extend(goes.then_some(name));
        }
        let mut found = left_behind(&dir, "x.lock").expect("list");
        found.sort();
        assert_eq!(found, left);
    }
}
