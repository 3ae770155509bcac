//! One recipient for others, also in domains of which nothing is on this machine (`virtual_alias_maps`).

use std::collections::HashSet;

use config::Config;
use mail::Address;
use tables::{Tables, Trouble};

use crate::home::Look;
use crate::result::{Making, is_same};
use crate::{Step, Trail};

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) maps: Tables,
    most: usize,
    depth: usize,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        let number = |name: &str| usize::try_from(config.number(name)).unwrap_or(usize::MAX);
        Self {
            maps: config.tables("virtual_alias_maps"),
            most: number("virtual_alias_expansion_limit"),
            depth: number("virtual_alias_recursion_limit"),
        }
    }

    /// Where the address leads, each of the results once. An alias that names itself ends there.
    pub(crate) fn expand(&self, look: Look<'_>, address: &Address, trail: &mut Trail) -> Result<Vec<Address>, Trouble> {
        if look.view.is_empty() {
            return Ok(vec![address.clone()]);
        }
        let mut open = vec![(address.clone(), 0_usize)];
        let mut ends: Vec<Address> = Vec::new();
        let mut seen = HashSet::new();
        while let Some((address, depth)) = open.pop() {
            if !seen.insert((address.local().to_lowercase(), address.domain().cloned())) {
                continue;
            }
            let Some(hit) = look.find(&address) else {
                ends.push(address);
                continue;
            };
            let made = Making { home: look.home, table: "virtual", address: &address }.all(&hit)?;
            let list = made.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            trail.push(Step::by("virtual_alias_maps", &hit.found, &address, list));
            if depth >= self.depth {
                return Err(Trouble(format!("unreasonable virtual_alias_maps map nesting for {address}")));
            }
            for new in made.into_iter().rev() {
                match is_same(&new, &address) {
                    true => ends.push(new),
                    false => open.push((new, depth + 1)),
                }
            }
            if open.len() + ends.len() > self.most {
                return Err(Trouble(format!("unreasonable virtual_alias_maps map expansion size for {address}")));
            }
        }
        match ends.is_empty() {
            true => Err(Trouble(format!("virtual_alias_maps: the aliases of {address} lead round in a circle"))),
            false => Ok(ends),
        }
    }
}
