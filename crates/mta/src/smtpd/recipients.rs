//! Who has mail here: aliases and users, as the files say at this moment.
//!
//! A user who was found counts as found for a second more, so that a stream of mail does not read the list of users for
//! each message; one who was not found is looked for again each time.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accounts::Accounts;
use config::Config;
use handover::Target;
use handover::aliases::Live;
use mail::{Address, Domain};
use routes::luser::is_role;
use tables::Tables;
use tables::address::Key;

use crate::bounce::DOUBLE_BOUNCE;
use crate::local::expand::split_extension;
use crate::set_up;

/// Who has mail here, and in domains that we pass on (`local_recipient_maps`, `relay_recipient_maps`).
pub(super) struct Recipients {
    /// The list is empty: whoever is named exists.
    everybody: bool,
    /// `unix:passwd.byname`
    users: bool,
    /// `$alias_maps`
    uses_aliases: bool,
    aliases: Mutex<Live>,
    accounts: Accounts,
    tables: Tables,
    relayed: Tables,
    found: Mutex<HashMap<String, Instant>>,
}

/// The list of users or aliases could not be read: ask again later.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble;

impl Recipients {
    pub(super) fn of(config: &Config) -> Self {
        let mut listed = config.list("local_recipient_maps");
        let everybody = listed.is_empty();
        let users = take(&mut listed, |item| item.trim_start_matches("proxy:") == "unix:passwd.byname");
        let alias_maps = config.list("alias_maps");
        let file = |item: &str| item[item.find('/').unwrap_or(0)..].to_owned();
        let uses_aliases = take(&mut listed, |item| alias_maps.contains(&file(item)));
        let tables = Tables::open(&listed.join(", ")).unwrap_or_else(|problem| {
            tracing::error!("local_recipient_maps: {problem}");
            Tables::open("fail:local_recipient_maps").unwrap_or_default()
        });
        Self {
            everybody,
            users,
            uses_aliases,
            aliases: Mutex::new(Live::new(&alias_maps)),
            accounts: set_up::accounts(config),
            tables,
            relayed: config.tables("relay_recipient_maps"),
            found: Mutex::default(),
        }
    }

    /// The tables among them, for a jail.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [self.tables.files(), self.relayed.files()].concat()
    }

    /// Whether a domain that we pass on has this mailbox, as far as we are told.
    pub(super) fn has_relayed(&self, address: &Address, delimiter: &str) -> Result<bool, Trouble> {
        Ok(self.relayed.is_empty() || listed(&self.relayed, address, delimiter)?)
    }

    /// Whether there is mail for this address at a domain of ours: its local part, or what stands before the extension.
    pub(super) fn has(&self, address: &Address, delimiter: &str) -> Result<bool, Trouble> {
        Ok(self.everybody || self.has_local(address.local(), delimiter)? || listed(&self.tables, address, delimiter)?)
    }

    fn has_local(&self, local: &str, delimiter: &str) -> Result<bool, Trouble> {
        if is_role(local) || local.eq_ignore_ascii_case(DOUBLE_BOUNCE) {
            return Ok(true);
        }
        if self.is_found(local) {
            return Ok(true);
        }
        let (user, _) = split_extension(local, delimiter);
        let is_alias = self.uses_aliases && self.is_alias(&[local, user]);
        let is_user = || Ok(self.users && (self.is_user(local)? || user != local && self.is_user(user)?));
        let has = is_alias || is_user()?;
        if has {
            self.remember(local);
        } else if self.uses_aliases && self.is_unclear(&[local, user]) {
            return Err(Trouble);
        }
        Ok(has)
    }

    fn is_alias(&self, names: &[&str]) -> bool {
        let mut aliases = lock(&self.aliases);
        refresh(&mut aliases);
        names.iter().any(|name| aliases.find(name).is_some())
    }

    /// Nobody knows whether one of these is an alias.
    fn is_unclear(&self, names: &[&str]) -> bool {
        let aliases = lock(&self.aliases);
        aliases.unknown().is_some() || names.iter().any(|name| aliases.unclear(name).is_some())
    }

    /// Whether mail for an alias reaches this user, by whatever many aliases.
    pub(super) fn alias_leads_to(&self, alias: &str, user: &str) -> bool {
        let mut aliases = lock(&self.aliases);
        refresh(&mut aliases);
        let (mut open, mut seen) = (vec![alias.to_lowercase()], HashSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            for target in aliases.find(&name).unwrap_or_default() {
                match target {
                    Target::Address(address) if address.domain().is_none() => open.push(address.local().to_lowercase()),
                    Target::Mailbox(name) => open.push(name.to_lowercase()),
                    Target::Address(_) | Target::Command(_) | Target::File(_) | Target::Include(_) => {}
                }
            }
        }
        seen.remove(alias);
        seen.contains(&user.to_lowercase())
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

/// Whether tables list an address of a domain whose recipients they name.
fn listed(tables: &Tables, address: &Address, delimiter: &str) -> Result<bool, Trouble> {
    if tables.is_empty() {
        return Ok(false);
    }
    let view = tables.view().map_err(|trouble| {
        tracing::warn!("{trouble}");
        Trouble
    })?;
    let domain = address.domain().map_or("", Domain::as_str);
    let key = Key { local: address.local(), domain, is_ours: true, delimiters: delimiter };
    Ok(key.find(&view).is_some())
}

/// Takes the items out that are meant; whether there were any.
fn take(items: &mut Vec<String>, meant: impl Fn(&str) -> bool) -> bool {
    let before = items.len();
    items.retain(|item| !meant(item));
    items.len() < before
}

fn refresh(aliases: &mut Live) {
    let problems = aliases.refresh();
    problems.iter().for_each(|problem| tracing::warn!("{}:{}: {}", problem.file.display(), problem.line, problem.text));
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
        for name in ["kevin", "Kevin", "kevin+lists", "root", "POSTMASTER", "abuse", "Double-Bounce", "list+x"] {
            assert_eq!(recipients.has_local(name, "+"), Ok(true), "{name}");
        }
        for name in ["nobodyx", "kevin-lists", "+kevin", "list", "../kevin", ""] {
            assert_eq!(recipients.has_local(name, "+"), Ok(false), "{name}");
        }
    }

    #[test]
    fn a_new_user_exists_at_once_and_a_lost_list_is_no_refusal() {
        let dir = tempfile::tempdir().expect("dir");
        let recipients = recipients(dir.path());
        assert_eq!(recipients.has_local("foo", "+"), Ok(false));
        std::fs::write(dir.path().join("accounts"), "foo:*:1001:1001:Foo:/home/foo:/bin/sh\n").expect("write");
        assert_eq!(recipients.has_local("foo", "+"), Ok(true));
        std::fs::remove_file(dir.path().join("accounts")).expect("remove");
        assert_eq!(recipients.has_local("bar", "+"), Err(Trouble));
    }
}
