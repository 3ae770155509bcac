//! Becoming another user, irrevocably, and borrowing one group for a moment.
//!
//! Promise: when [`become_user`] returns well, no call of this process can make it root again. When it fails the
//! caller must end: some ids may already have changed.

use std::ffi::CString;
use std::fmt;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

/// Who to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name, whose supplementary groups are taken over.
    pub name: String,
    /// Never 0.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
}

/// Why the user could not be changed. The fault is the set-up's; the caller ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Asked to become uid 0.
    Root,
    /// No such user or group on this machine.
    Unknown(String),
    /// A system call was refused.
    System(&'static str, Errno),
    /// Root could be regained afterwards.
    NotGone,
}

/// Takes the user's groups, group and uid; gives all others up. With `privileged_group` that group stays as the
/// saved gid, so that [`as_group`] can take it for a moment; an exec loses it.
///
/// # Errors
/// When a call is refused, the user is root, or root can be regained.
pub fn become_user(user: &User, privileged_group: Option<u32>) -> Result<(), Error> {
    become_user_in(user, privileged_group, &[])
}

/// The same, and a member of these groups besides the user's own.
///
/// # Errors
/// As [`become_user`]; the group of root is refused.
pub fn become_user_in(user: &User, privileged_group: Option<u32>, more: &[u32]) -> Result<(), Error> {
    if user.uid == 0 || more.contains(&0) {
        return Err(Error::Root);
    }
    let name = CString::new(user.name.as_str()).map_err(|_| Error::Unknown(user.name.clone()))?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    unistd::initgroups(&name, gid).map_err(|e| Error::System("initgroups", e))?;
    if !more.is_empty() {
        let mut groups = unistd::getgroups().map_err(|e| Error::System("getgroups", e))?;
        groups.extend(more.iter().copied().map(Gid::from_raw));
        unistd::setgroups(&groups).map_err(|e| Error::System("setgroups", e))?;
    }
    let saved = privileged_group.map_or(gid, Gid::from_raw);
    unistd::setresgid(gid, gid, saved).map_err(|e| Error::System("setresgid", e))?;
    unistd::setresuid(uid, uid, uid).map_err(|e| Error::System("setresuid", e))?;
    let root = Uid::from_raw(0);
    let regained = unistd::setuid(root).is_ok() || unistd::setresuid(root, root, root).is_ok();
    if regained || unistd::getuid() != uid || unistd::geteuid() != uid {
        return Err(Error::NotGone);
    }
    Ok(())
}

/// Runs `action` with the effective group `gid`, then goes back. Only for single-threaded programs.
///
/// # Errors
/// When the group may not be taken (`action` has not run), or not be given back.
pub fn as_group<T>(gid: u32, action: impl FnOnce() -> T) -> Result<T, Error> {
    let before = unistd::getegid();
    unistd::setegid(Gid::from_raw(gid)).map_err(|e| Error::System("setegid", e))?;
    let result = action();
    unistd::setegid(before).map_err(|e| Error::System("setegid", e))?;
    Ok(result)
}

/// Whether this process is root ("privileged mode").
#[must_use]
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// A system user by name.
///
/// # Errors
/// [`Error::Unknown`], or what the user data base says.
pub fn find_user(name: &str) -> Result<User, Error> {
    match unistd::User::from_name(name) {
        Ok(Some(user)) => Ok(User { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
        Ok(None) => Err(Error::Unknown(name.into())),
        Err(e) => Err(Error::System("getpwnam", e)),
    }
}

/// The gid of a system group.
///
/// # Errors
/// [`Error::Unknown`], or what the group data base says.
pub fn find_group(name: &str) -> Result<u32, Error> {
    match unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Error::Unknown(name.into())),
        Err(e) => Err(Error::System("getgrnam", e)),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("refusing to run as root"),
            Self::Unknown(name) => write!(f, "no user or group named {name} on this machine"),
            Self::System(call, errno) => write!(f, "{call}: {}", errno.desc()),
            Self::NotGone => f.write_str("root privileges could be regained"),
        }
    }
}

impl std::error::Error for Error {}
