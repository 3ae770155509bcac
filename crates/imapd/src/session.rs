//! IMAP after login, in the words of the worker.

use std::sync::Arc;
use std::time::Duration;

use accounts::Account;
use config::Config;
use daemon::login::Session;
use daemon::login::worker::Mail;
use imap::session::Settings;
use readers::mailbox::{location, options};

use crate::mailboxes::Mailboxes;
use crate::watch::Watch;
use crate::world::ImapWorld;

/// The parameter that says how often an idling client is told that we are still here.
pub(crate) const PAUSE: &str = "imap_idle_notify_interval";
/// How long a client that does not idle may be silent (RFC 9051 §5.4).
const INACTIVITY: Duration = Duration::from_secs(30 * 60);
/// The largest message APPEND takes.
const APPEND_LIMIT: u64 = 256 * 1024 * 1024;

pub(crate) struct Imap {
    mailboxes: Arc<Mailboxes>,
    /// Pauses that make the time of inactivity.
    patience: u32,
    line_limit: usize,
}

impl Imap {
    pub(crate) fn new(config: &Config, account: &Account) -> Self {
        let (location, options) = (location(config, account), options(config));
        let pauses = INACTIVITY.as_secs().div_ceil(config.time(PAUSE).as_secs().max(1));
        let patience = u32::try_from(pauses).unwrap_or(u32::MAX);
        let line_limit = usize::try_from(config.bytes("imap_max_line_length")).unwrap_or(usize::MAX);
        Self { mailboxes: Arc::new(Mailboxes::new(location, options, Watch::start())), patience, line_limit }
    }
}

impl Mail for Imap {
    type Machine = imap::Session;
    type World = ImapWorld;

    fn open(&self, session: &Session) -> (imap::Session, ImapWorld) {
        let settings = Settings {
            tag: String::from_utf8_lossy(&session.tag).into_owned(),
            separator: self.mailboxes.separator(),
            patience: self.patience,
            append_limit: APPEND_LIMIT,
            line_limit: self.line_limit,
        };
        (imap::Session::new(settings), ImapWorld::new(self.mailboxes.clone()))
    }
}
