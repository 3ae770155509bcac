//! The mailboxes of one user as mbox files: INBOX in the mail spool, the others below a directory of the home.
//!
//! A file holds messages, a directory holds other mailboxes; one name cannot be both.

use std::io;
use std::path::{Path, PathBuf};

use durable::{Dir, Kind};

use super::folder::{Mbox, name_is_free};
use super::lock::{Missing, Place};
use crate::Error;
use crate::maildir::delivery::ensure_ours;
use crate::store::{Children, Folder, MailboxName, Options, divide};

/// Deepest level that is listed.
const DEEPEST: usize = 20;

pub(crate) struct Files {
    inbox: PathBuf,
    folders: PathBuf,
    options: Options,
}

impl Files {
    pub(crate) fn open(inbox: PathBuf, folders: PathBuf, options: Options) -> Result<Self, Error> {
        let (parent, _) = divide(&inbox)?;
        Dir::open(parent)?;
        divide(&folders)?;
        Ok(Self { inbox, folders, options })
    }

    /// The directory of the folders, made when it is missing.
    pub(crate) fn folders(&self) -> Result<Dir, Error> {
        let (parent, name) = divide(&self.folders)?;
        ensure_ours(&Dir::open(parent)?, name)
    }

    fn existing_folders(&self) -> Result<Option<Dir>, Error> {
        match Dir::open(&self.folders) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Folder>, Error> {
        let mut folders = Vec::new();
        if let Some(dir) = self.existing_folders()? {
            list_below(&dir, "", &mut folders)?;
        }
        folders.sort_by(|a, b| a.name.cmp(&b.name));
        folders.insert(0, Folder { name: MailboxName::inbox(), selectable: true, children: Children::None });
        Ok(folders)
    }

    pub(crate) fn mailbox(&self, name: &MailboxName) -> Result<(Mbox, PathBuf), Error> {
        if name.is_inbox() {
            let (parent, file) = divide(&self.inbox)?;
            let place = self.place(Dir::open(parent)?, file);
            return Ok((Mbox::open(place, &self.folders, self.options.local_offset)?, parent.to_owned()));
        }
        let (dir, file) = self.at(name)?;
        if !dir.stat(file).is_ok_and(|meta| meta.kind == Kind::File) {
            return Err(Error::NoMailbox);
        }
        let path = self.folders.join(name.as_str());
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok((Mbox::open(self.place(dir, file), &self.folders, self.options.local_offset)?, directory))
    }

    fn place(&self, dir: Dir, name: &str) -> Place {
        Place {
            dir,
            name: name.to_owned(),
            privileged: self.options.privileged.clone(),
            timeout: self.options.lock_timeout,
        }
    }

    /// The directory a mailbox is in.
    pub(crate) fn directory(&self, name: &MailboxName) -> Result<Dir, Error> {
        if name.is_inbox() {
            let (parent, _) = divide(&self.inbox)?;
            return Ok(Dir::open(parent)?);
        }
        Ok(self.at(name)?.0)
    }

    /// The directory a mailbox is in, and its file name there.
    fn at<'a>(&self, name: &'a MailboxName) -> Result<(Dir, &'a str), Error> {
        let mut dir = self.existing_folders()?.ok_or(Error::NoMailbox)?;
        let (levels, file) = levels(name);
        for level in levels {
            dir = dir.subdir(level).map_err(|_| Error::NoMailbox)?;
        }
        Ok((dir, file))
    }

    pub(crate) fn create(&self, name: &MailboxName) -> Result<(), Error> {
        if name.is_inbox() {
            return Err(Error::AlreadyExists);
        }
        let mut dir = self.folders()?;
        let (levels, file) = levels(name);
        for level in levels {
            if dir.stat(level).is_ok_and(|meta| meta.kind == Kind::File) {
                return Err(Error::BadName);
            }
            dir = ensure_ours(&dir, level)?;
        }
        match dir.create(file, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::AlreadyExists),
            Err(error) => Err(Error::from(error).write_refused()),
            Ok(_) => Ok(dir.sync_shared()?),
        }
    }

    pub(crate) fn delete(&self, name: &MailboxName) -> Result<(), Error> {
        if name.is_inbox() {
            return Err(Error::InUse);
        }
        let (dir, file) = self.at(name)?;
        match dir.stat(file).map(|meta| meta.kind) {
            Ok(Kind::File) => {
                let _locked = self.place(dir.clone(), file).lock_to_write(Missing::Fail)?;
                dir.unlink(file)?;
                name_is_free();
            }
            Ok(Kind::Dir) => dir.remove_dir(file).map_err(|_| Error::InUse)?,
            _ => return Err(Error::NoMailbox),
        }
        Ok(dir.sync_shared()?)
    }

    pub(crate) fn rename(&self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        if to.is_inbox() {
            return Err(Error::AlreadyExists);
        }
        if to.as_str().starts_with(&format!("{from}/")) {
            return Err(Error::BadName);
        }
        let (dir, file) = self.at(from)?;
        dir.stat(file).map_err(|_| Error::NoMailbox)?;
        let mut target = self.folders()?;
        let (levels, new) = levels(to);
        for level in levels {
            target = ensure_ours(&target, level)?;
        }
        match dir.rename_new(file, &target, new) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Error::AlreadyExists),
            other => other?,
        }
        name_is_free();
        target.sync_shared()?;
        Ok(dir.sync_shared()?)
    }
}

fn levels(name: &MailboxName) -> (impl Iterator<Item = &str>, &str) {
    let (above, file) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
    (above.split('/').filter(|level| !level.is_empty()), file)
}

fn list_below(dir: &Dir, above: &str, folders: &mut Vec<Folder>) -> Result<(), Error> {
    for entry in dir.entries()? {
        if entry.name.starts_with('.') || entry.name.ends_with(".lock") {
            continue;
        }
        let name = format!("{above}{}", entry.name);
        if entry.kind == Kind::File {
            folders.push(Folder { name: MailboxName(name), selectable: true, children: Children::Impossible });
        } else if entry.kind == Kind::Dir && name.matches('/').count() < DEEPEST {
            let before = folders.len();
            list_below(&dir.subdir(&entry.name)?, &format!("{name}/"), folders)?;
            let children = if folders.len() > before { Children::Some } else { Children::None };
            folders.push(Folder { name: MailboxName(name), selectable: false, children });
        }
    }
    Ok(())
}
