//! What is to be done about one order: answer it at once, or hand it to the mailbox writer of an owner.

use std::path::PathBuf;

use accounts::{Account, Accounts};
use config::{Config, Destinations};
use handover::aliases::Live;
use handover::{Expansion, Order, Outcome, Target, What};
use mail::{Address, Domain, EnhancedStatus};
use routes::luser::{Luser, is_role, luser};

use super::expand::{self, Expander, Leaf, LeafPart, Part, split_extension};

/// What it takes to decide.
pub struct Decider {
    aliases: Live,
    accounts: Accounts,
    destinations: Destinations,
    delimiter: String,
    luser_relay: String,
    default_privs: String,
    privileged: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This is the reply; `logged` says whether it gets a line of its own.
    Answer(Outcome),
    /// Hand it to this owner's writer.
    Write(Writing),
}

/// A task for a writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    /// Whose writer.
    pub owner: Owner,
    /// What it shall do.
    pub what: What,
    /// `Delivered-To`, and `to=` in the log.
    pub recipient: Address,
    /// The extension of the address.
    pub extension: String,
}

/// As whom a writer runs, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The user whose mail it is.
    pub name: String,
    /// The user whose groups it takes.
    pub identity: String,
    /// The uid it runs with; never 0 when we are root.
    pub uid: u32,
    /// The gid it runs with.
    pub gid: u32,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
    /// Neither `.forward` nor commands.
    pub mailbox_only: bool,
}

impl Decider {
    /// From the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            aliases: Live::new(&config.list("alias_maps")),
            accounts: crate::set_up::accounts(config),
            destinations: config.destinations(),
            delimiter: config.text("recipient_delimiter").to_owned(),
            luser_relay: config.text("luser_relay").to_owned(),
            default_privs: config.text("default_privs").to_owned(),
            privileged: privileges::is_root(),
        }
    }

    /// Decides. Alias files are read again first where they changed.
    pub fn decide(&mut self, order: &Order) -> Decision {
        for problem in self.aliases.refresh() {
            tracing::error!("{problem}; the aliases as they were before stay in force");
        }
        if let Some(file) = self.aliases.unknown() {
            let text = format!("cannot read the aliases in {}", file.display());
            return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
        }
        let recipient = &order.recipient;
        match Part::of(recipient.local()) {
            Part::Name(local) => self.name(local, recipient),
            Part::Mailbox(user) => self.account(user, recipient, What::Mailbox),
            Part::Listed(owner, item) => self.listed(owner, item, recipient),
        }
    }

    fn name(&self, local: &str, recipient: &Address) -> Decision {
        let domain = recipient.domain().cloned();
        let ours = |of: &Domain| Some(of) == domain.as_ref() || self.destinations.contains(of.as_str());
        let expander =
            Expander { aliases: &self.aliases, ours: &ours, domain: domain.as_ref(), delimiter: &self.delimiter };
        let Some(key) = expander.key(local) else { return self.account(local, recipient, What::User) };
        match expander.expand(key) {
            Ok(leaves) => match expander.owner(key) {
                Some(owner) => expanded(&leaves, recipient, Some(owner)),
                None => self.leaves(&leaves, recipient),
            },
            Err(error) => Decision::Answer(refused(error, recipient)),
        }
    }

    /// A single command or file is served at once; everything else becomes recipients of their own.
    fn leaves(&self, leaves: &[Leaf], recipient: &Address) -> Decision {
        if let [Leaf { owner, part }] = leaves {
            match part {
                LeafPart::Itself => return self.account(owner, recipient, What::User),
                LeafPart::Item(Target::Command(_) | Target::File(_)) => return self.alias_item(part, recipient),
                LeafPart::Item(_) | LeafPart::Address(_) => {}
            }
        }
        expanded(leaves, recipient, None)
    }

    /// An item that an alias or `.forward` listed when it was expanded. It counts while it is still listed.
    fn listed(&self, owner: &str, item: &str, recipient: &Address) -> Decision {
        let shown = Address::new(owner, recipient.domain().cloned()).unwrap_or_else(|_| recipient.clone());
        let ours = |of: &Domain| Some(of) == recipient.domain();
        let expander =
            Expander { aliases: &self.aliases, ours: &ours, domain: recipient.domain(), delimiter: &self.delimiter };
        let Some(key) = expander.key(owner) else {
            return self.account(owner, &shown, What::Listed(item.to_owned()));
        };
        let leaves = match expander.expand(key) {
            Ok(leaves) => leaves,
            Err(error) => return Decision::Answer(refused(error, &shown)),
        };
        let wanted = leaves.iter().find(|leaf| match &leaf.part {
            LeafPart::Itself => item == "\\",
            LeafPart::Item(target) => expand::item(owner, target).strip_prefix(owner) == Some(item),
            LeafPart::Address(_) => false,
        });
        match wanted.map(|leaf| &leaf.part) {
            Some(LeafPart::Itself) => self.account(owner, &shown, What::User),
            Some(part) => self.alias_item(part, &shown),
            None => self.leaves(&leaves, &shown),
        }
    }

    /// A command or file of an alias runs as `default_privs`.
    fn alias_item(&self, part: &LeafPart, recipient: &Address) -> Decision {
        let what = match part {
            LeafPart::Item(Target::Command(command)) => What::Command(command.clone()),
            LeafPart::Item(Target::File(file)) => What::File(file.clone()),
            LeafPart::Item(_) | LeafPart::Address(_) | LeafPart::Itself => return unknown(recipient.local()),
        };
        match self.stand_in(&self.default_privs, "default_privs") {
            Ok(owner) => {
                Decision::Write(Writing { owner, what, recipient: recipient.clone(), extension: String::new() })
            }
            Err(outcome) => Decision::Answer(outcome),
        }
    }

    fn account(&self, local: &str, recipient: &Address, what: What) -> Decision {
        let (user, extension) = split_extension(local, &self.delimiter);
        let found = match self.accounts.find(local) {
            Ok(Some(account)) => Ok(Some((account, ""))),
            Ok(None) if user != local => {
                self.accounts.find(user).map(|found| found.map(|account| (account, extension)))
            }
            other => other.map(|_| None),
        };
        let (account, extension) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return self.nobody(local, recipient),
            Err(error) => {
                let text = format!("cannot look up user \"{user}\": {error}");
                return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
            }
        };
        let extension = extension.to_owned();
        // `\user` stands for the user in the headers and the log.
        let recipient = match what {
            What::Mailbox => {
                Address::new(&account.name, recipient.domain().cloned()).unwrap_or_else(|_| recipient.clone())
            }
            _ => recipient.clone(),
        };
        match self.owner(account) {
            Ok(owner) => Decision::Write(Writing { owner, what, recipient, extension }),
            Err(outcome) => Decision::Answer(outcome),
        }
    }

    fn owner(&self, account: Account) -> Result<Owner, Outcome> {
        if account.uid == 0 && self.privileged {
            let writer = self.stand_in("mail", "the user that writes root's mailbox")?;
            return Ok(Owner { name: account.name, mailbox_only: true, ..writer });
        }
        let Account { name, uid, gid, home, shell, .. } = account;
        Ok(Owner { identity: name.clone(), name, uid, gid, home, shell, mailbox_only: false })
    }

    /// A system user that stands in where no recipient's rights apply.
    fn stand_in(&self, name: &str, role: &str) -> Result<Owner, Outcome> {
        if !self.privileged {
            let us = nix::unistd::geteuid().as_raw();
            let (uid, gid) = (us, nix::unistd::getegid().as_raw());
            return Ok(Owner {
                name: name.into(),
                identity: name.into(),
                uid,
                gid,
                home: "/".into(),
                shell: "/bin/sh".into(),
                mailbox_only: false,
            });
        }
        match privileges::find_user(name) {
            Ok(user) if user.uid != 0 => Ok(Owner {
                name: user.name.clone(),
                identity: user.name,
                uid: user.uid,
                gid: user.gid,
                home: "/".into(),
                shell: "/bin/sh".into(),
                mailbox_only: false,
            }),
            _ => Err(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), format!("there is no user \"{name}\" ({role})"))),
        }
    }

    /// Neither alias nor account.
    fn nobody(&self, local: &str, recipient: &Address) -> Decision {
        if local.eq_ignore_ascii_case(crate::bounce::DOUBLE_BOUNCE) {
            return Decision::Answer(Outcome::Sent(EnhancedStatus::OK, "discarded".into()));
        }
        if is_role(local)
            && let Ok(root) = Address::new("root", recipient.domain().cloned())
        {
            return Decision::Answer(Outcome::Expanded(vec![root].into()));
        }
        match luser(&self.luser_relay, recipient, &self.delimiter) {
            Luser::Nobody => unknown(split_extension(local, &self.delimiter).0),
            Luser::Gets(to) => Decision::Answer(Outcome::Expanded(vec![to].into())),
            Luser::Malformed(text) => Decision::Answer(Outcome::Deferred(
                EnhancedStatus::new(4, 3, 5),
                format!("luser_relay \"{text}\" is not an address"),
            )),
        }
    }
}

/// Each leaf becomes a recipient of its own, with this owner as its sender.
fn expanded(leaves: &[Leaf], recipient: &Address, owner: Option<Address>) -> Decision {
    let mut into: Vec<Address> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for leaf in leaves {
        let Some(address) = leaf.recipient(recipient.domain()) else {
            let text = format!("an item of the alias \"{}\" is too long", leaf.owner);
            return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text));
        };
        if seen.insert(address.clone()) {
            into.push(address);
        }
    }
    Decision::Answer(Outcome::Expanded(Expansion { into, owner }))
}

fn unknown(user: &str) -> Decision {
    Decision::Answer(Outcome::Bounced(EnhancedStatus::new(5, 1, 1), format!("unknown user: \"{user}\"")))
}

fn refused(error: expand::Error, recipient: &Address) -> Outcome {
    match error {
        expand::Error::Loop(_) => {
            Outcome::Bounced(EnhancedStatus::new(5, 4, 6), format!("mail forwarding loop for {recipient}"))
        }
        expand::Error::Trouble(text) => Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text),
    }
}
