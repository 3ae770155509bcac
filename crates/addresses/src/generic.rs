//! Addresses that mean something only on this machine become others on the way out (`smtp_generic_maps`).

use std::path::PathBuf;
use std::sync::Arc;

use config::Config;
use mail::Address;
use tables::{Tables, Trouble, View};

use crate::home::{Home, Look};
use crate::result::Making;
use crate::{Step, Trail};

/// The settings.
#[derive(Debug)]
pub struct Generic {
    home: Home,
    maps: Tables,
}

/// The settings with the tables as they are now: for one message.
#[derive(Clone, Debug)]
pub struct GenericNow {
    generic: Arc<Generic>,
    view: View,
}

impl Generic {
    /// From the configuration; `setting` is `smtp_generic_maps` or `lmtp_generic_maps`. No table is read yet.
    #[must_use]
    pub fn new(config: &Config, setting: &str) -> Self {
        Self { home: Home::new(config), maps: config.tables(setting) }
    }

    /// Nothing is configured: every address stays as it is.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.maps.is_empty()
    }

    /// The files that must be readable.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.maps.files()
    }

    /// The tables as they are now.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn now(self: &Arc<Self>) -> Result<GenericNow, Trouble> {
        Ok(GenericNow { view: self.maps.view()?, generic: self.clone() })
    }
}

impl GenericNow {
    /// What the address becomes, if it changes. One look-up, as in Postfix.
    ///
    /// # Errors
    /// What stands beside it is no address.
    pub fn address(&self, address: &Address, trail: &mut Trail) -> Result<Option<Address>, Trouble> {
        let home = &self.generic.home;
        let Some(hit) = (Look { home, view: &self.view }).find(address) else { return Ok(None) };
        let new = Making { home, table: "generic", address }.all(&hit)?.into_iter().next();
        let new = new.filter(|new| new != address);
        trail.extend(new.iter().map(|new| Step::by("smtp_generic_maps", &hit.found, address, new)));
        Ok(new)
    }

    /// An address in a header field, if it changes.
    #[must_use]
    pub fn header(&self, text: &str) -> Option<String> {
        let address = Address::parse(text).ok()?;
        self.address(&address, &mut Trail::new()).ok().flatten().map(|new| new.to_string())
    }
}
