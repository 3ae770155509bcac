//! One order: who of its recipients is still open, what was last heard about each, and the lines and reports at the end.
//!
//! Every recipient gets one line in the log and one report, then the order gets its own report: unless qmgr is gone, which
//! then asks again for all of it.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use handover::relay::{Contact, DsnSupport, RelayOrder, Remote, Report};
use handover::{Outcome, Reply};
use mail::{EnhancedStatus, Envelope, Recipient};
use smtp::client::{self, Blame, Fate, Host, Message};
use tokio::sync::mpsc::UnboundedSender;

use super::content;
use super::nature::Nature;
use crate::local::line::Line;

/// The book of one order.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) order: RelayOrder,
    pub(super) file: Arc<File>,
    nature: Nature,
    pub(super) received: Instant,
    reports: UnboundedSender<Report>,
    waited: Duration,
    open: Vec<Open>,
    contact: Contact,
    soft_bounce: bool,
}

/// A recipient without a last word.
#[derive(Debug)]
struct Open {
    place: usize,
    said: Option<Said>,
}

/// What was heard about a recipient.
#[derive(Clone, Debug)]
struct Said {
    outcome: Outcome,
    remote: Option<Remote>,
    relay: String,
    set_up: Duration,
    sending: Duration,
    /// A host answered, so that the failure to reach another one is no better word.
    answered: bool,
}

/// With whom a message was, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) host: Host,
    /// 0 for a socket on this machine.
    pub(super) port: u16,
    pub(super) set_up: Duration,
    pub(super) sending: Duration,
}

/// Whether another host can still be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    Left,
    None,
}

impl Ledger {
    pub(super) fn new(order: RelayOrder, file: File, reports: UnboundedSender<Report>, soft_bounce: bool) -> Self {
        let active = SystemTime::UNIX_EPOCH + Duration::from_micros(order.active);
        Self {
            file: Arc::new(file),
            nature: Nature::default(),
            received: Instant::now(),
            waited: SystemTime::now().duration_since(active).unwrap_or_default(),
            open: (0..order.recipients.len()).map(|place| Open { place, said: None }).collect(),
            contact: Contact::Untried,
            order,
            reports,
            soft_bounce,
        }
    }

    /// Everybody has his last word.
    pub(super) fn is_finished(&self) -> bool {
        self.open.is_empty()
    }

    /// Nobody waits for the outcome any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reports.is_closed()
    }

    /// Looks at the content, before there is a message.
    pub(super) async fn look(&mut self) {
        self.nature = Nature::of(&self.order, &self.file).await;
    }

    /// The message for those still open.
    pub(super) fn message(&self) -> Message {
        let recipient = |open: &Open| {
            self.order.recipients.get(open.place).map(|recipient| Recipient {
                address: recipient.address.clone(),
                original: recipient.original.clone(),
                orcpt: recipient.orcpt.clone(),
                notify: recipient.notify,
            })
        };
        let terms = &self.order.terms;
        let envelope = Envelope {
            reverse_path: terms.sender.clone(),
            recipients: self.open.iter().filter_map(recipient).collect(),
            body: self.nature.body(terms.body),
            smtputf8: terms.smtputf8,
            ret: terms.ret,
            envid: terms.envid.clone(),
            filter: None,
        };
        let utf8_headers =
            terms.smtputf8 && content::has_utf8_headers(&self.file, self.order.offset, self.order.length);
        Message { envelope, size: self.order.length, sealed: self.nature.sealed, in_ascii: None, utf8_headers }
    }

    /// A host has answered for everybody still open, in order.
    pub(super) fn heard(&mut self, report: client::Report, visit: &Visit, others: Others) {
        let relay = match report.uses {
            0 | 1 => visit.relay(),
            uses => format!("{}, conn_use={uses}", visit.relay()),
        };
        let dsn = if report.dsn { DsnSupport::Passed } else { DsnSupport::Lacking };
        let mut left = Vec::new();
        let mut outcomes = report.recipients.into_iter();
        for open in std::mem::take(&mut self.open) {
            let Some(outcome) = outcomes.next() else {
                left.push(open);
                continue;
            };
            self.learn(&outcome);
            let waits = match outcome.fate {
                Fate::Sent => false,
                Fate::Deferred => true,
                Fate::Bounced => others == Others::Left && outcome.blame == Some(Blame::Lacking),
            };
            let said = Said::new(outcome, visit, &relay, dsn);
            if waits {
                left.push(Open { said: Some(said), ..open });
            } else {
                self.decide(open.place, &said);
            }
        }
        self.open = left;
    }

    /// A host talked, but not about the message.
    pub(super) fn refused(&mut self, outcome: client::Outcome, visit: &Visit) {
        self.learn(&outcome);
        let for_good = outcome.fate == Fate::Bounced && outcome.blame != Some(Blame::Lacking);
        let said = Said::new(outcome, visit, &visit.relay(), DsnSupport::Lacking);
        if for_good {
            self.decide_all(&said);
        } else {
            self.note(&said);
        }
    }

    /// A host could not be reached, or nobody knows where it is: for now.
    pub(super) fn missed(&mut self, status: EnhancedStatus, text: String) {
        let outcome = Outcome::Deferred(status, text);
        if self.contact != Contact::Made {
            self.contact = Contact::Failed(outcome.clone());
        }
        self.note(&Said::ours(outcome, self.received.elapsed()));
    }

    /// It will never work, or not before something is mended here: the last word for everybody still open.
    pub(super) fn ruled(&mut self, outcome: Outcome) {
        self.decide_all(&Said::ours(outcome, self.received.elapsed()));
    }

    /// As [`Ledger::ruled`] where nobody else can be tried; else only that this was no use.
    pub(super) fn useless(&mut self, outcome: Outcome, others: Others) {
        match (others, outcome) {
            (Others::Left, Outcome::Bounced(status, text) | Outcome::Deferred(status, text)) => {
                self.missed(temporary(status), text)
            }
            (Others::Left | Others::None, outcome) => self.ruled(outcome),
        }
    }

    /// The end: whoever is open gets what was last heard.
    pub(super) fn settle(mut self) {
        let nothing = Outcome::Deferred(EnhancedStatus::new(4, 4, 1), "no host could be tried".into());
        for open in std::mem::take(&mut self.open) {
            let said = open.said.unwrap_or_else(|| Said::ours(nothing.clone(), self.received.elapsed()));
            self.decide(open.place, &said);
        }
        let _ = self.reports.send(Report::Order(self.order.number, self.contact));
    }

    /// How the destination does.
    fn learn(&mut self, outcome: &client::Outcome) {
        match outcome.blame {
            None | Some(Blame::Message | Blame::Lacking | Blame::Recipient) => self.contact = Contact::Made,
            Some(Blame::Host | Blame::Session) if self.contact != Contact::Made => {
                self.contact = Contact::Failed(Outcome::Deferred(temporary(outcome.status), outcome.text.clone()));
            }
            Some(Blame::Host | Blame::Session | Blame::Ourselves) => {}
        }
    }

    fn note(&mut self, said: &Said) {
        for open in &mut self.open {
            if said.answered || open.said.as_ref().is_none_or(|before| !before.answered) {
                open.said = Some(said.clone());
            }
        }
    }

    fn decide_all(&mut self, said: &Said) {
        for open in std::mem::take(&mut self.open) {
            self.decide(open.place, said);
        }
    }

    /// Logs and reports.
    fn decide(&self, place: usize, said: &Said) {
        let Some(recipient) = self.order.recipients.get(place) else { return };
        let outcome = match &said.outcome {
            Outcome::Bounced(dsn, text) if self.soft_bounce => Outcome::Deferred(temporary(*dsn), text.clone()),
            other => other.clone(),
        };
        let before = Duration::from_micros(self.order.active.saturating_sub(self.order.arrival));
        let line = Line {
            id: self.order.id,
            to: &recipient.address.to_string(),
            original: recipient.original.as_ref(),
            relay: &said.relay,
            delays: [before, self.waited, said.set_up, said.sending],
            outcome: &outcome,
        };
        tracing::info!("{line}");
        let reply = Reply { number: recipient.number, outcome };
        // When qmgr is gone nobody needs the report: it asks again after its restart.
        let _ = self.reports.send(Report::Recipient(reply, said.remote.clone()));
    }
}

impl Said {
    fn new(outcome: client::Outcome, visit: &Visit, relay: &str, dsn: DsnSupport) -> Self {
        let client::Outcome { fate, status, text, reply, .. } = outcome;
        let remote = Remote { name: visit.remote_name(), words: reply.unwrap_or_default(), dsn };
        let outcome = match fate {
            Fate::Sent => Outcome::Sent(status, text),
            Fate::Deferred => Outcome::Deferred(status, text),
            Fate::Bounced => Outcome::Bounced(status, text),
        };
        Self {
            outcome,
            remote: Some(remote),
            relay: relay.into(),
            set_up: visit.set_up,
            sending: visit.sending,
            answered: true,
        }
    }

    fn ours(outcome: Outcome, set_up: Duration) -> Self {
        Self { outcome, remote: None, relay: "none".into(), set_up, sending: Duration::ZERO, answered: false }
    }
}

impl Visit {
    /// `mx.example.org[192.0.2.1]:25`
    fn relay(&self) -> String {
        if self.port == 0 { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    /// For `Remote-MTA`.
    fn remote_name(&self) -> String {
        if self.host.name == self.host.address { format!("[{}]", self.host.address) } else { self.host.name.clone() }
    }
}

const fn temporary(status: EnhancedStatus) -> EnhancedStatus {
    EnhancedStatus { class: 4, ..status }
}

#[cfg(test)]
pub(super) use tests::an_order;

#[cfg(test)]
mod tests;
