//! Delivery into an mbox.
//!
//! | state | file | a power cut or kill leaves |
//! |---|---|---|
//! | locked | old mailbox | old mailbox (and a dotlock whose holder is known to be gone) |
//! | noted | old mailbox | the same |
//! | writing | old mailbox, then part of the message | the next who looks takes the part away, by the notes in the dotlock ([`super::tail`]); the queue delivers again |
//! | synced | old mailbox, then the message | that; if it was not yet told, the queue delivers a second copy |
//!
//! The octets of the old mailbox are never written to. A message costs two syncs of files, that of the notes and that of
//! the mbox, and one of the directory for the dotlock's name. When an error stops the writing, the file is cut back to its old
//! length before the locks are given up.

use std::io;
use std::ops::Range;
use std::time::Duration;

use durable::{Dir, File};
use mail::date::Moment;

use super::journal;
use super::lock::{Locked, Missing, Place};
use super::quoting::Quoting;
use super::tail::{self, Comes, Tail};
use crate::store::Privileged;
use crate::{Content, Error};

const CHUNK: usize = 128 * 1024;

/// How to append a delivered message.
pub struct Append<'a> {
    /// The envelope sender for the `From ` line; empty: `MAILER-DAEMON`.
    pub sender: &'a str,
    /// When it is delivered, in local time.
    pub date: Moment,
    /// `mailbox_size_limit`; 0: none.
    pub size_limit: u64,
    /// For the dotlock (and a new file) in a directory we may not write.
    pub privileged: Option<&'a Privileged>,
    /// How long to wait for another program's lock.
    pub lock_timeout: Duration,
}

/// Appends one message to the mbox `name` in `dir` and syncs it. On any error the old mailbox is intact.
///
/// # Errors
/// [`Error::Busy`], [`Error::OverLimit`], [`Error::Unsafe`], or the disk refuses.
pub fn append(dir: &Dir, name: &str, content: &Content<'_>, how: &Append<'_>) -> Result<(), Error> {
    let place = how.place(dir, name);
    let locked = place.lock_to_write(Missing::Create)?;
    journal::recover(&place, &locked.file)?;
    let old = tail::settled(&locked.file)?;
    let message = content.prefix.len() as u64 + content.range.end.saturating_sub(content.range.start);
    if how.size_limit > 0 && old.saturating_add(message) > how.size_limit {
        return Err(Error::OverLimit);
    }
    let mut start = separator(&locked.file, old)?;
    start.extend(from_line(how.sender, how.date).into_bytes());
    let mut quoting = Quoting::new();
    quoting.feed(content.prefix, &mut start);
    write(&locked, old, [Ok(Source { quoting, start, file: content.file, range: content.range.clone() })])
}

/// Removes what killed writers of the mbox `name` left in `dir` beside their dotlocks, which may be everybody's directory.
///
/// # Errors
/// The directory cannot be read.
pub fn sweep(dir: &Dir, name: &str, how: &Append<'_>) -> Result<(), Error> {
    Ok(how.place(dir, name).sweep()?)
}

impl Append<'_> {
    fn place(&self, dir: &Dir, name: &str) -> Place {
        let (privileged, timeout) = (self.privileged.cloned(), self.lock_timeout);
        Place { dir: dir.clone(), name: name.to_owned(), privileged, timeout }
    }
}

/// What is to be written.
pub(super) struct Source<'a> {
    /// What the message has gone through so far.
    pub(super) quoting: Quoting,
    /// Goes in front, as it is.
    pub(super) start: Vec<u8>,
    /// The rest.
    pub(super) file: &'a File,
    pub(super) range: Range<u64>,
}

/// Writes messages at the end of the mbox, whose length is `old`, and syncs it; whatever fails, it has its old length again.
pub(super) fn write<'a>(
    locked: &Locked,
    old: u64,
    sources: impl IntoIterator<Item = Result<Source<'a>, Error>>,
) -> Result<(), Error> {
    let mut tail = Tail::new(locked, old)?;
    let result = copy(&mut tail, sources);
    if result.is_err() {
        tail.undo();
    }
    result
}

/// `From kevin@m3102.com  Fri Nov 20 16:11:07 2026`
pub(crate) fn from_line(sender: &str, date: Moment) -> String {
    let sender: String = sender.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let sender = if sender.is_empty() { "MAILER-DAEMON" } else { &sender };
    format!("From {sender}  {}\n", date.asctime())
}

/// Line ends that are missing before another message can begin.
pub(crate) fn separator(file: &File, size: u64) -> Result<Vec<u8>, Error> {
    let mut end = [b'\n'; 2];
    let known = usize::try_from(size.min(2)).unwrap_or(2);
    file.read_exact_at(&mut end[2 - known..], size - known as u64)?;
    Ok(match end {
        [b'\n', b'\n'] => Vec::new(),
        [_, b'\n'] => b"\n".to_vec(),
        _ => b"\n\n".to_vec(),
    })
}

fn copy<'a>(tail: &mut Tail<'_>, sources: impl IntoIterator<Item = Result<Source<'a>, Error>>) -> Result<(), Error> {
    let (mut out, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    for source in sources {
        let Source { mut quoting, start, file, range } = source?;
        out.extend(start);
        let mut from = range.start;
        while from < range.end {
            let want = usize::try_from(range.end - from).unwrap_or(CHUNK).min(CHUNK);
            match file.read_at(&mut chunk[..want], from)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                n => {
                    quoting.feed(&chunk[..n], &mut out);
                    from += n as u64;
                }
            }
            write_full_pieces(tail, &mut out)?;
        }
        quoting.finish(&mut out);
        write_full_pieces(tail, &mut out)?;
    }
    tail.write(&out, Comes::Last)
}

/// Something stays for the last piece.
fn write_full_pieces(tail: &mut Tail<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
    while out.len() > tail::LONGEST {
        tail.write(&out[..tail::LONGEST], Comes::More)?;
        out.drain(..tail::LONGEST);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::forgetful::{Forgetful, Survival, at_every_step, at_every_step_and_sync, content};
    use durable::{Access, Lock, Patience};

    const OLD: &[u8] = b"From a@b  Fri Nov 20 16:11:07 2026\nSubject: old\n\nold body\n";
    const NEW: &[u8] = b"Status: RO\nSubject: new\n\nFrom me\n";

    fn prepare(dir: &Dir) {
        for (name, text) in [("kevin", OLD), ("queued", NEW)] {
            let file = dir.create(name, 0o600).expect("create");
            file.append(text).expect("append");
            file.sync().expect("sync");
        }
        dir.sync().expect("sync");
    }

    const fn how() -> Append<'static> {
        let date = Moment { seconds: 1_795_191_067, offset: 0 };
        Append { sender: "root@vm", date, size_limit: 0, privileged: None, lock_timeout: Duration::ZERO }
    }

    fn deliver(dir: &Dir, name: &str, how: &Append<'_>) -> Result<(), Error> {
        let file = dir.open_file("queued", Access::Read)?;
        append(
            dir,
            name,
            &Content { prefix: b"Return-Path: <root@vm>\n", file: &file, range: 0..NEW.len() as u64 },
            how,
        )
    }

    fn after() -> Vec<u8> {
        let new = b"\nFrom root@vm  Fri Nov 20 16:11:07 2026\nReturn-Path: <root@vm>\nSubject: new\n\n>From me\n\n";
        [OLD, &new[..]].concat()
    }

    #[test]
    fn a_message_is_appended_and_the_locks_go() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        prepare(&dir);
        deliver(&dir, "kevin", &how()).expect("append");
        assert_eq!(content(&dir, "kevin").expect("read"), after());
        assert!(dir.stat("kevin.lock").is_err());
        deliver(&dir, "fresh", &how()).expect("append");
        assert_eq!(content(&dir, "fresh").expect("read"), after()[OLD.len() + 1..]);
        assert!(matches!(deliver(&dir, "kevin", &Append { size_limit: 100, ..how() }), Err(Error::OverLimit)));
        assert_eq!(content(&dir, "kevin").expect("read"), after());
    }

    #[test]
    fn others_locks_are_respected() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        prepare(&dir);
        let other = dir.open_file("kevin", Access::ReadWrite).expect("open");
        other.lock(Lock::Exclusive, Patience::None).expect("lock");
        assert!(matches!(deliver(&dir, "kevin", &how()), Err(Error::Busy)));
        drop(other);
        drop(dir.create("kevin.lock", 0o600).expect("dotlock"));
        assert!(matches!(deliver(&dir, "kevin", &how()), Err(Error::Busy)));
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(121);
        dir.set_mtime("kevin.lock", long_ago).expect("age");
        let patient = Append { lock_timeout: Duration::from_secs(5), ..how() };
        deliver(&dir, "kevin", &patient).expect("a stale lock is broken");
    }

    #[test]
    fn links_and_symlinks_are_refused() {
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        prepare(&dir);
        std::os::unix::fs::symlink("kevin", place.path().join("soft")).expect("symlink");
        assert!(deliver(&dir, "soft", &how()).is_err());
        dir.link("kevin", &dir, "hard").expect("link");
        assert!(matches!(deliver(&dir, "kevin", &how()), Err(Error::Unsafe(_))));
        assert_eq!(content(&dir, "kevin").expect("read"), OLD);
    }

    #[test]
    fn the_spool_group_is_taken_only_when_needed() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let privileged: Privileged = Arc::new(move |action| {
            count.fetch_add(1, Ordering::Relaxed);
            action()
        });
        let place = tempfile::tempdir().expect("tempdir");
        let dir = Dir::open(place.path()).expect("open");
        prepare(&dir);
        deliver(&dir, "kevin", &Append { privileged: Some(&privileged), ..how() }).expect("append");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_disk_or_a_failing_one_leaves_the_old_mailbox() {
        let steps = {
            let disk = Forgetful::default();
            prepare(&disk.root());
            let before = disk.steps();
            deliver(&disk.root(), "kevin", &how()).expect("append");
            before..disk.steps()
        };
        for step in steps {
            for errno in [nix::libc::EIO, nix::libc::ENOSPC] {
                let disk = Forgetful::default();
                prepare(&disk.root());
                disk.fail_at(step, errno);
                let result = deliver(&disk.root(), "kevin", &how());
                let found = content(&disk.root(), "kevin").expect("read");
                assert_eq!(found, if result.is_ok() { after() } else { OLD.to_vec() }, "step {step}");
            }
        }
    }

    #[test]
    fn old_mail_is_intact_and_acknowledged_mail_there_at_every_cut() {
        at_every_step(
            8,
            prepare,
            |dir| (deliver(dir, "kevin", &how()).is_ok(), deliver(dir, "fresh", &how()).is_ok()),
            |cut, (kevin, fresh), dir| {
                let found = content(dir, "kevin").expect("the old mailbox");
                assert!(found.starts_with(OLD), "{cut:?}");
                if *kevin {
                    assert_eq!(found, after(), "{cut:?}");
                }
                if *fresh {
                    assert_eq!(content(dir, "fresh").expect("fresh"), after()[OLD.len() + 1..], "{cut:?}");
                }
                if cut.survival == Survival::Synced && !*kevin {
                    assert!(found == OLD || found == after());
                }
            },
        );
    }

    /// The lock that a power cut or a kill left, as others find it once its holder is gone.
    fn leave_by_the_dead(dir: &Dir, lock: &str) {
        let Ok(text) = content(dir, lock) else { return };
        let own = format!("{}\n", std::process::id());
        let Some(rest) = text.strip_prefix(own.as_bytes()) else {
            // A power cut emptied it: it is older than the boot that follows.
            dir.set_mtime(lock, std::time::SystemTime::UNIX_EPOCH).expect("age");
            return;
        };
        let text = [format!("{}\n", dead()).as_bytes(), rest].concat();
        dir.unlink(lock).expect("unlink");
        dir.create(lock, 0o644).and_then(|lock| lock.append(&text)).expect("lock");
    }

    /// A number that no process has: one of as many digits as ours, as notes stand where the holder's lines end.
    fn dead() -> u32 {
        let digits = std::process::id().to_string().len();
        let (from, to) = (10_u32.pow(digits as u32 - 1), 10_u32.pow(digits as u32));
        let is_free = |pid: &u32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
        (from..to).rev().find(is_free).expect("a free number")
    }

    /// Whatever is cut off, and whenever: the next delivery finds the old mailbox, or that and the whole message.
    fn cut_at_every_step_and_go_on(name: &str, content_of_it: &[u8], seeds: u64) {
        let one = |place: &Dir| {
            prepare(place);
            place.unlink("queued").expect("unlink");
            place.create("queued", 0o600).and_then(|file| file.append(content_of_it)).expect("queued");
        };
        let deliver = |dir: &Dir| {
            let file = dir.open_file("queued", Access::Read)?;
            let patient = Append { lock_timeout: Duration::from_secs(5), ..how() };
            let content = Content { prefix: b"", file: &file, range: 0..content_of_it.len() as u64 };
            append(dir, name, &content, &patient)
        };
        let disk = Forgetful::default();
        one(&disk.root());
        deliver(&disk.root()).expect("append");
        let once = content(&disk.root(), name).expect("read");
        let old = if name == "kevin" { OLD.len() + 1 } else { 0 };
        let twice = [&once[..], &once[old..]].concat();
        let run = |dir: &Dir| deliver(dir).is_ok();
        let check = |cut, acknowledged: &bool, dir: &Dir| {
            leave_by_the_dead(dir, &format!("{name}.lock"));
            deliver(dir).expect("the next delivery");
            let found = content(dir, name).expect("read");
            let is_whole = found == twice || !acknowledged && found == once;
            assert!(is_whole, "{cut:?}: {} octets: {}", found.len(), found[..found.len().min(400)].escape_ascii());
        };
        at_every_step_and_sync(seeds, one, run, check);
    }

    #[test]
    fn a_power_cut_leaves_no_torn_message_to_the_next_delivery() {
        cut_at_every_step_and_go_on("kevin", NEW, 40);
    }

    #[test]
    fn a_power_cut_leaves_no_torn_message_in_a_new_mailbox() {
        cut_at_every_step_and_go_on("fresh", NEW, 40);
    }

    #[test]
    fn a_power_cut_in_a_message_of_many_pieces_leaves_nothing_of_it() {
        cut_at_every_step_and_go_on("kevin", &b"Subject: long\n\na line of it\n".repeat(600), 6);
    }
}
