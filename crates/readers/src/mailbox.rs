//! Where the user's mail is, in the words of the store.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use accounts::Account;
use config::Config;
use config::mailbox::{Reading, reading};
use mailstore::store::Privileged;
use mailstore::{Location, Options};

/// Where `account` reads mail.
#[must_use]
pub fn location(config: &Config, account: &Account) -> Location {
    match reading(config, &account.name, &account.home) {
        Reading::Maildir { root } => Location::Maildir { root },
        Reading::Mbox { inbox, folders } => Location::Mbox { inbox, folders },
    }
}

/// How the store works there. The mail group is offered only if this process kept it in reserve.
#[must_use]
pub fn options(config: &Config) -> Options {
    let host =
        nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned());
    Options {
        privileged: privileges::find_group(config.text("mail_privileged_group")).ok().map(privileged),
        lock_timeout: config.time("mbox_lock_timeout"),
        host,
        local_offset: i16::try_from(jiff::Zoned::now().offset().seconds() / 60).unwrap_or(0),
    }
}

/// One at a time: the group is the process's.
fn privileged(group: u32) -> Privileged {
    let one = Mutex::new(());
    Arc::new(move |action| {
        let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
        match privileges::as_group(group, &mut *action) {
            Ok(result) => result,
            // Never root, or this is the one-directory mode: then without the group.
            Err(privileges::Error::System("setegid", _)) => action(),
            Err(error) => Err(io::Error::other(error)),
        }
    })
}
