//! Notices about a message: it failed, it is late, it arrived (RFC 3461, RFC 3464, RFC 6522); who gets one, and as whom.
//!
//! A notice to a sender has the null sender. One that fails goes to `2bounce_notice_recipient`, from `double-bounce@…`;
//! what comes from there and fails is dropped with a line in the log: nothing is ever told about that.
//!
//! | what happened | the sender of the message | told | when |
//! |---|---|---|---|
//! | failed | somebody | the sender | NOTIFY does not forbid it |
//! | failed | somebody | `bounce_notice_recipient`, headers only | `notify_classes` has `bounce` |
//! | failed | `<>` | `2bounce_notice_recipient` | `notify_classes` has `2bounce` |
//! | failed | `double-bounce@…` | nobody | |
//! | late | somebody | the sender | NOTIFY does not forbid it |
//! | late | somebody | `delay_notice_recipient`, headers only | `notify_classes` has `delay` |
//! | arrived | somebody | the sender | NOTIFY asks for it |
//! | something refused in an SMTP session | – | `error_notice_recipient` ([`session`]) | `notify_classes` has `policy` or `protocol` |
//! | trouble of this machine | – | `error_notice_recipient` ([`alarm`]) | `notify_classes` has `resource` or `software` |

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use addresses::Entering;
use config::Config;
use handover::relay::Remote;
use mail::{Address, Domain, EnhancedStatus, Envelope, QueueId, Recipient};
use spool::{Incoming, Origin, QueueFile, Spool};

use crate::cleanup::Cleanup;

pub mod alarm;
mod held;
mod letter;
mod session;
mod words;

use words::{Reader, Words};

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// These recipients will not get it.
    Failed,
    /// These recipients have not got it yet.
    Delayed,
    /// These recipients have got it, and the sender asked to know.
    Delivered,
}

/// What was done for a recipient: `Action` of RFC 3464 §2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It will not be delivered.
    Failed,
    /// It is not yet delivered.
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It went to a server that does not report deliveries.
    Relayed,
    /// It went to all that the address stands for.
    Expanded,
}

/// What a notice tells of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The recipient.
    pub recipient: Recipient,
    /// What was done.
    pub action: Action,
    /// The status.
    pub status: EnhancedStatus,
    /// In words.
    pub text: String,
    /// The host that said so.
    pub remote: Option<Remote>,
}

/// A notice to be made.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
    /// The name of the message in the log.
    pub id: QueueId,
    /// The message it is about.
    pub about: &'a QueueFile,
    /// The sender that these recipients were given: the envelope's, or the owner of the list they are on.
    pub sender: Option<&'a Address>,
    /// What it tells.
    pub kind: Kind,
    /// Of whom.
    pub fates: &'a [Fate],
}

/// Who sends notices, to whom besides the sender, and how much of a message they return.
#[derive(Clone, Debug)]
pub struct Sender {
    host: String,
    mail_name: String,
    origin: String,
    size_limit: u64,
    /// How long a message is tried.
    lifetime: Duration,
    words: &'static Words,
    /// `double-bounce@…`
    last_resort: Option<Address>,
    classes: Vec<String>,
    bounce_to: Option<Address>,
    second_bounce_to: Option<Address>,
    delay_to: Option<Address>,
    error_to: Option<Address>,
    cleanup: Cleanup,
}

/// One letter of a notice: to whom, from whom, how much of the message.
struct Letter<'a> {
    notice: Notice<'a>,
    reader: Reader,
    from: Option<&'a Address>,
    to: &'a Address,
}

impl Kind {
    /// Whether the sender wants to hear this of the recipient. What was not said is: failures and delays, no successes.
    #[must_use]
    pub fn is_wanted(self, recipient: &Recipient) -> bool {
        match (self, recipient.notify) {
            (Self::Failed, notify) => notify.is_none_or(|notify| notify.failure),
            (Self::Delayed, notify) => notify.is_none_or(|notify| notify.delay),
            (Self::Delivered, notify) => notify.is_some_and(|notify| notify.success),
        }
    }

    /// What the log calls it.
    const fn logged(self) -> &'static str {
        match self {
            Self::Failed => "non-delivery",
            Self::Delayed => "delay",
            Self::Delivered => "delivery status",
        }
    }
}

impl Fate {
    /// Of a recipient about whom no other host said anything.
    #[must_use]
    pub fn here(recipient: Recipient, action: Action, (status, text): (EnhancedStatus, String)) -> Self {
        Self { recipient, action, status, text, remote: None }
    }
}

impl Sender {
    /// From the configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let origin = config.text("myorigin").to_owned();
        let domain = Domain::parse(&origin).ok();
        let address = |name: &str| {
            let address = Address::parse(config.text(name)).ok()?;
            Some(match &domain {
                Some(domain) => address.qualified(domain),
                None => address,
            })
        };
        Self {
            host: config.text("myhostname").into(),
            mail_name: config.text("mail_name").into(),
            size_limit: config.bytes("bounce_size_limit"),
            lifetime: config.time("maximal_queue_lifetime"),
            words: Words::of(config.text("notice_language")),
            last_resort: Address::new(DOUBLE_BOUNCE, domain.clone()).ok(),
            classes: config.list("notify_classes"),
            bounce_to: address("bounce_notice_recipient"),
            second_bounce_to: address("2bounce_notice_recipient"),
            delay_to: address("delay_notice_recipient"),
            error_to: address("error_notice_recipient"),
            cleanup: Cleanup::new(config),
            origin,
        }
    }

    /// Enters what is to be told in the spool: durable when this returns. Returns the notices' names.
    ///
    /// # Errors
    /// The disk's; try again later, though one of two notices may be there then.
    pub fn tell(&self, spool: &Spool, notice: Notice<'_>) -> io::Result<Vec<QueueId>> {
        if notice.fates.is_empty() {
            return Ok(Vec::new());
        }
        match notice.sender {
            Some(sender) if self.is_last_resort(sender) => {
                if notice.kind == Kind::Failed {
                    tracing::warn!("{}: undeliverable postmaster notification discarded", notice.id);
                }
                Ok(Vec::new())
            }
            Some(sender) => self.tell_sender(spool, notice, sender),
            None if notice.kind == Kind::Failed => self.tell_last_resort(spool, notice),
            None => Ok(Vec::new()),
        }
    }

    fn tell_sender(&self, spool: &Spool, notice: Notice<'_>, to: &Address) -> io::Result<Vec<QueueId>> {
        let mut told = Vec::new();
        let wanted: Vec<Fate> =
            notice.fates.iter().filter(|fate| notice.kind.is_wanted(&fate.recipient)).cloned().collect();
        if !wanted.is_empty() {
            let notice = Notice { fates: &wanted, ..notice };
            told.push(self.enter(spool, Letter { notice, reader: Reader::Sender, from: None, to })?);
        }
        let copy = match notice.kind {
            Kind::Failed if self.wants("bounce") => self.bounce_to.as_ref(),
            Kind::Delayed if self.wants("delay") => self.delay_to.as_ref(),
            Kind::Failed | Kind::Delayed | Kind::Delivered => None,
        };
        if let Some(to) = copy {
            let from = self.last_resort.as_ref();
            told.push(self.enter(spool, Letter { notice, reader: Reader::Postmaster, from, to })?);
        }
        Ok(told)
    }

    fn tell_last_resort(&self, spool: &Spool, notice: Notice<'_>) -> io::Result<Vec<QueueId>> {
        match &self.second_bounce_to {
            Some(to) if self.wants("2bounce") => {
                let from = self.last_resort.as_ref();
                Ok(vec![self.enter(spool, Letter { notice, reader: Reader::LastResort, from, to })?])
            }
            _ => {
                tracing::warn!("{}: undeliverable notification discarded", notice.id);
                Ok(Vec::new())
            }
        }
    }

    /// Begins a message of ours. Its reader may be known by another name here.
    fn begin(&self, spool: &Spool, id: QueueId, envelope: &Envelope) -> io::Result<Incoming> {
        let tables = self.cleanup.tables().map_err(io::Error::other)?;
        // A circle of virtual aliases, say: there is a reader all the same.
        let known = tables.envelope(envelope, Entering::Notice).unwrap_or_else(|trouble| {
            tracing::warn!("{id}: to the address as it stands: {trouble}");
            Cow::Borrowed(envelope)
        });
        Ok(spool.enter_as(id, &known, &Origin::Internal))
    }

    fn enter(&self, spool: &Spool, letter: Letter<'_>) -> io::Result<QueueId> {
        let (about, kind) = (letter.notice.id, letter.notice.kind.logged());
        let reader = match letter.reader {
            Reader::Sender => "sender",
            Reader::Postmaster | Reader::LastResort => "postmaster",
        };
        let id = self.write(spool, letter)?;
        tracing::info!("{about}: {reader} {kind} notification: {id}");
        Ok(id)
    }

    fn wants(&self, class: &str) -> bool {
        self.classes.iter().any(|wanted| wanted == class)
    }

    fn is_last_resort(&self, sender: &Address) -> bool {
        self.last_resort.as_ref().is_some_and(|address| {
            address.domain() == sender.domain() && address.local().eq_ignore_ascii_case(sender.local())
        })
    }
}

/// The local part that notices to the postmaster come from (`double_bounce_sender`). Mail to it is thrown away.
pub const DOUBLE_BOUNCE: &str = "double-bounce";

#[cfg(test)]
pub(crate) mod tests;
