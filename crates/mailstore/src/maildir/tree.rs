//! Maildir++: folders beside `cur`, `new` and `tmp` of the root, `A.B` as the directory `.A.B`.

use std::collections::BTreeMap;
use std::io;

use durable::{Dir, Kind, Meta};

use super::delivery::ensure_maildir;
use super::folder::{Maildir, Tree};
use crate::Error;
use crate::store::{Children, Folder, MailboxName};

/// What a folder's directory is called while it is being removed; never listed.
const REMOVED: &str = "..removed-";

impl Tree {
    pub(crate) fn list(&self) -> Result<Vec<Folder>, Error> {
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        for entry in self.root.entries()? {
            let Some(name) = entry.name.strip_prefix('.').filter(|_| entry.kind == Kind::Dir) else { continue };
            if name.is_empty() || name.starts_with('.') || !self.is_maildir(&entry.name) {
                continue;
            }
            names.insert(name.to_owned(), true);
            for (at, _) in name.match_indices('.') {
                names.entry(name[..at].to_owned()).or_insert(false);
            }
        }
        let inbox = Folder { name: MailboxName::inbox(), selectable: true, children: children(&names, "INBOX") };
        let others = names.iter().filter(|(name, _)| *name != "INBOX").map(|(name, selectable)| Folder {
            name: MailboxName(name.clone()),
            selectable: *selectable,
            children: children(&names, name),
        });
        Ok(std::iter::once(inbox).chain(others).collect())
    }

    fn is_maildir(&self, directory: &str) -> bool {
        self.root.subdir(directory).and_then(|dir| dir.stat("cur")).is_ok_and(|meta| meta.kind == Kind::Dir)
    }

    /// What the directory of a mailbox is now.
    pub(crate) fn meta(&self, name: &MailboxName) -> Result<Meta, Error> {
        if name.is_inbox() {
            return Ok(self.root.meta()?);
        }
        match self.root.stat(&directory(name)) {
            Ok(meta) if meta.kind == Kind::Dir => Ok(meta),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(_) | Err(_) => Err(Error::NoMailbox),
        }
    }

    pub(crate) fn open(&self, name: &MailboxName) -> Result<Maildir, Error> {
        let dir = if name.is_inbox() {
            self.root.clone()
        } else if self.is_maildir(&directory(name)) {
            self.root.subdir(&directory(name))?
        } else {
            return Err(Error::NoMailbox);
        };
        let maildir = Maildir::open(dir, self.clone())?;
        maildir.sweep()?;
        Ok(maildir)
    }

    pub(crate) fn create(&self, name: &MailboxName) -> Result<(), Error> {
        let directory = directory(name);
        if name.is_inbox() || self.is_maildir(&directory) {
            return Err(Error::AlreadyExists);
        }
        match self.root.make_dir(&directory, 0o700) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::from(error).write_refused());
            }
            _ => (),
        }
        let dir = self.root.subdir(&directory)?;
        match dir.create("maildirfolder", 0o600) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => (),
        }
        // Synced with the folders.
        ensure_maildir(&dir)?;
        self.root.sync_shared()?;
        Ok(())
    }

    pub(crate) fn delete(&self, name: &MailboxName) -> Result<(), Error> {
        if name.is_inbox() {
            return Err(Error::InUse);
        }
        if !self.is_maildir(&directory(name)) {
            let below = self.list()?.into_iter().any(|folder| folder.name == *name);
            return Err(if below { Error::InUse } else { Error::NoMailbox });
        }
        let hidden = format!("{REMOVED}{}", self.naming.next());
        self.root.rename(&directory(name), &self.root, &hidden)?;
        self.root.sync_shared()?;
        // From here on the mailbox is gone for everybody; what cannot be removed only costs space.
        let _ = self.root.subdir(&hidden).and_then(|dir| empty(&dir)).and_then(|()| self.root.remove_dir(&hidden));
        Ok(())
    }

    pub(crate) fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        if from.is_inbox() {
            return self.rename_inbox(to);
        }
        let below = format!("{}.", from.as_str());
        if to.as_str().starts_with(&below) {
            return Err(Error::BadName);
        }
        let all = self.list()?;
        if all.iter().any(|folder| folder.name == *to) {
            return Err(Error::AlreadyExists);
        }
        let moved = |name: &MailboxName| *name == *from || name.as_str().starts_with(&below);
        let mut any = false;
        for folder in all.iter().filter(|folder| folder.selectable && moved(&folder.name)) {
            let new = MailboxName(format!("{}{}", to.as_str(), &folder.name.as_str()[from.as_str().len()..]));
            self.root.rename_new(&directory(&folder.name), &self.root, &directory(&new))?;
            any = true;
        }
        if !any {
            return Err(Error::NoMailbox);
        }
        self.root.sync_shared()?;
        Ok(())
    }

    fn rename_inbox(&self, to: &MailboxName) -> Result<(), Error> {
        self.create(to)?;
        let (mut inbox, mut target) = (self.open(&MailboxName::inbox())?, self.open(to)?);
        let all: Vec<_> = inbox.snapshot().messages.iter().map(|message| message.uid).collect();
        inbox.copy(&all, &mut target)?;
        inbox.expunge(&all)?;
        Ok(())
    }
}

fn children(names: &BTreeMap<String, bool>, name: &str) -> Children {
    let below = format!("{name}.");
    match names.range(below.clone()..).next() {
        Some((next, _)) if next.starts_with(&below) => Children::Some,
        _ => Children::None,
    }
}

fn directory(name: &MailboxName) -> String {
    format!(".{}", name.as_str())
}

/// Removes everything in a Maildir; nothing deeper than its folders.
fn empty(dir: &Dir) -> io::Result<()> {
    for entry in dir.entries()? {
        if entry.kind != Kind::Dir {
            dir.unlink(&entry.name)?;
            continue;
        }
        let sub = dir.subdir(&entry.name)?;
        for file in sub.entries()? {
            sub.unlink(&file.name)?;
        }
        dir.remove_dir(&entry.name)?;
    }
    Ok(())
}
