//! The accounts file: shaped like `/etc/passwd`, the hash in the second field.
//!
//! Parsed as a whole or not at all, so that a slip of the editor is one clear message and not a user missing in
//! silence. Empty lines and lines that begin with `#` are skipped. A hash may say its scheme, as `doveadm pw` prints it.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use crate::{Account, Error, hash, plausible};

/// A parsed file and what it looked like when it was read.
#[derive(Debug)]
pub(crate) struct Kept {
    stamp: Stamp,
    users: HashMap<String, User>,
}

#[derive(Debug)]
struct User {
    account: Account,
    hash: String,
}

/// If none of these moved, the file is the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Kept {
    pub(crate) fn account(&self, name: &str) -> Option<&Account> {
        self.users.get(name).map(|user| &user.account)
    }

    pub(crate) fn hash(&self, name: &str) -> Option<&str> {
        self.users.get(name).map(|user| user.hash.as_str())
    }
}

/// Gives `look` the file as it is now.
pub(crate) fn with<T>(path: &Path, kept: &Mutex<Option<Kept>>, look: impl FnOnce(&Kept) -> T) -> Result<T, Error> {
    let unreadable = |error: io::Error| Error::Unreadable(path.to_owned(), error);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let stamp = stamp(path).map_err(unreadable)?;
    if let Some(file) = kept.as_ref().filter(|file| file.stamp == stamp) {
        return Ok(look(file));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let users = parse(&text).map_err(|line| Error::Malformed(path.to_owned(), line))?;
    Ok(look(kept.insert(Kept { stamp, users })))
}

pub(crate) fn stamp(path: &Path) -> io::Result<Stamp> {
    let meta = fs::metadata(path)?;
    Ok(Stamp {
        modified: meta.modified().ok(),
        changed: (meta.ctime(), meta.ctime_nsec()),
        size: meta.len(),
        inode: meta.ino(),
    })
}

/// All users by name, or the number of the first line that is wrong.
fn parse(text: &str) -> Result<HashMap<String, User>, usize> {
    let mut users = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let user = user(line).ok_or(index + 1)?;
        if users.insert(user.account.name.clone(), user).is_some() {
            return Err(index + 1);
        }
    }
    Ok(users)
}

fn user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| plausible(name))?;
    let hash = fields.next().map(without_scheme).filter(|hash| hash::supported(hash))?;
    let account = Account {
        name: name.to_owned(),
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
        gecos: fields.next()?.to_owned(),
        home: PathBuf::from(fields.next().filter(|home| home.starts_with('/'))?),
        shell: PathBuf::from(fields.next()?),
    };
    fields.next().is_none().then(|| User { account, hash: hash.to_owned() })
}

fn without_scheme(hash: &str) -> &str {
    let schemes = ["{CRYPT}", "{SHA256-CRYPT}", "{SHA512-CRYPT}"];
    schemes.iter().find_map(|scheme| hash.strip_prefix(scheme)).unwrap_or(hash)
}
