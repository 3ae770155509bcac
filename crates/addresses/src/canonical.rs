//! One address for another (`canonical_maps`, `sender_canonical_maps`, `recipient_canonical_maps`).

use config::Config;
use mail::Address;
use tables::{Tables, Trouble, View};

use crate::home::{Home, Look};
use crate::result::{Making, is_same};
use crate::{Place, Step, Trail};

/// The tables, and where each applies.
#[derive(Debug)]
pub(crate) struct Settings {
    both: Map,
    sender: Map,
    recipient: Map,
}

#[derive(Debug)]
struct Map {
    setting: &'static str,
    tables: Tables,
    places: Vec<Place>,
}

#[derive(Clone, Debug)]
pub(crate) struct Views {
    both: View,
    sender: View,
    recipient: View,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        let map =
            |setting, classes| Map { setting, tables: config.tables(setting), places: places(&config.list(classes)) };
        Self {
            both: map("canonical_maps", "canonical_classes"),
            sender: map("sender_canonical_maps", "sender_canonical_classes"),
            recipient: map("recipient_canonical_maps", "recipient_canonical_classes"),
        }
    }

    fn all(&self) -> [&Map; 3] {
        [&self.both, &self.sender, &self.recipient]
    }

    pub(crate) fn tables(&self) -> Vec<&Tables> {
        self.all().map(|map| &map.tables).into()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.all().iter().all(|map| map.tables.is_empty())
    }

    pub(crate) fn sees_headers(&self) -> bool {
        let header = |place: &Place| matches!(place, Place::HeaderSender | Place::HeaderRecipient);
        self.all().iter().any(|map| !map.tables.is_empty() && map.places.iter().any(header))
    }

    pub(crate) fn views(&self) -> Result<Views, Trouble> {
        Ok(Views {
            both: self.both.tables.view()?,
            sender: self.sender.tables.view()?,
            recipient: self.recipient.tables.view()?,
        })
    }

    pub(crate) fn apply(
        &self,
        (views, home): (&Views, &Home),
        (place, address): (Place, &Address),
        trail: &mut Trail,
    ) -> Result<Address, Trouble> {
        let (first, view) = match place {
            Place::EnvelopeSender | Place::HeaderSender => (&self.sender, &views.sender),
            Place::EnvelopeRecipient | Place::HeaderRecipient => (&self.recipient, &views.recipient),
        };
        let mut address = address.clone();
        for (map, view) in [(first, view), (&self.both, &views.both)] {
            if !view.is_empty() && map.places.contains(&place) {
                address = map.settle(Look { home, view }, address, trail)?;
            }
        }
        Ok(address)
    }
}

impl Views {
    /// The tables that may know a recipient.
    pub(crate) fn recipient(&self) -> impl Iterator<Item = &View> {
        [&self.recipient, &self.both].into_iter()
    }
}

impl Map {
    /// What is found is looked for again, until nothing changes.
    fn settle(&self, look: Look<'_>, mut address: Address, trail: &mut Trail) -> Result<Address, Trouble> {
        for _ in 0..MOST {
            let Some(hit) = look.find(&address) else { return Ok(address) };
            let made = Making { home: look.home, table: "canonical", address: &address }.all(&hit)?;
            let Some(new) = made.into_iter().next().filter(|new| !is_same(new, &address)) else { return Ok(address) };
            trail.push(Step::by(self.setting, &hit.found, &address, &new));
            address = new;
        }
        Err(Trouble(format!("{}: {address} leads on without end", self.setting)))
    }
}

/// The places that the words of a `_classes` parameter name.
pub(crate) fn places(words: &[String]) -> Vec<Place> {
    let place = |word: &String| match word.as_str() {
        "envelope_sender" => Some(Place::EnvelopeSender),
        "envelope_recipient" => Some(Place::EnvelopeRecipient),
        "header_sender" => Some(Place::HeaderSender),
        "header_recipient" => Some(Place::HeaderRecipient),
        _ => None,
    };
    words.iter().filter_map(place).collect()
}

/// How often an address may become another.
const MOST: usize = 10;
