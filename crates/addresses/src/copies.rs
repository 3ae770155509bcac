//! Who else gets a message (`always_bcc`, `sender_bcc_maps`, `recipient_bcc_maps`). Nobody hears of these copies.

use config::Config;
use mail::{Address, Notify, Recipient};
use tables::{Tables, Trouble, View};

use crate::home::{Home, Look};
use crate::result::{Making, items};
use crate::{Step, Trail};

#[derive(Debug)]
pub(crate) struct Settings {
    always: String,
    sender: Tables,
    recipient: Tables,
}

#[derive(Clone, Debug)]
pub(crate) struct Views {
    pub(crate) sender: View,
    pub(crate) recipient: View,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            always: config.text("always_bcc").trim().to_owned(),
            sender: config.tables("sender_bcc_maps"),
            recipient: config.tables("recipient_bcc_maps"),
        }
    }

    pub(crate) fn tables(&self) -> Vec<&Tables> {
        vec![&self.sender, &self.recipient]
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.always.is_empty() && self.sender.is_empty() && self.recipient.is_empty()
    }

    pub(crate) fn views(&self) -> Result<Views, Trouble> {
        Ok(Views { sender: self.sender.view()?, recipient: self.recipient.view()? })
    }

    /// Who gets copies of everything.
    pub(crate) fn always(&self, home: &Home, trail: &mut Trail) -> Result<Vec<Recipient>, Trouble> {
        let address = |item: String| match Address::parse(&item) {
            Ok(address) => Ok(address.qualified(&home.origin)),
            Err(_) => Err(Trouble(format!("always_bcc: \"{item}\" is no address"))),
        };
        let addresses: Vec<Address> = items(&self.always).into_iter().map(address).collect::<Result<_, _>>()?;
        trail.extend(addresses.iter().map(|to| Step {
            setting: "always_bcc",
            place: self.always.clone(),
            from: "every message".into(),
            to: to.to_string(),
        }));
        Ok(addresses.into_iter().map(silent).collect())
    }
}

/// What a table of copies says of an address.
pub(crate) fn look(
    setting: &'static str,
    look: Look<'_>,
    address: &Address,
    trail: &mut Trail,
) -> Result<Vec<Recipient>, Trouble> {
    let Some(hit) = look.find(address) else { return Ok(Vec::new()) };
    // A copy goes to the address as it is written.
    let copies = Making { home: look.home, table: "", address }.all(&hit)?;
    trail.extend(copies.iter().map(|to| Step::by(setting, &hit.found, address, to)));
    Ok(copies.into_iter().map(silent).collect())
}

fn silent(address: Address) -> Recipient {
    Recipient { notify: Some(Notify::default()), ..Recipient::new(address) }
}
