//! From a local name to what its alias stands for: addresses, mailboxes, commands and files, nested aliases undone.
//!
//! A leaf that is no plain address is written as one, so that the queue can keep it as a recipient of its own:
//! `owner|command` and `owner/file` are the items that the alias (or the `.forward`) of `owner` lists, `owner\` is
//! `owner` after an alias that lists itself, `\user` is a mailbox with neither alias nor `.forward`.
//! Such a name gives no rights by itself, because anybody may write it in an envelope: it is obeyed only while the list
//! of `owner` still has that item ([`Part::of`] is where reading it begins).

use std::path::Path;

use handover::Target;
use handover::aliases::Live;
use mail::{Address, Domain};

/// How deep aliases may nest, and how many recipients one may have.
const MAX_DEPTH: usize = 100;
const MAX_LEAVES: usize = 100_000;
const MAX_INCLUDE: u64 = 16 << 20;

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
    /// Whether a domain is ours.
    pub ours: &'a dyn Fn(&Domain) -> bool,
    /// The domain of new local addresses.
    pub domain: Option<&'a Domain>,
    /// `recipient_delimiter`.
    pub delimiter: &'a str,
}

/// An item that `owner`'s list has, as the local part of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A plain name.
    Name(&'a str),
    /// `\user`
    Mailbox(&'a str),
    /// `owner\`, `owner|command`, `owner/file`: the owner and the rest with its sign.
    Listed(&'a str, &'a str),
}

impl<'a> Part<'a> {
    /// Takes a local part apart.
    #[must_use]
    pub fn of(local: &'a str) -> Self {
        match local.find(['\\', '|', '/']) {
            None => Self::Name(local),
            Some(0) => local.strip_prefix('\\').map_or(Self::Name(local), Self::Mailbox),
            Some(at) => {
                let (owner, item) = local.split_at(at);
                Self::Listed(owner, item)
            }
        }
    }
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
                Target::Include(file) => self.items(owner, &read_include(file)?, walk)?,
                Target::Command(_) | Target::File(_) | Target::Mailbox(_) => {
                    walk.push(owner, LeafPart::Item(target.clone()))?;
                }
            }
        }
        Ok(())
    }

    fn address(&self, owner: &str, address: &Address, walk: &mut Walk) -> Result<(), Error> {
        let local = address.domain().is_none_or(self.ours);
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
    /// The leaf as a recipient of its own. `None` when it is too long for an address.
    #[must_use]
    pub fn recipient(&self, domain: Option<&Domain>) -> Option<Address> {
        let local = match &self.part {
            LeafPart::Address(address) => {
                return Some(match domain {
                    Some(domain) => address.clone().qualified(domain),
                    None => address.clone(),
                });
            }
            LeafPart::Itself => format!("{}\\", self.owner),
            LeafPart::Item(target) => item(&self.owner, target),
        };
        Address::new(&local, domain.cloned()).ok()
    }
}

/// An item of `owner`'s list as a local part; [`Part::of`] takes it apart.
#[must_use]
pub fn item(owner: &str, target: &Target) -> String {
    match target {
        Target::Address(address) => address.to_string(),
        Target::Command(command) => format!("{owner}|{command}"),
        Target::File(file) | Target::Include(file) => format!("{owner}{file}"),
        Target::Mailbox(user) => format!("\\{user}"),
    }
}

/// `("kevin", "lists")` of `kevin+lists`.
#[must_use]
pub fn split_extension<'n>(local: &'n str, delimiters: &str) -> (&'n str, &'n str) {
    let (user, extension) = tables::address::split_extension(local, delimiters);
    (user, extension.strip_prefix(|c| delimiters.contains(c)).unwrap_or_default())
}

fn read_include(file: &str) -> Result<Vec<Target>, Error> {
    let trouble = |why: String| Error::Trouble(format!("cannot read {file}: {why}"));
    let size = std::fs::metadata(Path::new(file)).map_err(|error| trouble(error.to_string()))?.len();
    if size > MAX_INCLUDE {
        return Err(trouble("it is too long".into()));
    }
    let octets = std::fs::read(file).map_err(|error| trouble(error.to_string()))?;
    let targets = handover::target::parse_file(&String::from_utf8_lossy(&octets))
        .map_err(|(line, why)| Error::Trouble(format!("{file}:{line}: {why}")))?;
    // allow_mail_to_commands and allow_mail_to_files do not name "include" by default: whoever may edit a list of
    // addresses must not thereby run commands.
    match targets.iter().find(|target| !matches!(target, Target::Address(_))) {
        Some(_) => Err(Error::Trouble(format!("{file}: only addresses may stand in an :include: file"))),
        None => Ok(targets),
    }
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
        let ours = |of: &Domain| of.as_str() == "m3102.com";
        let expander = Expander { aliases: &aliases, ours: &ours, domain: Some(&domain), delimiter: "+" };
        let leaves = expander.expand(expander.key(name).expect("it is an alias"))?;
        Ok(leaves.iter().map(|leaf| leaf.recipient(Some(&domain)).expect("short").local().to_owned()).collect())
    }

    #[test]
    fn nested_aliases_are_undone() {
        let table = "postmaster: root\nroot: eleve, Staff@m3102.com\nstaff: kevin, x@else.where, \"|cat\", /var/log/staff, \\toto\n";
        let leaves = expanded(table, "postmaster+x").expect("it ends");
        assert_eq!(leaves, ["eleve", "kevin", "x", "Staff|cat", "Staff/var/log/staff", "\\toto"]);
        assert_eq!(Part::of("staff|cat"), Part::Listed("staff", "|cat"));
        assert_eq!(Part::of("\\toto"), Part::Mailbox("toto"));
        assert_eq!(Part::of("kevin\\"), Part::Listed("kevin", "\\"));
        assert_eq!(Part::of("/x"), Part::Name("/x"));
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

    #[test]
    fn a_missing_list_is_trouble() {
        assert!(matches!(expanded("a: :include:/no/such/list\n", "a"), Err(Error::Trouble(_))));
    }
}
