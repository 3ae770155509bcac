//! What is to be done about one order: answer it at once, or hand it to the mailbox writer of an owner.

use std::path::PathBuf;

use accounts::{Account, Accounts};
use config::{Config, Destinations};
use handover::aliases::Live;
use handover::{Expansion, Order, Outcome, Target, What, item};
use mail::{Address, EnhancedStatus};
use nix::unistd::{Uid, User};
use routes::luser::{Luser, is_role, luser};

use super::expand::{self, Expander, Leaf, LeafPart, split_extension};
use super::include::Includes;

/// What it takes to decide.
pub struct Decider {
    aliases: Live,
    includes: Includes,
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
            includes: Includes::new(config.text("default_privs")),
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
            match problem.line {
                0 => tracing::error!("{problem}; the aliases as they were before stay in force"),
                _ => tracing::error!("{problem}; mail for this alias has to wait"),
            }
        }
        if let Some(file) = self.aliases.unknown() {
            let text = format!("cannot read the aliases in {}", file.display());
            return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
        }
        let recipient = &order.recipient;
        self.item(recipient).unwrap_or_else(|| self.name(recipient.local(), recipient))
    }

    fn expander<'a>(&'a self, recipient: &'a Address) -> Expander<'a> {
        Expander {
            aliases: &self.aliases,
            includes: &self.includes,
            destinations: &self.destinations,
            domain: recipient.domain(),
            delimiter: &self.delimiter,
        }
    }

    /// What is to be done with a recipient as [`item`] names them; `None`: it is a plain name. An alias or account of the
    /// whole name comes before an item that nobody lists any more.
    fn item(&self, recipient: &Address) -> Option<Decision> {
        let local = recipient.local();
        let user = local.strip_prefix('\\');
        if user.is_none() && item::splits(local).next().is_none() {
            return None;
        }
        if let Some(decision) = item::splits(local).find_map(|(owner, sign)| self.listed(owner, sign, recipient)) {
            return Some(decision);
        }
        if self.expander(recipient).key(local).is_some() || self.find(local).is_ok_and(|found| found.is_some()) {
            return None;
        }
        match user {
            Some(user) => Some(self.account(user, recipient, What::Mailbox)),
            None => item::splits(local).find_map(|(owner, sign)| self.unlisted(owner, sign, recipient)),
        }
    }

    /// An item that the alias `owner` has: it counts while it is still listed.
    fn listed(&self, owner: &str, sign: &str, recipient: &Address) -> Option<Decision> {
        self.aliases.find(owner)?;
        let shown = shown(owner, recipient);
        let leaves = match self.expander(recipient).expand(owner) {
            Ok(leaves) => leaves,
            Err(error) => return Some(Decision::Answer(refused(error, &shown))),
        };
        let leaf = leaves.iter().find(|leaf| leaf.owner == owner && leaf.sign().as_deref() == Some(sign))?;
        Some(match leaf.part {
            LeafPart::Itself => self.account(owner, &shown, What::User),
            LeafPart::Item(_) | LeafPart::Address(_) => self.alias_item(leaf, &shown),
        })
    }

    /// An item of a `.forward`, or one that its alias has lost. That becomes what the alias stands for now, and not by a
    /// short way: who has the message already would get it twice.
    fn unlisted(&self, owner: &str, sign: &str, recipient: &Address) -> Option<Decision> {
        let alias = self.aliases.find(owner).is_some();
        let shown = shown(owner, recipient);
        let forwards = sign != item::ITSELF && sign.starts_with(item::ITSELF);
        if (forwards || !alias) && !matches!(self.find(owner), Ok(None)) {
            return Some(self.account(owner, &shown, What::Listed(sign.to_owned())));
        }
        if !alias {
            return None;
        }
        Some(match self.expander(recipient).expand(owner) {
            Ok(leaves) => expanded(&leaves, &shown, None),
            Err(error) => Decision::Answer(refused(error, &shown)),
        })
    }

    fn name(&self, local: &str, recipient: &Address) -> Decision {
        let expander = self.expander(recipient);
        let Some(key) = expander.key(local) else {
            if let Some(file) = self.aliases.unclear(local) {
                let text = format!("{}: the line of the alias {local} cannot be understood", file.display());
                return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
            }
            return self.account(local, recipient, What::User);
        };
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
        match leaves {
            [Leaf { owner, part: LeafPart::Itself }] => self.account(owner, recipient, What::User),
            [leaf @ Leaf { part: LeafPart::Item(Target::Command(_) | Target::File(_)), .. }] => {
                self.alias_item(leaf, recipient)
            }
            leaves => expanded(leaves, recipient, None),
        }
    }

    /// A command or file of an alias runs as the owner of the alias file, or `default_privs` where that is root.
    fn alias_item(&self, leaf: &Leaf, recipient: &Address) -> Decision {
        let what = match &leaf.part {
            LeafPart::Item(Target::Command(command)) => What::Command(command.clone()),
            LeafPart::Item(Target::File(file)) => What::File(file.clone()),
            LeafPart::Item(_) | LeafPart::Address(_) | LeafPart::Itself => return unknown(recipient.local()),
        };
        let owner = match self.aliases.owner(&leaf.owner) {
            Some(uid) if uid != 0 && self.privileged => file_owner(uid, &leaf.owner),
            _ => self.stand_in(&self.default_privs, "default_privs"),
        };
        match owner {
            Ok(owner) => {
                Decision::Write(Writing { owner, what, recipient: recipient.clone(), extension: String::new() })
            }
            Err(outcome) => Decision::Answer(outcome),
        }
    }

    /// The account of a local part, and its extension.
    fn find<'n>(&self, local: &'n str) -> Result<Option<(Account, &'n str)>, String> {
        let (user, extension) = split_extension(local, &self.delimiter);
        let found = match self.accounts.find(local) {
            Ok(None) if user != local => self.accounts.find(user).map(|found| (found, extension)),
            other => other.map(|found| (found, "")),
        };
        match found {
            Ok((account, extension)) => Ok(account.map(|account| (account, extension))),
            Err(error) => Err(format!("cannot look up user \"{user}\": {error}")),
        }
    }

    fn account(&self, local: &str, recipient: &Address, what: What) -> Decision {
        let (account, extension) = match self.find(local) {
            Ok(Some(found)) => found,
            Ok(None) => return self.nobody(local, recipient),
            Err(text) => return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text)),
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
            let text = format!("the name of the alias \"{}\" is too long for its items", leaf.owner);
            return Decision::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text));
        };
        if seen.insert(address.clone()) {
            into.push(address);
        }
    }
    Decision::Answer(Outcome::Expanded(Expansion { into, owner }))
}

/// Whose item it is, in the headers and the log.
fn shown(owner: &str, recipient: &Address) -> Address {
    Address::new(owner, recipient.domain().cloned()).unwrap_or_else(|_| recipient.clone())
}

/// Who owns a file of aliases that is not root's.
fn file_owner(uid: u32, alias: &str) -> Result<Owner, Outcome> {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => Ok(Owner {
            identity: user.name.clone(),
            name: user.name,
            uid,
            gid: user.gid.as_raw(),
            home: user.dir,
            shell: user.shell,
            mailbox_only: false,
        }),
        _ => {
            let text = format!("the file of the alias \"{alias}\" belongs to uid {uid}, which no user has");
            Err(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text))
        }
    }
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

#[cfg(test)]
mod tests {
    use mail::{Domain, QueueId};

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        decider: Decider,
    }

    impl Place {
        fn new(aliases: &str) -> Self {
            let dir = tempfile::tempdir().expect("a place");
            let at = dir.path().display();
            let accounts = "kevin:$6$salt$hash:1:1::/tmp:/bin/sh\nfoo:$6$salt$hash:2:2::/tmp:/bin/sh\n";
            std::fs::write(dir.path().join("accounts"), accounts).expect("accounts");
            let text = format!(
                "accounts_file: {at}/accounts\nalias_maps: {at}/aliases\nmydestination: m3102.com\nrecipient_delimiter: +\n"
            );
            std::fs::write(dir.path().join("facteur.yaml"), text).expect("configuration");
            let decider = Decider::new(&Config::load(dir.path()).expect("configuration"));
            let place = Self { dir, decider };
            place.edit(aliases);
            place
        }

        fn edit(&self, aliases: &str) {
            std::fs::write(self.dir.path().join("aliases"), aliases).expect("aliases");
        }

        fn decide(&mut self, local: &str) -> Decision {
            let recipient = address(local);
            let (id, sender, original) = (QueueId::new(1, 1), None, None);
            let order =
                Order { number: 1, id, arrival: 0, active: 0, sender, recipient, original, offset: 0, length: 0 };
            self.decider.decide(&order)
        }

        fn write(&mut self, local: &str) -> Writing {
            match self.decide(local) {
                Decision::Write(writing) => writing,
                Decision::Answer(answer) => panic!("{local}: {answer:?}"),
            }
        }

        fn expanded(&mut self, local: &str) -> Vec<String> {
            match self.decide(local) {
                Decision::Answer(Outcome::Expanded(Expansion { into, .. })) => {
                    into.iter().map(|address| address.local().to_owned()).collect()
                }
                other => panic!("{local}: {other:?}"),
            }
        }
    }

    fn address(local: &str) -> Address {
        Address::new(local, Domain::parse("m3102.com").ok()).expect(local)
    }

    #[test]
    fn an_address_with_the_signs_of_items_is_an_address() {
        let mut place = Place::new("fax/123: foo\nfax/5: foo, \"|cat\"\nlist+a|b: foo\n");
        for (local, extension) in [("kevin+shop/2026", "shop/2026"), ("kevin+a|b", "a|b"), ("kevin+a\\b", "a\\b")] {
            let writing = place.write(local);
            assert_eq!((writing.what, &*writing.extension), (What::User, extension));
            assert_eq!((&*writing.owner.name, writing.recipient), ("kevin", address(local)));
        }
        assert_eq!(place.expanded("fax/123"), ["foo"]);
        assert_eq!(place.expanded("list+a|b"), ["foo"]);
        assert_eq!(place.expanded("fax/5"), ["foo", "fax/5|cat"]);
        assert_eq!(place.write("fax/5|cat").what, What::Command("cat".into()));
        let unknown = place.decide("nobody+x/y");
        assert_eq!(unknown, super::unknown("nobody"));
        assert_eq!(place.decide("no/body"), super::unknown("no/body"));
    }

    #[test]
    fn items_are_obeyed_while_they_are_listed() {
        let mut place = Place::new("staff: foo, \"|cat\"\nkevin: kevin, toto\n");
        assert_eq!(place.expanded("staff"), ["foo", "staff|cat"]);
        assert_eq!(place.write("staff|cat").what, What::Command("cat".into()));
        assert_eq!(place.expanded("staff|rm"), ["foo", "staff|cat"]);
        // What his .forward lists is no business of the alias he has besides.
        assert_eq!(place.write("kevin\\|cat").what, What::Listed("\\|cat".into()));
        assert_eq!(place.write("kevin\\").what, What::User);
        assert_eq!(place.write("\\kevin").what, What::Mailbox);
        // By no short way: whoever is left may have the message already.
        place.edit("staff: staff\n");
        assert_eq!(place.expanded("staff|cat"), ["staff\\"]);
        assert_eq!(place.write("kevin\\").what, What::Listed("\\".into()));
        assert_eq!(place.write("foo|cat").what, What::Listed("|cat".into()));
    }

    #[test]
    fn an_item_may_be_longer_than_an_address() {
        let long = "x".repeat(300);
        let mut place = Place::new(&format!("staff: foo, \"|{long}\", \"|a\tb\"\n"));
        let into = place.expanded("staff");
        assert_eq!(into[0], "foo");
        assert_eq!(place.write(&into[1]).what, What::Command(long));
        assert_eq!(place.write(&into[2]).what, What::Command("a\tb".into()));
    }

    /// Only root becomes others.
    #[test]
    fn commands_run_as_the_owner_of_their_file() {
        if !privileges::is_root() {
            return;
        }
        let mut place = Place::new("list: \"|cat\"\n");
        assert_eq!(place.write("list").owner.name, "nobody");
        let file = place.dir.path().join("aliases");
        std::os::unix::fs::chown(&file, Some(1), None).expect("given away");
        assert_eq!(place.write("list").owner.uid, 1);
        std::os::unix::fs::chown(&file, Some(54321), None).expect("given away");
        assert!(matches!(place.decide("list"), Decision::Answer(Outcome::Deferred(..))));
    }
}
