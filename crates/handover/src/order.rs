//! qmgr ↔ local: an order to deliver one message to one recipient, and what became of it.
//!
//! A packet from qmgr is one [`Order`] with one descriptor: the queue file, of which the order names the range that is
//! the message. A packet from local is one or more [`Reply`]s, in any order. An expansion too long for one packet is
//! told in several [`Outcome::Expanding`], ended by [`Outcome::Expanded`].

use mail::{Address, EnhancedStatus, QueueId};

use crate::packet::{Malformed, Packed, Reader, Writer};

/// One message to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The asker's number for it, repeated in the reply.
    pub number: u64,
    /// The message.
    pub id: QueueId,
    /// When the message arrived and when qmgr took it up, in microseconds since 1970.
    pub arrival: u64,
    /// See `arrival`.
    pub active: u64,
    /// The reverse path.
    pub sender: Option<Address>,
    /// To whom.
    pub recipient: Address,
    /// What the client wrote, or the alias this came from.
    pub original: Option<Address>,
    /// Where in the file the message begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// What became of an order or a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, for good: the mailbox is synced.
    Sent(EnhancedStatus, String),
    /// Not now.
    Deferred(EnhancedStatus, String),
    /// Never.
    Bounced(EnhancedStatus, String),
    /// Part of a long list of recipients that take the place of this one; more follows.
    Expanding(Vec<Address>),
    /// The recipients that take the place of this one, or the last of them.
    Expanded(Expansion),
}

/// What an address stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The recipients that take its place.
    pub into: Vec<Address>,
    /// The sender they are given instead of the message's: the owner of the list.
    pub owner: Option<Address>,
}

/// What became of the order with this number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The number of the order or task.
    pub number: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// How many addresses one reply holds: any address fits 600 octets, so a reply stays below 40 KiB.
pub const ADDRESSES_PER_REPLY: usize = 64;

impl From<Vec<Address>> for Expansion {
    fn from(into: Vec<Address>) -> Self {
        Self { into, owner: None }
    }
}

impl Packed for Order {
    fn write(&self, to: &mut Writer) {
        for number in [self.number, self.arrival, self.active, self.offset, self.length] {
            to.number(number);
        }
        to.id(self.id);
        to.address(self.sender.as_ref());
        to.address(Some(&self.recipient));
        to.address(self.original.as_ref());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [number, arrival, active, offset, length] =
            [from.number()?, from.number()?, from.number()?, from.number()?, from.number()?];
        let (id, sender, recipient, original) =
            (from.id()?, from.optional_address()?, from.address()?, from.optional_address()?);
        offset.checked_add(length).ok_or(Malformed)?;
        Ok(Self { number, id, arrival, active, sender, recipient, original, offset, length })
    }
}

impl Packed for Reply {
    fn write(&self, to: &mut Writer) {
        to.number(self.number);
        match &self.outcome {
            Outcome::Sent(status, text) => said(to, 0, *status, text),
            Outcome::Deferred(status, text) => said(to, 1, *status, text),
            Outcome::Bounced(status, text) => said(to, 2, *status, text),
            Outcome::Expanding(list) => listed(to, 3, list),
            Outcome::Expanded(Expansion { into, owner }) => {
                listed(to, 4, into);
                to.address(owner.as_ref());
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = from.number()?;
        let outcome = match from.octet()? {
            0 => Outcome::Sent(from.status()?, from.text()?.into()),
            1 => Outcome::Deferred(from.status()?, from.text()?.into()),
            2 => Outcome::Bounced(from.status()?, from.text()?.into()),
            3 => Outcome::Expanding(addresses(from)?),
            4 => Outcome::Expanded(Expansion { into: addresses(from)?, owner: from.optional_address()? }),
            _ => return Err(Malformed),
        };
        Ok(Self { number, outcome })
    }
}

impl Reply {
    /// This reply as replies that each fit a packet.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        let Outcome::Expanded(Expansion { into: mut rest, owner }) = self.outcome else { return vec![self] };
        let mut replies = Vec::new();
        while rest.len() > ADDRESSES_PER_REPLY {
            let tail = rest.split_off(ADDRESSES_PER_REPLY);
            replies.push(Self { number: self.number, outcome: Outcome::Expanding(rest) });
            rest = tail;
        }
        replies.push(Self { number: self.number, outcome: Outcome::Expanded(Expansion { into: rest, owner }) });
        replies
    }
}

fn said(to: &mut Writer, kind: u8, status: EnhancedStatus, text: &str) {
    to.octet(kind);
    to.status(status);
    to.text(text);
}

fn listed(to: &mut Writer, kind: u8, list: &[Address]) {
    to.octet(kind);
    to.number(list.len() as u64);
    for address in list {
        to.address(Some(address));
    }
}

fn addresses(from: &mut Reader<'_>) -> Result<Vec<Address>, Malformed> {
    let count = from.number()?;
    if count > ADDRESSES_PER_REPLY as u64 {
        return Err(Malformed);
    }
    (0..count).map(|_| from.address()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = Address> {
        ("[ -~é]{1,40}", "[a-z]{1,9}")
            .prop_map(|(local, domain)| Address::new(&local, mail::Domain::parse(&domain).ok()).expect("printable"))
    }

    proptest! {
        #[test]
        fn an_order_is_read_as_written(
            n in any::<[u32; 5]>(), sender in proptest::option::of(address()), recipient in address(),
        ) {
            let order = Order {
                number: n[0].into(), id: QueueId::new(n[1].into(), 7), arrival: n[1].into(), active: n[2].into(),
                sender, recipient: recipient.clone(), original: Some(recipient), offset: n[3].into(), length: n[4].into(),
            };
            let mut packet = Writer::default();
            order.write(&mut packet);
            prop_assert_eq!(Order::read(&mut Reader::new(packet.octets())), Ok(order));
            for cut in 0..packet.octets().len() {
                prop_assert_eq!(Order::read(&mut Reader::new(&packet.octets()[..cut])), Err(Malformed));
            }
        }

        #[test]
        fn replies_are_read_as_written(
            list in proptest::collection::vec(address(), 0..200), owner in proptest::option::of(address()), text in ".{0,80}",
        ) {
            let mut packet = Writer::default();
            let mut replies = Reply { number: 9, outcome: Outcome::Expanded(Expansion { into: list, owner }) }.split();
            replies.push(Reply { number: 1, outcome: Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text) });
            for reply in &replies {
                reply.write(&mut packet);
            }
            let mut reader = Reader::new(packet.octets());
            for reply in replies {
                prop_assert_eq!(Reply::read(&mut reader), Ok(reply));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn garbage_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Order::read(&mut Reader::new(&octets));
            let _ = Reply::read(&mut Reader::new(&octets));
        }
    }
}
