//! Reading the `:include:` lists of aliases, each with the rights of its owner.
//!
//! A list is a user's own file, and he may make it a link to root's, a pipe, a device, a disk that does not answer. So it
//! is opened by a thread that has the owner's rights to files and no others (`default_privs`' where the owner is root),
//! without waiting, must be a regular file that not everybody may write, and is read up to a limit. A list that is not
//! there in time is trouble, and so it stays, without a further look, until that thread has come back.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::unistd::{Gid, Uid, User, setfsgid, setfsuid};

const MAX_FILE: u64 = 16 << 20;
/// How long local waits for one list; everybody's mail waits with it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists, and what it takes to read them.
#[derive(Clone, Debug, Default)]
pub struct Includes {
    /// `default_privs`
    stand_in: String,
    /// Lists that threads are reading.
    reading: Arc<Mutex<HashSet<String>>>,
}

impl Includes {
    /// With this user for lists of root's.
    #[must_use]
    pub fn new(stand_in: &str) -> Self {
        Self { stand_in: stand_in.into(), reading: Arc::default() }
    }

    /// What the list says.
    ///
    /// # Errors
    /// Why it cannot be read, with nothing of its content.
    pub fn read(&self, file: &str) -> Result<String, String> {
        const LATE: &str = "its disk does not answer";
        if !locked(&self.reading).insert(file.into()) {
            return Err(LATE.into());
        }
        let (sender, text) = mpsc::channel();
        let (list, this) = (file.to_owned(), self.clone());
        let started = thread::Builder::new().name("include".into()).spawn(move || {
            let text = read_as_owner(Path::new(&list), &this.stand_in);
            locked(&this.reading).remove(&list);
            let _ = sender.send(text);
        });
        if let Err(error) = started {
            locked(&self.reading).remove(file);
            return Err(error.to_string());
        }
        text.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(LATE.into()))
    }
}

fn locked(set: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_as_owner(path: &Path, stand_in: &str) -> Result<String, String> {
    let trouble = |error: io::Error| error.to_string();
    let named = std::fs::metadata(path).map_err(trouble)?;
    let link = std::fs::symlink_metadata(path).map_err(trouble)?;
    // A link of root's file gets nobody's rights; a link of another user's would lend his.
    if link.is_symlink() && named.uid() != 0 && ![0, named.uid()].contains(&link.uid()) {
        return Err("the link and the file have different owners".into());
    }
    sound(&named)?;
    if privileges::is_root() {
        take_rights(named.uid(), stand_in)?;
    }
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = file.map_err(trouble)?;
    let opened = file.metadata().map_err(trouble)?;
    sound(&opened)?;
    if opened.uid() != named.uid() {
        return Err("it changes its owner".into());
    }
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(trouble)?;
    if octets.len() as u64 > MAX_FILE {
        return Err("it is too long".into());
    }
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

fn sound(meta: &std::fs::Metadata) -> Result<(), String> {
    if !meta.is_file() {
        return Err("it is no regular file".into());
    }
    if meta.mode() & 0o002 != 0 { Err("everybody may write it".into()) } else { Ok(()) }
}

/// Leaves this thread the rights to files of that user, for good. The process is local's still: nobody may signal it. That
/// local has no further groups is seen to when it starts.
fn take_rights(uid: u32, stand_in: &str) -> Result<(), String> {
    let (uid, gid) = if uid == 0 {
        match privileges::find_user(stand_in) {
            Ok(user) if user.uid != 0 => (Uid::from_raw(user.uid), Gid::from_raw(user.gid)),
            _ => return Err(format!("there is no user \"{stand_in}\" (default_privs)")),
        }
    } else {
        let user = User::from_uid(Uid::from_raw(uid)).map_err(|errno| errno.desc().to_owned())?;
        let user = user.ok_or_else(|| format!("it belongs to uid {uid}, which no user has"))?;
        (user.uid, user.gid)
    };
    setfsgid(gid);
    setfsuid(uid);
    // Neither call tells of failure; each returns what was before.
    if (setfsgid(gid), setfsuid(uid)) == (gid, uid) { Ok(()) } else { Err("its owner's rights are refused".into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
    use std::path::PathBuf;

    use super::*;

    const USER: u32 = 1;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("open to all");
        let list = dir.path().join("list");
        (dir, list)
    }

    fn read(list: &Path) -> Result<String, String> {
        Includes::new("nobody").read(list.to_str().expect("UTF-8"))
    }

    #[test]
    fn a_list_is_a_regular_file_that_ends() {
        let (_dir, list) = place();
        assert!(read(&list).is_err());
        nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert_eq!(read(&list), Err("it is no regular file".into()));
        std::fs::remove_file(&list).expect("removed");
        symlink("/dev/zero", &list).expect("a link");
        assert!(read(&list).is_err());
        std::fs::remove_file(&list).expect("removed");
        std::fs::write(&list, "kevin\n").expect("written");
        assert_eq!(read(&list), Ok("kevin\n".into()));
        std::fs::set_permissions(&list, PermissionsExt::from_mode(0o666)).expect("open to all");
        assert_eq!(read(&list), Err("everybody may write it".into()));
    }

    /// Only root reads with other people's rights.
    #[test]
    fn a_list_shows_what_its_owner_may_read() {
        if !privileges::is_root() {
            return;
        }
        let (dir, list) = place();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "root:$y$\n").expect("written");
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("secret");
        symlink(&secret, &list).expect("a link");
        lchown(&list, Some(USER), Some(USER)).expect("the user's");
        assert!(read(&list).is_err_and(|why| why.starts_with("Permission denied")), "root's secret");
        chown(&secret, Some(2), None).expect("another user's");
        assert_eq!(read(&list), Err("the link and the file have different owners".into()));
        chown(&secret, Some(USER), None).expect("the user's own");
        assert_eq!(read(&list), Ok("root:$y$\n".into()));
        assert_eq!(std::fs::read_to_string(&secret).expect("we are root still"), "root:$y$\n");
    }
}
