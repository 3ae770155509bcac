//! What is done to the addresses of a message when it enters, the same for every program that enters messages
//! (Postfix: cleanup(8)): `addresses` knows how; this is where its tables meet a message.
//!
//! Whether anything is configured is decided once, at start: where nothing is, a message costs nothing here.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use addresses::{Entering, Now, Place, Rewriter, Trail, VirtualDomain};
use config::Config;
use mail::{Address, Domain, Envelope};
use smtp::rewrite::{Addresses, Side};
use tables::Trouble;

/// The settings.
#[derive(Clone, Debug)]
pub struct Cleanup(Option<Arc<Rewriter>>);

/// The tables as they are for one message.
#[derive(Clone, Debug)]
pub struct Tables(Option<Now>);

impl Cleanup {
    /// Changes nothing.
    pub const IDLE: Self = Self(None);

    /// From the configuration. No table is read yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let rewriter = Rewriter::new(config);
        Self((!rewriter.is_idle()).then(|| Arc::new(rewriter)))
    }

    /// The directories of the tables, for a jail: editors replace files.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        let files = self.0.iter().flat_map(|rewriter| rewriter.files());
        files.filter_map(|file| file.parent().map(Into::into)).collect()
    }

    /// The address with the rest of its domain, if that is missing; `None`: it is whole.
    #[must_use]
    pub fn completed(&self, address: &Address) -> Option<Address> {
        self.0.as_ref()?.completed(address)
    }

    /// The tables for one message.
    ///
    /// # Errors
    /// One cannot be used: the message has to wait outside.
    pub fn tables(&self) -> Result<Tables, Trouble> {
        self.0.as_ref().map(Rewriter::now).transpose().map(Tables)
    }

    /// Whether every address of this domain is a virtual alias, or does not exist.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn is_virtual(&self, domain: &Domain) -> Result<bool, Trouble> {
        let Some(rewriter) = &self.0 else { return Ok(false) };
        rewriter.virtual_domain(domain).map(|listed| listed != VirtualDomain::No)
    }

    /// Where an address leads by virtual aliases; to itself, if nowhere.
    ///
    /// # Errors
    /// A table cannot be used, or the aliases have no end.
    pub fn expand(&self, address: &Address) -> Result<Vec<Address>, Trouble> {
        match &self.0 {
            None => Ok(vec![address.clone()]),
            Some(rewriter) => rewriter.now()?.expand(address, &mut Trail::new()),
        }
    }

    /// Where the address of a local alias leads, one that is not delivered here: such mail leaves anew.
    ///
    /// # Errors
    /// As [`Cleanup::expand`].
    pub fn forwarded(&self, address: Address) -> Result<Vec<Address>, Trouble> {
        match (&self.0, address.domain()) {
            (Some(rewriter), Some(domain)) if !rewriter.is_destination(domain) => self.expand(&address),
            _ => Ok(vec![address]),
        }
    }

    /// Whether a table leads this recipient somewhere.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn knows(&self, address: &Address) -> Result<bool, Trouble> {
        let Some(rewriter) = &self.0 else { return Ok(false) };
        rewriter.now().map(|now| now.knows(address))
    }
}

impl Tables {
    /// The envelope as it enters the queue.
    ///
    /// # Errors
    /// What becomes of an address cannot be told now: the message has to wait outside.
    pub fn envelope<'a>(&self, envelope: &'a Envelope, kind: Entering) -> Result<Cow<'a, Envelope>, Trouble> {
        match &self.0 {
            None => Ok(Cow::Borrowed(envelope)),
            Some(now) => now.envelope(envelope, kind).map(Cow::Owned),
        }
    }

    /// What becomes of addresses in header fields.
    #[must_use]
    pub fn addresses(&self, origin: String) -> Addresses {
        let now = self.0.clone().filter(Now::sees_headers);
        let change = now.map(|now| -> smtp::rewrite::Change {
            Box::new(move |side, text| {
                let place = match side {
                    Side::Sender => Place::HeaderSender,
                    Side::Recipient => Place::HeaderRecipient,
                };
                now.header(place, text)
            })
        });
        Addresses { origin, change }
    }
}
