//! Who has mail here: aliases and users, as the files say at this moment.
//!
//! A user who was found counts as found for a second more, so that a stream of mail does not read the list of users for
//! each message; one who was not found is looked for again each time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accounts::Accounts;
use config::Config;
use handover::aliases::Live;

use crate::local::expand::split_extension;
use crate::set_up;

/// The local recipient table.
pub(super) struct Recipients {
    aliases: Mutex<Live>,
    accounts: Accounts,
    found: Mutex<HashMap<String, Instant>>,
}

/// The list of users or aliases could not be read: ask again later.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble;

impl Recipients {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            aliases: Mutex::new(Live::new(&config.list("alias_maps"))),
            accounts: set_up::accounts(config),
            found: Mutex::default(),
        }
    }

    /// Whether there is mail for this local part: itself, or what stands before the extension.
    pub(super) fn has(&self, local: &str, delimiter: &str) -> Result<bool, Trouble> {
        // RFC 5321 §4.5.1: always; and where our own notices come from.
        if ["postmaster", "mailer-daemon", "double-bounce"].iter().any(|name| local.eq_ignore_ascii_case(name)) {
            return Ok(true);
        }
        if self.is_found(local) {
            return Ok(true);
        }
        let (user, _) = split_extension(local, delimiter);
        let has = self.is_alias(&[local, user]) || self.is_user(local)? || user != local && self.is_user(user)?;
        if has {
            self.remember(local);
        } else if lock(&self.aliases).unknown().is_some() {
            return Err(Trouble);
        }
        Ok(has)
    }

    fn is_alias(&self, names: &[&str]) -> bool {
        let mut aliases = lock(&self.aliases);
        aliases
            .refresh()
            .iter()
            .for_each(|problem| tracing::warn!("{}:{}: {}", problem.file.display(), problem.line, problem.text));
        names.iter().any(|name| aliases.find(name).is_some())
    }

    fn is_user(&self, name: &str) -> Result<bool, Trouble> {
        self.accounts.find(name).map(|account| account.is_some()).map_err(|e| {
            tracing::error!("{e}");
            Trouble
        })
    }

    fn is_found(&self, name: &str) -> bool {
        lock(&self.found).get(name).is_some_and(|since| since.elapsed() < BELIEVED)
    }

    fn remember(&self, name: &str) {
        let mut found = lock(&self.found);
        if found.len() >= MOST {
            found.clear();
        }
        found.insert(name.to_owned(), Instant::now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const BELIEVED: Duration = Duration::from_secs(1);
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(dir: &std::path::Path) -> Recipients {
        std::fs::write(dir.join("aliases"), "postmaster: root\nlist+x: kevin\nroot: kevin\n").expect("write");
        std::fs::write(dir.join("accounts"), "kevin:*:1000:1000:Kevin:/home/kevin:/bin/sh\n").expect("write");
        let text = format!("alias_maps: {0}/aliases\naccounts_file: {0}/accounts\n", dir.display());
        Recipients::of(&Config::parse(dir, &text).expect("configuration"))
    }

    #[test]
    fn aliases_users_and_extensions_exist() {
        let dir = tempfile::tempdir().expect("dir");
        let recipients = recipients(dir.path());
        for name in ["kevin", "Kevin", "kevin+lists", "root", "POSTMASTER", "list+x"] {
            assert_eq!(recipients.has(name, "+"), Ok(true), "{name}");
        }
        for name in ["nobodyx", "kevin-lists", "+kevin", "list", "../kevin", ""] {
            assert_eq!(recipients.has(name, "+"), Ok(false), "{name}");
        }
    }

    #[test]
    fn a_new_user_exists_at_once_and_a_lost_list_is_no_refusal() {
        let dir = tempfile::tempdir().expect("dir");
        let recipients = recipients(dir.path());
        assert_eq!(recipients.has("foo", "+"), Ok(false));
        std::fs::write(dir.path().join("accounts"), "foo:*:1001:1001:Foo:/home/foo:/bin/sh\n").expect("write");
        assert_eq!(recipients.has("foo", "+"), Ok(true));
        std::fs::remove_file(dir.path().join("accounts")).expect("remove");
        assert_eq!(recipients.has("bar", "+"), Err(Trouble));
    }
}
