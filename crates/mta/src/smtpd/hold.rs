//! Messages of a login that has sent too much: put on hold, and told.

use std::fmt;

use mail::{Address, QueueId};
use smtp::server::Transaction;

use super::logins::{Limits, Verdict};
use super::server::{Configured, Server};

/// An open message that counts for a login.
pub(super) struct Sending {
    user: String,
    recipients: usize,
    limits: Limits,
    /// For the log: `from=<…> to=<…> proto=… helo=<…>`.
    details: String,
}

/// A message that is put on hold.
pub(super) struct Held {
    user: String,
    why: String,
    tell: bool,
    details: String,
}

impl Sending {
    /// `None`: nobody has logged in, or nothing is limited.
    pub(super) fn of(configured: &Configured, transaction: &Transaction) -> Option<Self> {
        let limits = configured.logins.limits();
        let login = transaction.user.as_ref().filter(|_| !limits.are_off())?;
        let envelope = &transaction.envelope;
        let shown = |address: Option<&Address>| address.map(ToString::to_string).unwrap_or_default();
        let (from, to) = (envelope.reverse_path.as_ref(), envelope.recipients.first().map(|to| &to.address));
        let received = &transaction.received;
        let details =
            format!("from=<{}> to=<{}> proto={} helo=<{}>", shown(from), shown(to), received.protocol, received.helo);
        Some(Self { user: configured.user_of(login), recipients: envelope.recipients.len(), limits, details })
    }

    /// Counts it; what came back is to be put on hold.
    pub(super) fn held(self, server: &Server) -> Option<Held> {
        match server.sent.count(&self.user, self.recipients, self.limits) {
            Verdict::Goes => None,
            Verdict::Held { why, tell } => Some(Held { user: self.user, why, tell, details: self.details }),
        }
    }
}

impl Held {
    /// Tells the user and the postmaster, once in an hour. Should that fail, the log has told.
    pub(super) fn tell(&self, server: &Server, configured: &Configured, id: QueueId) {
        if !self.tell {
            return;
        }
        let origin = Some(configured.rules.origin.clone());
        let people = [self.user.as_str(), "postmaster"].map(|name| match Address::parse(name) {
            Ok(address) if address.domain().is_some() => Some(address),
            _ => Address::new(name, origin.clone()).ok(),
        });
        let people: Vec<Address> = people.into_iter().flatten().collect();
        match configured.notices.tell_held(&server.spool, (id, &self.why), &people) {
            Ok(notice) => {
                tracing::info!("{id}: hold notification: {notice}");
                server.wake_qmgr(notice);
            }
            Err(error) => tracing::warn!("{id}: hold notification: {error}"),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.why, self.details)
    }
}
