//! What stands beside an address in a table: addresses, with our origin where they have no domain.

use mail::{Address, Domain};
use tables::Trouble;
use tables::address::Hit;

use crate::home::Home;

/// How a result is made an address.
#[derive(Clone, Copy)]
pub(crate) struct Making<'a> {
    pub(crate) home: &'a Home,
    /// The word of `propagate_unmatched_extensions` for this table.
    pub(crate) table: &'static str,
    /// What was looked up.
    pub(crate) address: &'a Address,
}

impl Making<'_> {
    /// The addresses of a result.
    pub(crate) fn all(self, hit: &Hit) -> Result<Vec<Address>, Trouble> {
        let items = items(&hit.found.value);
        let made: Result<Vec<_>, _> = items.iter().map(|item| self.one(hit, item)).collect();
        match made {
            Ok(made) if !made.is_empty() => Ok(made),
            Ok(_) => Err(Trouble(format!("{}: there is no address beside {}", hit.found.place(), self.address))),
            Err(trouble) => Err(trouble),
        }
    }

    fn one(self, hit: &Hit, item: &str) -> Result<Address, Trouble> {
        let wrong = || Trouble(format!("{}: \"{item}\" is no address", hit.found.place()));
        let given = self.address.local();
        let whole = match item.strip_prefix('@') {
            // Another domain for the same user.
            Some(domain) => {
                let user = given.strip_suffix(hit.extension.as_str()).unwrap_or(given);
                Address::new(user, Some(Domain::parse(domain).map_err(|_| wrong())?))
            }
            None => Address::parse(item).map(|address| address.qualified(&self.home.origin)),
        };
        let address = whole.map_err(|_| wrong())?;
        if hit.extension.is_empty() || !self.home.propagates(self.table) {
            return Ok(address);
        }
        let local = format!("{}{}", address.local(), hit.extension);
        Address::new(&local, address.domain().cloned()).map_err(|_| wrong())
    }
}

/// The addresses of a list, separated by commas or blanks; of `Name <address>`, what stands in the brackets.
pub(crate) fn items(list: &str) -> Vec<String> {
    let (mut found, mut item, mut quoted) = (Vec::new(), String::new(), false);
    for c in list.chars().chain([',']) {
        match c {
            '"' => {
                quoted = !quoted;
                item.push(c);
            }
            ',' if !quoted => found.append(&mut plain(&std::mem::take(&mut item))),
            _ => item.push(c),
        }
    }
    found
}

fn plain(item: &str) -> Vec<String> {
    let bracketed = item.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
    match bracketed {
        Some((address, _)) => vec![address.trim().to_owned()],
        None if item.contains('"') => vec![item.trim().to_owned()],
        None => item.split_whitespace().map(str::to_owned).collect(),
    }
}

/// Whether both are one address, letter case apart.
pub(crate) fn is_same(one: &Address, other: &Address) -> bool {
    one.domain() == other.domain() && one.local().to_lowercase() == other.local().to_lowercase()
}
