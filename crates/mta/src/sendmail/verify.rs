//! `sendmail -bv`: what would become of mail to an address, as far as it can be told without sending it.

use std::io::{self, Write};

use config::Config;
use mail::Address;

use super::Exit;
use super::options::Options;
use super::submit::read_addresses;
use handover::aliases::Live;

enum Verdict {
    Alias,
    User,
    Unknown,
    Elsewhere,
}

/// One line per address; fails with "no user" if one of them is unknown.
pub(super) fn run(options: &Options, config: &Config) -> Result<(), Exit> {
    let mut unknown = None;
    for text in &options.recipients {
        for address in read_addresses(text.as_bytes())? {
            let line = match verdict(&address, config)? {
                Verdict::Alias => format!("{address}... deliverable: alias {}", address.local()),
                Verdict::User => format!("{address}... deliverable: mailer local, user {}", address.local()),
                Verdict::Elsewhere => format!("{address}... not here: mail for another machine"),
                Verdict::Unknown => {
                    unknown = Some(address.clone());
                    format!("{address}... User unknown")
                }
            };
            writeln!(io::stdout(), "{line}").ok();
        }
    }
    match unknown {
        Some(_) => Err(Exit { status: Exit::no_user("").status, text: String::new() }),
        None => Ok(()),
    }
}

fn verdict(address: &Address, config: &Config) -> Result<Verdict, Exit> {
    if address.domain().is_some_and(|domain| !config.destinations().contains(domain.as_str())) {
        return Ok(Verdict::Elsewhere);
    }
    let mut aliases = Live::new(&config.list("alias_maps"));
    aliases.refresh();
    let accounts = crate::set_up::accounts(config);
    let whole = address.local();
    let delimiter = config.text("recipient_delimiter");
    let base = whole.split(|c| delimiter.contains(c)).next().filter(|base| !base.is_empty()).unwrap_or(whole);
    for name in [whole, base] {
        if aliases.find(name).is_some() {
            return Ok(Verdict::Alias);
        }
        let found = accounts.find(name).map_err(|error| Exit::temporary(format!("{name}: {error}")))?;
        if found.is_some() {
            return Ok(Verdict::User);
        }
    }
    Ok(Verdict::Unknown)
}
