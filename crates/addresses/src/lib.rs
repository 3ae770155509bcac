//! What becomes of the addresses of a message when it enters, and when it leaves (Postfix: cleanup(8), ADDRESS_REWRITING_README).
//!
//! | step | sender | recipients | header fields |
//! |---|---|---|---|
//! | [`canonical`]: `sender_canonical_maps`, `recipient_canonical_maps`, then `canonical_maps` | yes | yes | yes |
//! | [`masquerade`]: `masquerade_domains` | yes | only if told | yes |
//! | [`copies`]: `sender_bcc_maps`, `recipient_bcc_maps`, `always_bcc` | – | more of them | – |
//! | [`virtual_aliases`]: `virtual_alias_maps`, again and again | – | yes | – |
//! | on the way out, [`Generic`]: `smtp_generic_maps` | yes | yes | yes |
//!
//! Nothing here touches a file but the tables; the same functions serve the daemons and `facteur explain`, which shows the
//! [`Trail`]. What is not known (a table that cannot be read, aliases that go round) is [`Trouble`]: mail waits.

use std::path::PathBuf;
use std::sync::Arc;

use config::Config;
use mail::{Address, Domain, Envelope, OldForms, Recipient};
use tables::{Found, Listed, Names, Tables, Trouble, View};

pub mod canonical;
pub mod copies;
mod dot;
mod generic;
mod home;
pub mod masquerade;
mod result;
#[cfg(test)]
mod tests;
pub mod virtual_aliases;

pub use generic::{Generic, GenericNow};
use home::{Home, Look};
use result::is_same;

/// The settings about addresses.
#[derive(Debug)]
pub struct Rewriter {
    home: Home,
    dot: dot::Settings,
    canonical: canonical::Settings,
    masquerade: masquerade::Settings,
    copies: copies::Settings,
    aliases: virtual_aliases::Settings,
    virtual_domains: Names,
}

/// The settings with the tables as they are now: for one message.
#[derive(Clone, Debug)]
pub struct Now {
    rewriter: Arc<Rewriter>,
    canonical: canonical::Views,
    copies: copies::Views,
    aliases: View,
}

/// Where an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// MAIL FROM.
    EnvelopeSender,
    /// RCPT TO.
    EnvelopeRecipient,
    /// From, Sender, Reply-To.
    HeaderSender,
    /// To, Cc.
    HeaderRecipient,
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entering {
    /// From outside or from a user.
    Mail,
    /// A notice of ours: nobody gets copies of it.
    Notice,
}

/// What happened to an address, in order.
pub type Trail = Vec<Step>;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The setting that made it.
    pub setting: &'static str,
    /// Where it is written: `file:line`, or the setting's value.
    pub place: String,
    /// What it looked at.
    pub from: String,
    /// What became of it.
    pub to: String,
}

/// Whose the domain of an address is, as far as virtual aliases decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VirtualDomain {
    /// Not one of them.
    No,
    /// One of them, listed there.
    Yes(Listed),
}

/// Which old ways to write an address without `@` are understood.
#[must_use]
pub fn old_forms(config: &Config) -> OldForms {
    OldForms { bang: config.flag("swap_bangpath"), percent: config.flag("allow_percent_hack") }
}

impl Rewriter {
    /// From the configuration. No table is read yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            home: Home::new(config),
            dot: dot::Settings::new(config),
            canonical: canonical::Settings::new(config),
            masquerade: masquerade::Settings::new(config),
            copies: copies::Settings::new(config),
            aliases: virtual_aliases::Settings::new(config),
            virtual_domains: config.names("virtual_alias_domains"),
        }
    }

    /// Nothing is configured: every address stays as it is.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.dot.is_idle()
            && self.canonical.is_idle()
            && self.masquerade.is_idle()
            && self.copies.is_idle()
            && self.aliases.maps.is_empty()
            && self.virtual_domains.is_empty()
    }

    /// Whether addresses in header fields may change.
    #[must_use]
    pub fn sees_headers(&self) -> bool {
        !self.dot.is_idle() || self.canonical.sees_headers() || self.masquerade.sees_headers()
    }

    /// The tables as they are now.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn now(self: &Arc<Self>) -> Result<Now, Trouble> {
        Ok(Now {
            canonical: self.canonical.views()?,
            copies: self.copies.views()?,
            aliases: self.aliases.maps.view()?,
            rewriter: self.clone(),
        })
    }

    /// Whether mail for this domain goes where virtual aliases say, and nowhere else.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn virtual_domain(&self, domain: &Domain) -> Result<VirtualDomain, Trouble> {
        // One that is delivered here in any case is not virtual, whatever a table of aliases has beside its addresses.
        if self.virtual_domains.is_empty() || self.home.is_destination(domain) {
            return Ok(VirtualDomain::No);
        }
        Ok(self.virtual_domains.find(domain.as_str())?.map_or(VirtualDomain::No, VirtualDomain::Yes))
    }

    /// The address with the rest of its domain, if that is missing; `None`: it is whole.
    #[must_use]
    pub fn completed(&self, address: &Address) -> Option<Address> {
        self.dot.completed(address)
    }

    /// Whether mail for this domain is delivered here.
    #[must_use]
    pub fn is_destination(&self, domain: &Domain) -> bool {
        self.home.is_destination(domain)
    }

    /// The files that must be readable.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let tables = self.tables();
        tables.iter().flat_map(|tables| tables.files()).collect()
    }

    fn tables(&self) -> Vec<&Tables> {
        let mut tables = self.canonical.tables();
        tables.extend(self.copies.tables());
        tables.extend([&self.aliases.maps, self.virtual_domains.tables()]);
        tables
    }
}

impl Now {
    /// The envelope as it enters the queue. A recipient that became another keeps what the client wrote.
    ///
    /// # Errors
    /// What becomes of an address cannot be told now.
    pub fn envelope(&self, envelope: &Envelope, kind: Entering) -> Result<Envelope, Trouble> {
        let trail = &mut Trail::new();
        let sender = envelope.reverse_path.as_ref();
        let reverse_path = sender.map(|sender| self.single(Place::EnvelopeSender, sender, trail)).transpose()?;
        let mut recipients = Vec::with_capacity(envelope.recipients.len());
        let mut copies = Vec::new();
        for given in &envelope.recipients {
            let address = self.single(Place::EnvelopeRecipient, &given.address, trail)?;
            if kind == Entering::Mail {
                copies.extend(self.copies_for(&address, trail)?);
            }
            recipients.extend(self.expanded(given, &address, trail)?);
        }
        if kind == Entering::Mail {
            copies.extend(self.copies_of(reverse_path.as_ref(), trail)?);
        }
        for copy in copies {
            let address = self.single(Place::EnvelopeRecipient, &copy.address, trail)?;
            for copy in self.expanded(&copy, &address, trail)? {
                // Who gets the message anyway gets no copy of it.
                if !recipients.iter().any(|recipient: &Recipient| is_same(&recipient.address, &copy.address)) {
                    recipients.push(copy);
                }
            }
        }
        Ok(Envelope { reverse_path, recipients, ..envelope.clone() })
    }

    /// What an address becomes by tables that give one for one.
    ///
    /// # Errors
    /// As [`Now::envelope`].
    pub fn single(&self, place: Place, address: &Address, trail: &mut Trail) -> Result<Address, Trouble> {
        let rewriter = &self.rewriter;
        let address = rewriter.dot.apply(address.clone(), trail);
        let address = rewriter.canonical.apply((&self.canonical, &rewriter.home), (place, &address), trail)?;
        Ok(rewriter.masquerade.apply(place, address, trail))
    }

    /// Where an address leads by virtual aliases.
    ///
    /// # Errors
    /// As [`Now::envelope`].
    pub fn expand(&self, address: &Address, trail: &mut Trail) -> Result<Vec<Address>, Trouble> {
        self.rewriter.aliases.expand(self.look(&self.aliases), address, trail)
    }

    /// An address in a header field, if it changes. One whose way cannot be told stays.
    #[must_use]
    pub fn header(&self, place: Place, text: &str) -> Option<String> {
        let address = Address::parse(text).ok()?;
        let new = self.single(place, &address, &mut Trail::new()).ok()?;
        (new != address).then(|| new.to_string())
    }

    /// As [`Rewriter::sees_headers`].
    #[must_use]
    pub fn sees_headers(&self) -> bool {
        self.rewriter.sees_headers()
    }

    /// Whether a table leads this recipient somewhere: then it exists, whatever the domain says.
    #[must_use]
    pub fn knows(&self, address: &Address) -> bool {
        let knows = |view| self.look(view).find(address).is_some();
        knows(&self.aliases) || self.canonical.recipient().any(knows)
    }

    fn look<'a>(&'a self, view: &'a View) -> Look<'a> {
        Look { home: &self.rewriter.home, view }
    }

    /// Who gets copies of mail to this recipient.
    fn copies_for(&self, recipient: &Address, trail: &mut Trail) -> Result<Vec<Recipient>, Trouble> {
        copies::look("recipient_bcc_maps", self.look(&self.copies.recipient), recipient, trail)
    }

    /// Who gets copies of mail from this sender, and of all mail.
    fn copies_of(&self, sender: Option<&Address>, trail: &mut Trail) -> Result<Vec<Recipient>, Trouble> {
        let rewriter = &self.rewriter;
        let mut copies = match sender {
            Some(sender) => copies::look("sender_bcc_maps", self.look(&self.copies.sender), sender, trail)?,
            None => Vec::new(),
        };
        copies.extend(rewriter.copies.always(&rewriter.home, trail)?);
        Ok(copies)
    }

    /// Who gets copies of a message from this sender to this recipient.
    ///
    /// # Errors
    /// As [`Now::envelope`].
    pub fn copies(
        &self,
        sender: Option<&Address>,
        recipient: &Address,
        trail: &mut Trail,
    ) -> Result<Vec<Address>, Trouble> {
        let mut copies = self.copies_for(recipient, trail)?;
        copies.extend(self.copies_of(sender, trail)?);
        Ok(copies.into_iter().map(|copy| copy.address).collect())
    }

    /// The recipients one becomes.
    fn expanded(&self, given: &Recipient, address: &Address, trail: &mut Trail) -> Result<Vec<Recipient>, Trouble> {
        let original = |new: &Address| {
            let was = || (*new != given.address).then(|| given.address.clone());
            given.original.clone().or_else(was)
        };
        let into = |address: Address| Recipient { original: original(&address), address, ..given.clone() };
        Ok(self.expand(address, trail)?.into_iter().map(into).collect())
    }
}

impl Step {
    fn by(setting: &'static str, found: &Found, from: impl ToString, to: impl ToString) -> Self {
        Self { setting, place: found.place(), from: from.to_string(), to: to.to_string() }
    }
}
