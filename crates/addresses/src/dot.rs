//! `user@host` becomes `user@host.$mydomain` (`append_dot_mydomain`), off by default.

use config::Config;
use mail::{Address, Domain};

use crate::{Step, Trail};

/// The domain, if it is on.
#[derive(Debug)]
pub(crate) struct Settings(Option<String>);

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        Self(config.flag("append_dot_mydomain").then(|| config.text("mydomain").to_owned()))
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn apply(&self, address: Address, trail: &mut Trail) -> Address {
        let Some(new) = self.completed(&address) else { return address };
        let place = self.0.clone().unwrap_or_default();
        trail.push(Step { setting: "append_dot_mydomain", place, from: address.to_string(), to: new.to_string() });
        new
    }

    /// `None`: it stays.
    pub(crate) fn completed(&self, address: &Address) -> Option<Address> {
        let (domain, mine) = (address.domain()?.as_str(), self.0.as_ref()?);
        if domain.contains(['.', '[']) {
            return None;
        }
        Address::new(address.local(), Some(Domain::parse(&format!("{domain}.{mine}")).ok()?)).ok()
    }
}
