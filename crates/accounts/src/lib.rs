//! Who exists, where their home is, and whether a password is right: the only crate that touches passwords.
//!
//! [`Accounts::system`] knows the users of the machine (`getpwnam`, and PAM service `facteur` for passwords);
//! [`Accounts::file`] knows those of a passwd-shaped file. All calls block: PAM may take two seconds for a wrong
//! password, so a daemon asks on a thread kept for that. An unknown user costs as much time as a known one and
//! gets the same answer.
//!
//! [`check`] is what an unprivileged program and the privileged one say to each other about a password.

pub mod check;
pub mod packet;

mod file;
mod hash;
mod pam;
mod system;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{error, fmt, io};

use wire::Secret;

pub use hash::hash;

/// A user who may have mail. No password is ever in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name, in the case the system knows it.
    pub name: String,
    /// The user id the mailbox belongs to.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Full name and so on.
    pub gecos: String,
    /// Where `home_mailbox` is counted from.
    pub home: PathBuf,
    /// The login shell, for `mailbox_command`.
    pub shell: PathBuf,
}

/// What became of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this user's.
    Right,
    /// It is not, or there is no such user, or the account is closed: the peer is never told which.
    Wrong,
}

/// Why nothing can be said about an account at the moment. Always our side's trouble, never the peer's.
#[derive(Debug)]
pub enum Error {
    /// The accounts file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// This line of the accounts file is not `name:hash:uid:gid:gecos:home:shell`.
    Malformed(PathBuf, usize),
    /// The user database did not answer.
    Directory(io::Error),
    /// `/etc/pam.d/facteur` is missing; PAM would silently use the service `other`, which refuses everybody.
    NoPamService,
    /// PAM itself failed, in its own words.
    Pam(String),
}

/// The accounts of this machine.
#[derive(Debug)]
pub struct Accounts(Source);

#[derive(Debug)]
enum Source {
    System(system::Users),
    File { path: PathBuf, kept: Mutex<Option<file::Kept>> },
}

impl Accounts {
    /// The users of the system: `/etc/passwd` and whatever else NSS knows, passwords by PAM. Checking needs root.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(system::Users::default()))
    }

    /// The users of a file, one `name:hash:uid:gid:gecos:home:shell` per line (`$5$` and `$6$` hashes; `*` or `!…` is
    /// locked). It is read again whenever it has changed.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File { path: path.into(), kept: Mutex::new(None) })
    }

    /// As the parameter `accounts_file` says: empty for the system's users.
    #[must_use]
    pub fn configured(accounts_file: &str) -> Self {
        if accounts_file.is_empty() { Self::system() } else { Self::file(accounts_file) }
    }

    /// The user of that name, spelled so, else in small letters.
    pub fn find(&self, name: &str) -> Result<Option<Account>, Error> {
        if !plausible(name) {
            return Ok(None);
        }
        if let Some(account) = self.find_exactly(name)? {
            return Ok(Some(account));
        }
        let lower = name.to_lowercase();
        if lower == name { Ok(None) } else { self.find_exactly(&lower) }
    }

    /// Whether `password` is that user's; `peer` is the address PAM is told. Blocks, for about two seconds if it is wrong.
    pub fn verify(&self, name: &str, password: &Secret<Vec<u8>>, peer: &str) -> Result<Verdict, Error> {
        let found = self.find(name)?;
        // No human writes a password with NUL in it, and PAM cannot take one; nobody reads mail as root.
        let refused = password.expose().contains(&0) || password.expose().is_empty();
        match &self.0 {
            Source::System(_) => {
                let refused = refused || found.as_ref().is_some_and(|account| account.uid == 0);
                let name = found.map_or_else(|| NOBODY.to_owned(), |account| account.name);
                let verdict = pam::verify(&name, password, peer)?;
                Ok(if refused { Verdict::Wrong } else { verdict })
            }
            Source::File { path, kept } => {
                let hash = match found {
                    Some(account) => file::with(path, kept, |file| file.hash(&account.name).map(str::to_owned))?,
                    None => None,
                };
                let right = hash::verify(hash.as_deref(), password.expose());
                Ok(if right && !refused { Verdict::Right } else { Verdict::Wrong })
            }
        }
    }

    fn find_exactly(&self, name: &str) -> Result<Option<Account>, Error> {
        match &self.0 {
            Source::System(users) => users.find(name),
            Source::File { path, kept } => file::with(path, kept, |file| file.account(name).cloned()),
        }
    }
}

/// A login name that no user has, for PAM to be asked about in the place of an unknown or impossible one.
const NOBODY: &str = "facteur-no-such-user";

fn plausible(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with(['-', '.'])
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/' | '\0'))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "cannot read accounts file {}: {error}", show(path)),
            Self::Malformed(path, line) => write!(
                f,
                "accounts file {}, line {line}: expected name:hash:uid:gid:gecos:home:shell with a $6$ or $5$ hash",
                show(path)
            ),
            Self::Directory(error) => write!(f, "cannot look up users: {error}"),
            Self::NoPamService => f.write_str("/etc/pam.d/facteur is missing: no password can be checked without it"),
            Self::Pam(words) => write!(f, "PAM: {words}"),
        }
    }
}

fn show(path: &Path) -> std::path::Display<'_> {
    path.display()
}

impl error::Error for Error {}

#[cfg(test)]
mod tests;
