//! What one mda is for: whose mail, where it goes, what is allowed. Resolved once, from the configuration and the command line.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use config::Config;
use config::mailbox::Delivery;
use mailstore::store::Privileged;

/// Who the recipient is, as `local` says on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The login name.
    pub name: String,
    /// The user whose groups are taken, where that is not the owner.
    pub identity: String,
    /// The uid to become when started as root.
    pub uid: u32,
    /// The gid to become.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
    /// What of the owner's wishes counts.
    pub wishes: Wishes,
}

/// What of the owner's wishes counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wishes {
    /// `.forward` and the mailbox command.
    Obeyed,
    /// Nothing: the system mailbox of that name. For root, whose mail is written by another user.
    Ignored,
}

/// Whose an mbox must be that mail is appended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The recipient's.
    Recipient,
    /// Anybody's.
    Anybody,
}

/// Everything that holds while this mda lives.
pub struct Settings {
    /// Whose mail this is.
    pub owner: Owner,
    /// Where a message goes that `.forward` does not send elsewhere.
    pub delivery: Delivery,
    /// `forward_path`, names not yet replaced.
    pub forward_path: Vec<String>,
    /// `recipient_delimiter`
    pub delimiter: String,
    /// `mailbox_size_limit`; 0: none.
    pub size_limit: u64,
    /// `strict_mailbox_ownership`
    pub ownership: Ownership,
    /// `command_time_limit`
    pub command_time: Duration,
    /// `local_destination_concurrency_limit`: commands at one time.
    pub commands: usize,
    /// Which of `forward`, `include` may run commands.
    pub allow_commands: Vec<String>,
    /// Which of `forward`, `include` may write files.
    pub allow_files: Vec<String>,
    /// The owner's mailbox in the mail spool, for which alone the mail group is taken.
    pub spool: PathBuf,
    /// Our name in Maildir file names.
    pub host: String,
    /// How the mail group is taken for a moment.
    pub privileged: Option<Privileged>,
    /// `biff`
    pub biff: bool,
    /// Held for reading while a process is started, for writing while the mail group is taken: no command inherits it.
    pub no_start: Arc<RwLock<()>>,
}

impl Settings {
    /// Settles everything. `mail_group` is the saved group that may write the mail spool.
    #[must_use]
    pub fn new(config: &Config, owner: Owner, mail_group: Option<u32>) -> Self {
        let no_start = Arc::new(RwLock::new(()));
        let spool = PathBuf::from(config.text("mail_spool_directory")).join(&owner.name);
        let delivery = match owner.wishes {
            Wishes::Obeyed => config::mailbox::delivery(config, &owner.name, &owner.home),
            Wishes::Ignored => Delivery::Mbox(spool.clone()),
        };
        let commands = usize::try_from(config.number("local_destination_concurrency_limit")).unwrap_or(2);
        Self {
            delivery,
            forward_path: config
                .text("forward_path")
                .split([',', ' '])
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
            delimiter: config.text("recipient_delimiter").to_owned(),
            size_limit: config.bytes("mailbox_size_limit"),
            ownership: match (config.flag("strict_mailbox_ownership"), owner.wishes) {
                (true, Wishes::Obeyed) => Ownership::Recipient,
                (false, _) | (_, Wishes::Ignored) => Ownership::Anybody,
            },
            command_time: config.time("command_time_limit"),
            commands,
            allow_commands: config.list("allow_mail_to_commands"),
            allow_files: config.list("allow_mail_to_files"),
            spool,
            host: config.text("myhostname").to_owned(),
            privileged: mail_group.map(|group| privileged(group, Arc::clone(&no_start))),
            biff: config.flag("biff"),
            no_start,
            owner,
        }
    }
}

/// Takes the mail group for one action, during which no process is started.
fn privileged(group: u32, no_start: Arc<RwLock<()>>) -> Privileged {
    Arc::new(move |action| {
        let _alone = no_start.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match privileges::as_group(group, action) {
            Ok(result) => result,
            Err(error) => Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, error)),
        }
    })
}
