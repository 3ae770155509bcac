//! Records and their fields, read one after the other. Nothing here believes a length before the octets are there.

use std::time::SystemTime;

use mail::{Address, Body, Envelope, Notify, Recipient, Ret};

use super::{MAX_PAYLOAD, Origin, Prologue, Sasl, moment};

/// The prologue's parts as they come, in their order.
#[derive(Default)]
pub(super) struct Draft {
    arrival: Option<SystemTime>,
    sender: Option<Option<Address>>,
    origin: Option<Origin>,
    options: Option<Envelope>,
    recipients: Vec<Recipient>,
}

impl Draft {
    /// `None`: this record is wrong here. `Some(Some(_))`: that was the last one.
    pub(super) fn take(&mut self, kind: u8, payload: &[u8]) -> Option<Option<Prologue>> {
        let mut from = Fields(payload);
        match (kind, &self.arrival, &self.sender, &self.origin, &self.options) {
            (b'A', None, ..) => self.arrival = Some(moment(from.number64()?)?),
            (b'S', Some(_), None, ..) => self.sender = Some(sender(from.rest())?),
            (b'O', Some(_), Some(_), None, _) => self.origin = Some(from.origin()?),
            (b'E', .., Some(_), None) => self.options = Some(from.options()?),
            (b'V', .., Some(options)) if options.filter.is_none() && self.recipients.is_empty() => {
                let filter = str::from_utf8(from.rest()).ok()?.to_owned();
                self.options.as_mut()?.filter = Some(filter);
            }
            (b'R', .., Some(_)) => self.recipients.push(from.recipient()?),
            (b'M', .., Some(_)) => {
                let content = from.number64()?;
                return from.at_end().then(|| self.finish(content)).flatten().map(Some);
            }
            _ => return None,
        }
        from.at_end().then_some(None)
    }

    fn finish(&mut self, content: u64) -> Option<Prologue> {
        let options = self.options.take()?;
        let recipients = std::mem::take(&mut self.recipients);
        let envelope = Envelope { reverse_path: self.sender.take()?, recipients, ..options };
        Some(Prologue { arrival: self.arrival?, origin: self.origin.take()?, envelope, content })
    }
}

pub(super) struct Records<'a> {
    pub(super) octets: &'a [u8],
    pub(super) at: usize,
}

pub(super) enum Next<'a> {
    Record(u8, &'a [u8]),
    More,
    Wrong,
}

impl<'a> Records<'a> {
    pub(super) fn next(&mut self) -> Next<'a> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let Some((head, behind)) = rest.split_first_chunk::<5>() else { return Next::More };
        let [kind, length @ ..] = *head;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_PAYLOAD {
            return Next::Wrong;
        }
        let (Some(payload), Some(sum)) = (behind.get(..length), behind.get(length..length + 4)) else {
            return Next::More;
        };
        if sum != crc32fast::hash(&rest[..5 + length]).to_le_bytes() {
            return Next::Wrong;
        }
        self.at += 5 + length + 4;
        Next::Record(kind, payload)
    }
}

/// Reads the fields of a payload one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    pub(super) fn octet(&mut self) -> Option<u8> {
        self.chunk::<1>().map(|[octet]| octet)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.octet()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn number32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn number64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.chunk().map(u16::from_le_bytes)?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(text).ok()
    }

    /// Outer `None`: malformed.
    pub(super) fn maybe(&mut self) -> Option<Option<&'a str>> {
        if self.flag()? { self.text().map(Some) } else { Some(None) }
    }

    pub(super) fn recipient(&mut self) -> Option<Recipient> {
        let address = Address::parse(self.text()?).ok()?;
        let original = self.maybe()?.map(Address::parse).transpose().ok()?;
        let orcpt = self.maybe()?.map(str::to_owned);
        let notify = match self.octet()? {
            0 => None,
            bits @ 128..=135 => Some(Notify { success: bits & 1 != 0, failure: bits & 2 != 0, delay: bits & 4 != 0 }),
            _ => return None,
        };
        Some(Recipient { address, original, orcpt, notify })
    }

    pub(super) fn origin(&mut self) -> Option<Origin> {
        match self.octet()? {
            b'N' => Some(Origin::Network {
                client: self.text()?.to_owned(),
                helo: self.text()?.to_owned(),
                protocol: self.text()?.to_owned(),
                user: self.maybe()?.map(str::to_owned),
                sasl: if self.at_end() { Sasl::default() } else { self.sasl()? },
            }),
            b'L' => Some(Origin::Local { uid: self.number32()? }),
            b'I' => Some(Origin::Internal),
            _ => None,
        }
    }

    fn sasl(&mut self) -> Option<Sasl> {
        Some(Sasl { mechanism: self.maybe()?.map(str::to_owned), submitter: self.maybe()?.map(str::to_owned) })
    }

    pub(super) fn options(&mut self) -> Option<Envelope> {
        let body = match self.octet()? {
            0 => Body::SevenBit,
            1 => Body::EightBitMime,
            2 => Body::BinaryMime,
            _ => return None,
        };
        let smtputf8 = self.flag()?;
        let ret = match self.octet()? {
            0 => None,
            1 => Some(Ret::Full),
            2 => Some(Ret::Headers),
            _ => return None,
        };
        let envid = self.maybe()?.map(str::to_owned);
        Some(Envelope { body, smtputf8, ret, envid, ..Envelope::default() })
    }
}

fn sender(text: &[u8]) -> Option<Option<Address>> {
    match str::from_utf8(text).ok()? {
        "" => Some(None),
        text => Address::parse(text).ok().map(Some),
    }
}
