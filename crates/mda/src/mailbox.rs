//! Writing messages into the owner's Maildir, mbox or a file.
//!
//! What mailstore reports is turned here into the words and status codes of the reply: only a limit is a refusal, all
//! else is temporary and the mail waits.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use durable::{Dir, File};
use handover::Outcome;
use mail::EnhancedStatus;
use mailstore::maildir::Delivery;
use mailstore::{Content, Error, mbox};

use crate::forward::plain;
use crate::message::{Message, now};
use crate::settings::{Ownership, Settings};

const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Maildirs that were opened, each once.
#[derive(Default)]
pub struct Maildirs {
    opened: Vec<(PathBuf, Delivery)>,
    none: Empty,
}

impl Maildirs {
    /// Delivers a batch into one Maildir: all are written, synced together, made visible together. With a directory, what was
    /// delivered is so only when somebody has [committed](durable::Volume::commit) that.
    pub fn deliver(&mut self, settings: &Settings, root: &Path, messages: &[&Message]) -> (Vec<Outcome>, Option<Dir>) {
        let (outcomes, unsynced) = match self.opened(settings, root) {
            Ok(at) => {
                let maildir = &self.opened[at].1;
                let unsynced = maildir.left_to_another().cloned();
                (batch(settings, (maildir, root), messages, &self.none), unsynced)
            }
            Err(error) => (messages.iter().map(|_| refusal(root, &error)).collect(), None),
        };
        if outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Sent(..))) {
            // Whatever was wrong may be mended by the next look: the folder moved, the disk mounted anew.
            self.opened.retain(|(path, _)| path != root);
        }
        (outcomes, unsynced)
    }

    /// Delivers one message for good.
    fn deliver_one(&mut self, settings: &Settings, root: &Path, message: &Message) -> Option<Outcome> {
        let (mut outcomes, unsynced) = self.deliver(settings, root, &[message]);
        match unsynced.map_or(Ok(()), |dir| dir.sync_shared()) {
            Ok(()) => outcomes.pop(),
            Err(error) => Some(refusal(root, &error.into())),
        }
    }

    /// The place of an open Maildir.
    fn opened(&mut self, settings: &Settings, root: &Path) -> Result<usize, Error> {
        match self.opened.iter().position(|(path, _)| path == root) {
            // A Maildir whose name now stands for another directory, or nothing, is opened anew.
            Some(at) if self.opened[at].1.is_at(root) => Ok(at),
            found => {
                if let Some(at) = found {
                    self.opened.remove(at);
                }
                let (base, name) = divided(settings, root);
                let dir = Dir::open(&base).map_err(Error::from)?;
                self.opened.push((root.into(), Delivery::open(&dir, &name, &settings.host)?));
                Ok(self.opened.len() - 1)
            }
        }
    }
}

fn batch(
    settings: &Settings,
    (maildir, root): (&Delivery, &Path),
    messages: &[&Message],
    none: &Empty,
) -> Vec<Outcome> {
    let mut outcomes = vec![over_limit(); messages.len()];
    let fits = |message: &Message| settings.size_limit == 0 || message.task.length <= settings.size_limit;
    let places: Vec<usize> = (0..messages.len()).filter(|place| fits(messages[*place])).collect();
    let prefixes: Vec<Vec<u8>> = places.iter().map(|place| messages[*place].prefix()).collect();
    let contents: Result<Vec<Content<'_>>, Error> =
        places.iter().zip(&prefixes).map(|(place, prefix)| content(messages[*place], prefix, none)).collect();
    let results = match contents {
        Ok(contents) if maildir.left_to_another().is_some() => maildir.name_all(&contents),
        Ok(contents) => maildir.deliver_all(&contents),
        Err(error) => {
            let text = refusal(root, &error);
            places.iter().for_each(|place| outcomes[*place] = text.clone());
            return outcomes;
        }
    };
    for (place, result) in places.into_iter().zip(results) {
        outcomes[place] = match result {
            Ok(_) => Outcome::Sent(EnhancedStatus::OK, "delivered to maildir".into()),
            Err(error) => refusal(root, &error),
        };
    }
    outcomes
}

/// Appends to the owner's mbox.
pub fn append(settings: &Settings, path: &Path, message: &Message) -> Outcome {
    if settings.ownership == Ownership::Recipient && belongs_to_another(path, nix::unistd::geteuid().as_raw()) {
        let text = format!("destination {} is not owned by recipient", path.display());
        return Outcome::Deferred(EnhancedStatus::new(4, 2, 0), text);
    }
    match appended(settings, path, message) {
        Ok(()) => Outcome::Sent(EnhancedStatus::OK, "delivered to mailbox".into()),
        Err(error) => refusal(path, &error),
    }
}

/// Writes to a file that `.forward` or an alias names: a Maildir when it ends in a slash, else an mbox.
pub fn file(settings: &Settings, maildirs: &mut Maildirs, name: &str, message: &Message) -> Outcome {
    let path = Path::new(name);
    let done = || Outcome::Sent(EnhancedStatus::OK, format!("delivered to file: {name}"));
    if name == "/dev/null" {
        return done();
    }
    if name.ends_with('/') {
        return match maildirs.deliver_one(settings, path, message) {
            Some(Outcome::Sent(..)) => done(),
            other => other.unwrap_or_else(done),
        };
    }
    match appended(settings, path, message) {
        Ok(()) => done(),
        Err(error) => refusal(path, &error),
    }
}

/// Somebody made the mailbox before its owner had one, and could read it.
fn belongs_to_another(mbox: &Path, owner: u32) -> bool {
    std::fs::symlink_metadata(mbox).is_ok_and(|meta| meta.uid() != owner)
}

fn appended(settings: &Settings, path: &Path, message: &Message) -> Result<(), Error> {
    let none = Empty::default();
    let (dir, name) = place(path)?;
    let sender = message.sender();
    let prefix = message.prefix();
    mbox::append(&dir, name, &content(message, &prefix, &none)?, &how(settings, path, &sender))
}

/// Removes what writers of this mbox left behind that were killed; if that cannot be done, it stays.
pub fn sweep(settings: &Settings, path: &Path) {
    if let Ok((dir, name)) = place(path) {
        let _ = mbox::sweep(&dir, name, &how(settings, path, ""));
    }
}

fn place(path: &Path) -> Result<(Dir, &str), Error> {
    let (base, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().and_then(OsStr::to_str));
    let name = name.ok_or_else(|| Error::Unsafe(format!("{} is no file", path.display())))?;
    Ok((Dir::open(base).map_err(Error::from)?, name))
}

/// The mail group would let users make files in the mail spool by naming them in `.forward`: other users' mailboxes and
/// locks. So it is taken for the owner's own mailbox there only.
fn how<'a>(settings: &'a Settings, path: &Path, sender: &'a str) -> mbox::Append<'a> {
    mbox::Append {
        sender,
        date: now(),
        size_limit: settings.size_limit,
        privileged: settings.privileged.as_ref().filter(|_| path == settings.spool),
        lock_timeout: LOCK_TIMEOUT,
    }
}

/// A file with nothing in it, opened at most once, for messages that are in memory.
#[derive(Default)]
struct Empty(std::cell::OnceCell<File>);

impl Empty {
    fn file(&self) -> Result<&File, Error> {
        if let Some(file) = self.0.get() {
            return Ok(file);
        }
        let null = std::fs::File::open("/dev/null").map_err(Error::from)?;
        Ok(self.0.get_or_init(|| File::from_fd(null.into())))
    }
}

fn content<'a>(message: &'a Message, prefix: &'a [u8], none: &'a Empty) -> Result<Content<'a>, Error> {
    Ok(match message.rest() {
        Some((file, offset, length)) => Content { prefix, file, range: offset..offset.saturating_add(length) },
        None => Content { prefix, file: none.file()?, range: 0..0 },
    })
}

/// The directory that must be there already, and the mailbox beneath it.
fn divided(settings: &Settings, root: &Path) -> (PathBuf, String) {
    if let Ok(beneath) = root.strip_prefix(&settings.owner.home) {
        return (settings.owner.home.clone(), beneath.to_string_lossy().into_owned());
    }
    let base = root.parent().unwrap_or(Path::new("/")).to_path_buf();
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    (base, name)
}

fn over_limit() -> Outcome {
    Outcome::Bounced(EnhancedStatus::new(5, 2, 2), "mailbox is full: mailbox_size_limit is reached".into())
}

fn refusal(path: &Path, error: &Error) -> Outcome {
    let text = match error {
        Error::OverLimit => return over_limit(),
        Error::Disk(error) => format!("cannot write {}: {}", path.display(), plain(error)),
        other => format!("cannot write {}: {other}", path.display()),
    };
    let detail = if matches!(error, Error::Full) { 2 } else { 0 };
    Outcome::Deferred(EnhancedStatus::new(4, 2, detail), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else `/var/mail/foo.lock` in a `.forward` would stop foo's mail, and `/var/mail/bob` be made before bob has one.
    #[test]
    fn the_mail_group_is_for_the_owners_mailbox_only() {
        let home = tempfile::tempdir().expect("home");
        let config = format!("mail_spool_directory: {}/mail\nhome_mailbox: Mail/inbox\n", home.path().display());
        std::fs::write(home.path().join("facteur.yaml"), config).expect("configuration");
        let config = config::Config::load(home.path()).expect("configuration");
        let (name, path) = ("kevin".to_owned(), home.path().to_path_buf());
        let wishes = crate::settings::Wishes::Obeyed;
        let (identity, shell) = (name.clone(), path.clone());
        let owner = crate::settings::Owner { name, identity, uid: 1, gid: 1, home: path, shell, wishes };
        let settings = Settings::new(&config, owner, Some(1));
        for (path, takes) in
            [("mail/kevin", true), ("mail/bob", false), ("mail/foo.lock", false), ("Mail/inbox", false)]
        {
            assert_eq!(how(&settings, &home.path().join(path), "").privileged.is_some(), takes, "{path}");
        }
    }

    #[test]
    fn a_mailbox_of_somebody_else_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let us = nix::unistd::geteuid().as_raw();
        assert!(!belongs_to_another(file.path(), us) && belongs_to_another(file.path(), us + 1));
        assert!(!belongs_to_another(&file.path().with_extension("missing"), us));
    }
}
