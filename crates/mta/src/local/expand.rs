//! From a local name to what its alias stands for: addresses, mailboxes, commands and files, nested aliases undone.
//!
//! A leaf that is no plain address becomes a recipient of its own under a name as [`handover::item`] makes it.

use config::Destinations;
use handover::aliases::Live;
use handover::item::{self, List};
use handover::{Target, target};
use mail::{Address, Domain};

use super::include::Includes;

/// How deep aliases may nest, and how many recipients one may have.
const MAX_DEPTH: usize = 100;
const MAX_LEAVES: usize = 100_000;

/// Why an alias cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The alias stands for itself by a detour.
    Loop(String),
    /// Too many recipients, a file that cannot be read: the operator has to mend something.
    Trouble(String),
}

/// An expansion's source of names and what belongs to them.
pub struct Expander<'a> {
    /// The tables.
    pub aliases: &'a Live,
    /// What they include.
    pub includes: &'a Includes,
    /// Our domains.
    pub destinations: &'a Destinations,
    /// The domain of new local addresses; ours too.
    pub domain: Option<&'a Domain>,
    /// `recipient_delimiter`.
    pub delimiter: &'a str,
}

impl Expander<'_> {
    /// The alias that a local part stands for: the whole of it, or what is before the delimiter.
    #[must_use]
    pub fn key<'n>(&self, local: &'n str) -> Option<&'n str> {
        if self.aliases.find(local).is_some() {
            return Some(local);
        }
        let (user, _) = split_extension(local, self.delimiter);
        self.aliases.find(user).map(|_| user)
    }

    /// The alias `owner-NAME` that belongs to the alias NAME, if there is one: who hears of failures of its members.
    #[must_use]
    pub fn owner(&self, name: &str) -> Option<Address> {
        let owner = format!("owner-{name}");
        self.aliases.find(&owner)?;
        Address::new(&owner, self.domain.cloned()).ok()
    }

    /// What `name`, which is a [`Expander::key`], stands for in the end, without repetitions.
    ///
    /// # Errors
    /// When it never ends, or a part of it cannot be read now.
    pub fn expand(&self, name: &str) -> Result<Vec<Leaf>, Error> {
        let mut walk = Walk { path: vec![name.to_lowercase()], leaves: Vec::new() };
        self.walk(name, &mut walk)?;
        Ok(walk.leaves)
    }

    fn walk(&self, name: &str, walk: &mut Walk) -> Result<(), Error> {
        if walk.path.len() > MAX_DEPTH {
            return Err(Error::Loop(name.into()));
        }
        self.items(name, self.aliases.find(name).unwrap_or_default(), walk)
    }

    fn items(&self, owner: &str, items: &[Target], walk: &mut Walk) -> Result<(), Error> {
        for target in items {
            match target {
                Target::Address(address) => self.address(owner, address, walk)?,
                Target::Include(file) => self.items(owner, &self.included(file)?, walk)?,
                Target::Command(_) | Target::File(_) | Target::Mailbox(_) => {
                    walk.push(owner, LeafPart::Item(target.clone()))?;
                }
            }
        }
        Ok(())
    }

    fn address(&self, owner: &str, address: &Address, walk: &mut Walk) -> Result<(), Error> {
        let local = address.domain().is_none_or(|domain| self.is_ours(domain));
        let lower = address.local().to_lowercase();
        if local && walk.path.last() == Some(&lower) {
            return walk.push(owner, LeafPart::Itself);
        }
        if local && walk.path.contains(&lower) {
            return Err(Error::Loop(address.local().into()));
        }
        match self.key(address.local()) {
            // The members of a list with an owner of its own are given him as their sender: it is a recipient by itself.
            Some(key) if local && self.owner(key).is_none() => {
                walk.path.push(lower);
                self.walk(key, walk)?;
                walk.path.pop();
                Ok(())
            }
            _ => walk.push(owner, LeafPart::Address(address.clone())),
        }
    }

    fn is_ours(&self, domain: &Domain) -> bool {
        Some(domain) == self.domain || self.destinations.contains(domain.as_str())
    }

    /// What a list holds. Of its text nothing is told: whoever owns the list need not be who may read it.
    fn included(&self, file: &str) -> Result<Vec<Target>, Error> {
        let text = self.includes.read(file).map_err(|why| Error::Trouble(format!("cannot read {file}: {why}")))?;
        let targets = target::parse_file(&text)
            .map_err(|(line, _)| Error::Trouble(format!("{file}:{line}: neither an address nor a comment")))?;
        // allow_mail_to_commands and allow_mail_to_files do not name "include" by default: whoever may edit a list of
        // addresses must not thereby run commands.
        match targets.iter().find(|target| !matches!(target, Target::Address(_))) {
            Some(_) => Err(Error::Trouble(format!("{file}: only addresses may stand in an :include: file"))),
            None => Ok(targets),
        }
    }
}

/// How far an expansion is.
struct Walk {
    /// The names from the first alias to the present one, in small letters.
    path: Vec<String>,
    leaves: Vec<Leaf>,
}

impl Walk {
    fn push(&mut self, owner: &str, part: LeafPart) -> Result<(), Error> {
        if self.leaves.len() >= MAX_LEAVES {
            return Err(Error::Trouble(format!("more than {MAX_LEAVES} recipients in one alias")));
        }
        self.leaves.push(Leaf { owner: owner.into(), part });
        Ok(())
    }
}

/// What is left when all aliases are undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The alias whose list has it.
    pub owner: String,
    /// What it is.
    pub part: LeafPart,
}

/// See [`Leaf`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafPart {
    /// An address that is no alias.
    Address(Address),
    /// The owner itself: the alias lists its own name.
    Itself,
    /// A command, a file or a mailbox.
    Item(Target),
}

impl Leaf {
    /// What stands behind the owner's name when the leaf is a recipient of its own, unless it has an address.
    #[must_use]
    pub fn sign(&self) -> Option<String> {
        match &self.part {
            LeafPart::Itself => Some(item::ITSELF.into()),
            LeafPart::Item(target) => item::sign(List::Alias, &self.owner, target),
            LeafPart::Address(_) => None,
        }
    }

    /// The leaf as a recipient of its own. `None` when the owner's name is too long for that.
    #[must_use]
    pub fn recipient(&self, domain: Option<&Domain>) -> Option<Address> {
        let local = match &self.part {
            LeafPart::Address(address) => {
                return Some(match domain {
                    Some(domain) => address.clone().qualified(domain),
                    None => address.clone(),
                });
            }
            LeafPart::Item(Target::Mailbox(user)) => item::mailbox(user),
            LeafPart::Item(_) | LeafPart::Itself => format!("{}{}", self.owner, self.sign()?),
        };
        Address::new(&local, domain.cloned()).ok()
    }
}

/// `("kevin", "lists")` of `kevin+lists`.
#[must_use]
pub fn split_extension<'n>(local: &'n str, delimiters: &str) -> (&'n str, &'n str) {
    let (user, extension) = tables::address::split_extension(local, delimiters);
    (user, extension.strip_prefix(|c| delimiters.contains(c)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(table: &str, name: &str) -> Result<Vec<String>, Error> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("expand-{}-{unique}", std::process::id()));
        std::fs::write(&path, table).expect("written");
        let mut aliases = Live::new(&[path.display().to_string()]);
        assert_eq!(aliases.refresh(), []);
        std::fs::remove_file(&path).expect("removed");
        let domain = Domain::parse("m3102.com").expect("a domain");
        let config = config::Config::parse(std::path::Path::new("/"), "mydestination: m3102.com\n").expect("sound");
        let (includes, destinations) = (Includes::new("nobody"), config.destinations());
        let expander = Expander {
            aliases: &aliases,
            includes: &includes,
            destinations: &destinations,
            domain: Some(&domain),
            delimiter: "+",
        };
        let leaves = expander.expand(expander.key(name).expect("it is an alias"))?;
        Ok(leaves.iter().map(|leaf| leaf.recipient(Some(&domain)).expect("short").local().to_owned()).collect())
    }

    #[test]
    fn nested_aliases_are_undone() {
        let table = "postmaster: root\nroot: eleve, Staff@m3102.com\nstaff: kevin, x@else.where, \"|cat\", /var/log/staff, \\toto\n";
        let leaves = expanded(table, "postmaster+x").expect("it ends");
        assert_eq!(leaves, ["eleve", "kevin", "x", "Staff|cat", "Staff/var/log/staff", "\\toto"]);
    }

    #[test]
    fn an_alias_that_lists_itself_delivers_here() {
        assert_eq!(expanded("kevin: kevin, toto\n", "kevin"), Ok(vec!["kevin\\".into(), "toto".into()]));
    }

    #[test]
    fn a_list_with_an_owner_is_a_recipient_by_itself() {
        let table = "all: list, toto\nlist: kevin, foo\nowner-list: eleve\n";
        assert_eq!(expanded(table, "all"), Ok(vec!["list".into(), "toto".into()]));
        assert_eq!(expanded(table, "list"), Ok(vec!["kevin".into(), "foo".into()]));
    }

    #[test]
    fn a_detour_back_is_a_loop() {
        assert_eq!(expanded("a: b\nb: c\nc: a\n", "a"), Err(Error::Loop("a".into())));
    }

    /// Whoever may write a list may make it a link to what he may not read.
    #[test]
    fn trouble_with_a_list_tells_nothing_of_it() {
        use std::os::unix::fs::PermissionsExt;
        let list = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o644)).tempfile().expect("a list");
        std::fs::write(list.path(), "kevin\nroot $y$secret x\n").expect("written");
        let told = expanded(&format!("a: :include:{}\n", list.path().display()), "a");
        let place = format!("{}:2: neither an address nor a comment", list.path().display());
        assert_eq!(told, Err(Error::Trouble(place)));
    }

    #[test]
    fn a_missing_list_is_trouble() {
        assert!(matches!(expanded("a: :include:/no/such/list\n", "a"), Err(Error::Trouble(_))));
    }
}
