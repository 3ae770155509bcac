//! Delivery into an mbox.
//!
//! | state | file | a power cut or kill leaves |
//! |---|---|---|
//! | locked | old mailbox | old mailbox (and a dotlock whose holder is known to be gone) |
//! | writing | old mailbox, then part of the message | old mailbox, then perhaps a part; the queue delivers again |
//! | synced | old mailbox, then the message | that; if it was not yet told, the queue delivers a second copy |
//!
//! The octets of the old mailbox are never written to. When an error stops the writing, the file is cut back to its old
//! length before the locks are given up.

use std::io;
use std::time::Duration;

use durable::{Dir, File};
use mail::date::Moment;

use super::journal;
use super::lock::{Missing, Place};
use super::quoting::Quoting;
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
    let place = Place {
        dir: dir.clone(),
        name: name.to_owned(),
        privileged: how.privileged.cloned(),
        timeout: how.lock_timeout,
    };
    let locked = place.lock_to_write(Missing::Create)?;
    journal::recover(&place, &locked.file)?;
    let old = locked.file.meta()?.size;
    let message = content.prefix.len() as u64 + content.range.end.saturating_sub(content.range.start);
    if how.size_limit > 0 && old.saturating_add(message) > how.size_limit {
        return Err(Error::OverLimit);
    }
    let mut start = separator(&locked.file, old)?;
    start.extend(from_line(how.sender, how.date).into_bytes());
    at_end(&locked.file, old, || write(&locked.file, (start, old), content))
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

/// Runs `write` and syncs; whatever fails, the file has its old length again.
fn at_end(file: &File, old: u64, write: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let result = write().and_then(|()| file.sync().map_err(Error::from));
    if result.is_err() {
        // If this fails too, the disk is beyond our help; the message is not acknowledged and comes again.
        let _ = file.set_len(old);
    }
    result
}

fn write(file: &File, (mut out, mut at): (Vec<u8>, u64), content: &Content<'_>) -> Result<(), Error> {
    let mut quoting = Quoting::new();
    quoting.feed(content.prefix, &mut out);
    let mut from = content.range.start;
    let mut chunk = vec![0; CHUNK];
    while from < content.range.end {
        let want = usize::try_from(content.range.end - from).unwrap_or(CHUNK).min(CHUNK);
        match content.file.read_at(&mut chunk[..want], from)? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            n => {
                quoting.feed(&chunk[..n], &mut out);
                from += n as u64;
            }
        }
        if out.len() >= CHUNK {
            file.write_at(&out, at)?;
            at += out.len() as u64;
            out.clear();
        }
    }
    quoting.finish(&mut out);
    file.write_at(&out, at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::forgetful::{Forgetful, Survival, at_every_step, content};
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
}
