//! qmgr ↔ smtp: an order to hand one message to one next hop for several recipients, and what became of each.
//!
//! A packet from qmgr is one [`RelayOrder`] with one descriptor: the queue file, of which the order names the range that
//! is the message. Packets from smtp hold [`Report`]s: of each order one [`Report::Recipient`] per recipient, in any
//! order and as soon as it is known, then one [`Report::Order`], after which nothing more is said of that order. It tells how
//! the destination did, so that qmgr can open or close its window. Orders are answered in any order.
//!
//! An order fits a packet: qmgr adds recipients while [`RelayOrder::has_room_for`] says so. Texts in reports are cut to
//! [`MAX_TEXT`], so that any report fits a packet too.

use mail::{Address, Body, Notify, QueueId, Ret};

use crate::order::{Outcome, Reply};
use crate::packet::{Malformed, Packed, Reader, Writer};
use sys::channel::MAX_PACKET;

/// One message to one next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayOrder {
    /// The asker's number for the whole, repeated in [`Report::Order`].
    pub number: u64,
    /// The message.
    pub id: QueueId,
    /// When the message arrived and when qmgr took it up, in microseconds since 1970.
    pub arrival: u64,
    /// See `arrival`.
    pub active: u64,
    /// Where in the file the message begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Where it goes.
    pub hop: Hop,
    /// What holds for the whole message, as in [`mail::Envelope`].
    pub terms: Terms,
    /// For whom; at least one.
    pub recipients: Vec<RelayRecipient>,
}

/// Where an order goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// As people write it after a transport or as `relayhost`: `domain` (its MX), `[host]`, `[host]:port`, `host:port`;
    /// for LMTP also `unix:/path` and `inet:host:port`.
    pub text: String,
    /// What is spoken there.
    pub dialect: Dialect,
}

/// The protocol of a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// LMTP: one answer for each recipient after the message.
    Lmtp,
    /// SMTP.
    #[default]
    Smtp,
}

/// The part of an envelope that holds for the whole message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The reverse path.
    pub sender: Option<Address>,
    /// ENVID, decoded.
    pub envid: Option<String>,
    /// RET
    pub ret: Option<Ret>,
    /// What the octets of the message may be.
    pub body: Body,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// What the next hop is for the message.
    pub stage: Stage,
}

/// What a next hop is for a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// A content filter: the message comes back.
    Filter,
    /// On its way to the recipients.
    #[default]
    Leaving,
}

/// One recipient of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRecipient {
    /// The asker's number for this recipient, repeated in [`Report::Recipient`].
    pub number: u64,
    /// To whom.
    pub address: Address,
    /// What the client wrote, or the alias this came from.
    pub original: Option<Address>,
    /// ORCPT, decoded: `rfc822;kevin@…`.
    pub orcpt: Option<String>,
    /// NOTIFY
    pub notify: Option<Notify>,
}

/// Something to know about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The last word about one recipient; the number is [`RelayRecipient::number`].
    Recipient(Reply, Option<Remote>),
    /// The last word about the order with this number.
    Order(u64, Contact),
}

/// The host that said yes or no, for the sender's notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name, or its address in brackets where it has none: `Remote-MTA` (RFC 3464 §2.3.5).
    pub name: String,
    /// Its own words, `550 5.1.1 no such user`: `Diagnostic-Code`. Empty when it said nothing, as when the connection broke.
    pub words: String,
    /// Whether it now answers for the notices the sender asked for (it offers DSN, RFC 3461).
    pub dsn: DsnSupport,
}

/// Whether a host takes the DSN parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsnSupport {
    /// It does: a notice of success is its affair.
    Passed,
    /// It does not: for `NOTIFY=SUCCESS` we say "relayed".
    Lacking,
}

/// How a destination did, for its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Its host talked with us about this message, whatever it said: the destination lives.
    Made,
    /// No host of it could be reached or would talk, for now: mail there can wait. The outcome is what its recipients
    /// were told; it is always [`Outcome::Deferred`].
    Failed(Outcome),
    /// Nothing was learnt: the name does not exist, the message was not fit to send, or the trouble was here.
    Untried,
}

/// The most octets of a text in a report.
pub const MAX_TEXT: usize = 4096;

/// Room for everything but the recipients and the longest envelope id and next hop.
const HEAD: usize = 4096;

impl RelayOrder {
    /// One recipient more would still fit the packet.
    #[must_use]
    pub fn has_room_for(&self, recipient: &RelayRecipient) -> bool {
        let taken: usize = self.recipients.iter().map(RelayRecipient::size).sum();
        taken + recipient.size() + HEAD <= MAX_PACKET
    }
}

impl Packed for RelayOrder {
    fn write(&self, to: &mut Writer) {
        for number in [self.number, self.arrival, self.active, self.offset, self.length] {
            to.number(number);
        }
        to.id(self.id);
        to.text(&self.hop.text);
        to.octet(u8::from(self.hop.dialect == Dialect::Lmtp));
        self.terms.write(to);
        to.number(self.recipients.len() as u64);
        self.recipients.iter().for_each(|recipient| recipient.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [number, arrival, active, offset, length] =
            [from.number()?, from.number()?, from.number()?, from.number()?, from.number()?];
        offset.checked_add(length).ok_or(Malformed)?;
        let id = from.id()?;
        let text = from.text()?.to_owned();
        let dialect = if flag(from)? { Dialect::Lmtp } else { Dialect::Smtp };
        let terms = Terms::read(from)?;
        let count = from.number()?;
        if count == 0 {
            return Err(Malformed);
        }
        // A wrong count meets the end of the packet; nothing is set aside for it.
        let mut recipients = Vec::new();
        for _ in 0..count {
            recipients.push(RelayRecipient::read(from)?);
        }
        Ok(Self { number, id, arrival, active, offset, length, hop: Hop { text, dialect }, terms, recipients })
    }
}

impl Terms {
    fn write(&self, to: &mut Writer) {
        to.address(self.sender.as_ref());
        optional(to, self.envid.as_deref());
        to.octet(match self.ret {
            None => 0,
            Some(Ret::Full) => 1,
            Some(Ret::Headers) => 2,
        });
        to.octet(match self.body {
            Body::SevenBit => 0,
            Body::EightBitMime => 1,
            Body::BinaryMime => 2,
        });
        to.octet(self.smtputf8.into());
        to.octet((self.stage == Stage::Filter).into());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            sender: from.optional_address()?,
            envid: read_optional(from)?,
            ret: match from.octet()? {
                0 => None,
                1 => Some(Ret::Full),
                2 => Some(Ret::Headers),
                _ => return Err(Malformed),
            },
            body: match from.octet()? {
                0 => Body::SevenBit,
                1 => Body::EightBitMime,
                2 => Body::BinaryMime,
                _ => return Err(Malformed),
            },
            smtputf8: flag(from)?,
            stage: if flag(from)? { Stage::Filter } else { Stage::Leaving },
        })
    }
}

impl RelayRecipient {
    /// The octets it takes in a packet, at most: an address is quoted in the worst case.
    fn size(&self) -> usize {
        let address = |a: &Address| 2 * a.local().len() + 3 + a.domain().map_or(0, |domain| domain.as_str().len());
        let texts = address(&self.address) + self.original.as_ref().map_or(0, address);
        texts + self.orcpt.as_ref().map_or(0, String::len) + 8 + 3 * 4 + 2
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.number);
        to.address(Some(&self.address));
        to.address(self.original.as_ref());
        optional(to, self.orcpt.as_deref());
        to.octet(
            self.notify.map_or(UNSAID, |n| u8::from(n.success) | u8::from(n.failure) << 1 | u8::from(n.delay) << 2),
        );
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            number: from.number()?,
            address: from.address()?,
            original: from.optional_address()?,
            orcpt: read_optional(from)?,
            notify: match from.octet()? {
                UNSAID => None,
                bits @ 0..8 => Some(Notify { success: bits & 1 != 0, failure: bits & 2 != 0, delay: bits & 4 != 0 }),
                _ => return Err(Malformed),
            },
        })
    }
}

/// No NOTIFY parameter.
const UNSAID: u8 = 8;

impl Packed for Report {
    /// Its texts are cut to [`MAX_TEXT`].
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Recipient(reply, remote) => {
                to.octet(0);
                Reply { number: reply.number, outcome: short(&reply.outcome) }.write(to);
                to.octet(remote.is_some().into());
                if let Some(remote) = remote {
                    to.text(cut(&remote.name));
                    to.text(cut(&remote.words));
                    to.octet((remote.dsn == DsnSupport::Passed).into());
                }
            }
            Self::Order(number, contact) => {
                to.octet(1);
                to.number(*number);
                match contact {
                    Contact::Made => to.octet(0),
                    Contact::Failed(outcome) => {
                        to.octet(1);
                        Reply { number: *number, outcome: short(outcome) }.write(to);
                    }
                    Contact::Untried => to.octet(2),
                }
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.octet()? {
            0 => {
                let reply = Reply::read(from)?;
                let remote = if flag(from)? { Some(Remote::read(from)?) } else { None };
                match reply.outcome {
                    Outcome::Sent(..) | Outcome::Deferred(..) | Outcome::Bounced(..) => {
                        Ok(Self::Recipient(reply, remote))
                    }
                    // Only `local` knows aliases.
                    Outcome::Expanding(_) | Outcome::Expanded(_) => Err(Malformed),
                }
            }
            1 => Ok(Self::Order(from.number()?, Contact::read(from)?)),
            _ => Err(Malformed),
        }
    }
}

impl Remote {
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (name, words) = (from.text()?.to_owned(), from.text()?.to_owned());
        let dsn = if flag(from)? { DsnSupport::Passed } else { DsnSupport::Lacking };
        Ok(Self { name, words, dsn })
    }
}

impl Contact {
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.octet()? {
            0 => Ok(Self::Made),
            1 => match Reply::read(from)?.outcome {
                outcome @ Outcome::Deferred(..) => Ok(Self::Failed(outcome)),
                _ => Err(Malformed),
            },
            2 => Ok(Self::Untried),
            _ => Err(Malformed),
        }
    }
}

fn short(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Sent(status, text) => Outcome::Sent(*status, cut(text).into()),
        Outcome::Deferred(status, text) => Outcome::Deferred(*status, cut(text).into()),
        Outcome::Bounced(status, text) => Outcome::Bounced(*status, cut(text).into()),
        Outcome::Expanding(_) | Outcome::Expanded(_) => outcome.clone(),
    }
}

/// At most [`MAX_TEXT`] octets of it, whole characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn flag(from: &mut Reader<'_>) -> Result<bool, Malformed> {
    match from.octet()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

fn optional(to: &mut Writer, text: Option<&str>) {
    to.octet(text.is_some().into());
    if let Some(text) = text {
        to.text(text);
    }
}

fn read_optional(from: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    Ok(if flag(from)? { Some(from.text()?.to_owned()) } else { None })
}

#[cfg(test)]
mod tests;
