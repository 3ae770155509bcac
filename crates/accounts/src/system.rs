//! The users of the system, as `getpwnam` tells them.
//!
//! Whoever was found is believed for a second more, as long as `/etc/passwd` is the file it was: a stream of mail to one
//! user need not have the whole list read for each message. Who was not found is looked for again each time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::file::{Stamp, stamp};
use crate::{Account, Error};

/// Those who were found.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    /// What the list of users looked like then.
    stamp: Option<Stamp>,
    users: HashMap<String, (Instant, Account)>,
}

impl Users {
    pub(crate) fn find(&self, name: &str) -> Result<Option<Account>, Error> {
        let now = stamp(Path::new(PASSWD)).ok();
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.stamp != now || found.users.len() >= MOST {
            *found = Found { stamp: now, users: HashMap::new() };
        }
        if let Some((since, account)) = found.users.get(name)
            && since.elapsed() < BELIEVED
        {
            return Ok(Some(account.clone()));
        }
        let account = look_up(name)?;
        match &account {
            Some(account) => drop(found.users.insert(name.to_owned(), (Instant::now(), account.clone()))),
            None => drop(found.users.remove(name)),
        }
        Ok(account)
    }
}

fn look_up(name: &str) -> Result<Option<Account>, Error> {
    let user = nix::unistd::User::from_name(name).map_err(|errno| Error::Directory(errno.into()))?;
    Ok(user.map(|user| Account {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        gecos: user.gecos.to_string_lossy().into_owned(),
        home: user.dir,
        shell: user.shell,
    }))
}

const PASSWD: &str = "/etc/passwd";
const BELIEVED: Duration = Duration::from_secs(1);
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_found_is_found_again_and_a_stranger_never() {
        let users = Users::default();
        for _ in 0..2 {
            let root = users.find("root").expect("users").expect("root");
            assert_eq!((root.name.as_str(), root.uid), ("root", 0));
            assert_eq!(users.find("no-such-user-here").expect("users"), None);
        }
        assert_eq!(users.0.lock().expect("lock").users.len(), 1);
    }
}
