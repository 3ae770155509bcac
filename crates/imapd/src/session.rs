//! IMAP after login, in the words of the worker.

use std::sync::Arc;

use accounts::Account;
use config::Config;
use daemon::login::Session;
use daemon::login::worker::Mail;
use imap::session::Settings;
use readers::mailbox::{location, options};

use crate::mailboxes::Mailboxes;
use crate::watch::Watch;
use crate::world::ImapWorld;

/// How many silences of [`crate::SERVICE`] make half an hour (RFC 9051 §5.4).
pub(crate) const PATIENCE: u32 = 15;
/// The largest message APPEND takes.
const APPEND_LIMIT: u64 = 256 * 1024 * 1024;

pub(crate) struct Imap {
    mailboxes: Arc<Mailboxes>,
}

impl Imap {
    pub(crate) fn new(config: &Config, account: &Account) -> Self {
        let (location, options) = (location(config, account), options(config));
        Self { mailboxes: Arc::new(Mailboxes::new(location, options, Watch::start())) }
    }
}

impl Mail for Imap {
    type Machine = imap::Session;
    type World = ImapWorld;

    fn open(&self, session: &Session) -> (imap::Session, ImapWorld) {
        let settings = Settings {
            tag: String::from_utf8_lossy(&session.tag).into_owned(),
            separator: self.mailboxes.separator(),
            patience: PATIENCE,
            append_limit: APPEND_LIMIT,
        };
        (imap::Session::new(settings), ImapWorld::new(self.mailboxes.clone()))
    }
}
