//! A message on its way into the spool: the Received field in front, the header looked at and completed, the rest as it comes.

use std::io;

use addresses::Entering;
use mail::{Address, Body};
use smtp::Reply;
use smtp::headers::{Completion, Head};
use smtp::server::Transaction;
use spool::{Incoming, Origin, Sasl};
use tables::Trouble;
use wire::LineEnd;

use super::rules::Rules;
use super::server::{Configured, Server};
use crate::control::Service;

/// An open message.
pub(super) struct Entry {
    incoming: Incoming,
    head: Head,
    out: Vec<u8>,
    /// Octets written since the disk was last touched, at most.
    held: usize,
}

impl Entry {
    /// Begins the message in memory.
    pub(super) fn begin(
        server: &Server,
        (configured, service): (&Configured, Service),
        transaction: &Transaction,
    ) -> Result<Self, Refused> {
        let rules = &configured.rules;
        let tables = configured.entering(service).tables().map_err(Refused::Lookup)?;
        let envelope = tables.envelope(&transaction.envelope, Entering::Mail).map_err(Refused::Lookup)?;
        let mut envelope = envelope.into_owned();
        envelope.merge_duplicates(rules.duplicate_limit);
        envelope.filter = configured.ways.filter(service).map(str::to_owned);
        let (now, zone) = server.now();
        let date = now.rfc5322_with_zone(&zone);
        let origin = Origin::Network {
            client: transaction.client.to_string(),
            helo: transaction.received.helo.clone(),
            protocol: transaction.received.protocol.into(),
            user: transaction.user.clone(),
            sasl: Sasl {
                mechanism: transaction.mechanism.map(str::to_owned),
                submitter: transaction.submitter.clone(),
            },
        };
        let completes = transaction.complete_headers || rules.complete_always;
        let completion = completes.then(|| Completion {
            message_id: message_id(&now, transaction, rules),
            from: from(envelope.reverse_path.as_ref(), rules),
            date: date.clone(),
        });
        let ours = transaction.complete_headers.then(|| rules.origin.to_string());
        let remote = rules.remote_domain.clone().filter(|_| service != Service::Reinject);
        let rewriting = ours.or(remote).map(|origin| tables.addresses(origin));
        let received = transaction.received.field(&date);
        // The body of binary content is nobody's business; its header is one like others, with the line ends of the wire.
        let (line_end, received) = match transaction.envelope.body {
            Body::BinaryMime => (LineEnd::CrLf, received.replace('\n', "\r\n")),
            Body::SevenBit | Body::EightBitMime => (LineEnd::Lf, received),
        };
        let incoming = server.spool.enter_as(transaction.id, &envelope, &origin);
        let head = Head::new(line_end, completion, rewriting);
        let mut entry = Self { incoming, head, out: Vec::new(), held: 0 };
        entry.incoming.write(received.as_bytes()).map_err(Refused::Disk)?;
        Ok(entry)
    }

    /// Whether taking this many octets more may touch the disk.
    pub(super) const fn may_block(&self, more: usize) -> bool {
        self.held + more >= IN_MEMORY
    }

    /// Takes octets of the message. May touch the disk.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.held = if self.may_block(octets.len()) { 0 } else { self.held + octets.len() };
        self.out.clear();
        self.head.push(octets, &mut self.out);
        self.incoming.write(&self.out)
    }

    /// The message is complete: its message id, for the log; or why it is not taken.
    pub(super) fn end(&mut self, rules: &Rules) -> Result<String, Refused> {
        self.out.clear();
        self.head.end(&mut self.out);
        if self.head.hops() > rules.hop_limit {
            return Err(Refused::Loop);
        }
        let id = self.head.message_id().unwrap_or_default().to_owned();
        self.incoming.write(&self.out).map_err(Refused::Disk)?;
        Ok(id)
    }

    /// What is to be made durable.
    pub(super) fn into_incoming(self) -> Incoming {
        self.incoming
    }
}

/// Why a message is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// What becomes of its addresses cannot be told now.
    Lookup(Trouble),
    /// It has passed too many servers.
    Loop,
    /// The disk failed.
    Disk(io::Error),
}

impl Refused {
    /// What the client is told.
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Lookup(trouble) => {
                tracing::warn!("{trouble} -- message not accepted, try again later");
                Reply::new(451, 3, 0, "Temporary lookup failure")
            }
            Self::Loop => Reply::new(554, 4, 6, "Error: too many hops"),
            Self::Disk(e) => disk_reply(e),
        }
    }
}

/// What the client is told when the disk failed. The log gets the reason.
pub(super) fn disk_reply(error: &io::Error) -> Reply {
    tracing::warn!("queue file write error: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reply::no_space(),
        _ => Reply::write_error(),
    }
}

/// `<20261120161150.DFBFFD4935@vm>`: the time is UTC.
fn message_id(now: &mail::date::Moment, transaction: &Transaction, rules: &Rules) -> String {
    let (day, second) = now.at_offset(0).local();
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let date = format!("{:04}{:02}{:02}{hour:02}{minute:02}{:02}", day.year, day.month, day.day, second % 60);
    format!("<{date}.{}@{}>", transaction.id, rules.hostname)
}

fn from(sender: Option<&Address>, rules: &Rules) -> String {
    sender.map_or_else(|| format!("MAILER-DAEMON@{}", rules.origin), ToString::to_string)
}

/// Below this nothing has gone to the disk yet; half of what the spool keeps in memory, as headers may be added.
const IN_MEMORY: usize = 64 * 1024;
