//! Packets and their fields: octets, numbers and texts, each length known before it is read.
//!
//! Numbers are eight octets, least first; a text is its length in four octets and its UTF-8. Reading never allocates
//! more than the packet holds.

use core::fmt;

use mail::{Address, EnhancedStatus, QueueId};

/// The packet is not what the protocol says. The fault is the peer's; drop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed message from another program")
    }
}

impl std::error::Error for Malformed {}

/// Appends fields.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

/// Takes fields off the front.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

/// What packets are made of, one after another.
pub trait Packed: Sized {
    /// Appends it to a packet.
    fn write(&self, to: &mut Writer);

    /// Reads what `write` wrote.
    ///
    /// # Errors
    /// When it is anything else.
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed>;
}

impl Writer {
    /// The octets written so far.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Empties it, keeping its room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// One octet.
    pub fn octet(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A number.
    pub fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A text. Longer than 4 GiB does not occur: packets are far smaller.
    pub fn text(&mut self, value: &str) {
        self.0.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
    }

    /// The last field: octets whose length is that of the rest of the packet.
    pub fn octets_to_the_end(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    /// An address, or none.
    pub fn address(&mut self, value: Option<&Address>) {
        self.text(&value.map(ToString::to_string).unwrap_or_default());
    }

    /// A queue id.
    pub fn id(&mut self, value: QueueId) {
        self.text(&value.name());
    }

    /// A status.
    pub fn status(&mut self, value: EnhancedStatus) {
        self.text(&value.to_string());
    }
}

impl<'a> Reader<'a> {
    /// Reads this packet.
    #[must_use]
    pub fn new(packet: &'a [u8]) -> Self {
        Self(packet)
    }

    /// All was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rest of the packet.
    pub fn octets_to_the_end(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    /// One octet.
    ///
    /// # Errors
    /// At the end of the packet, as for all below; or when the field is not of its kind.
    pub fn octet(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    /// A number.
    ///
    /// # Errors
    /// See [`Reader::octet`].
    pub fn number(&mut self) -> Result<u64, Malformed> {
        self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| Malformed)
    }

    /// A text.
    ///
    /// # Errors
    /// See [`Reader::octet`].
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Malformed)?;
        let octets = self.take(usize::try_from(length).map_err(|_| Malformed)?)?;
        core::str::from_utf8(octets).map_err(|_| Malformed)
    }

    /// An address, or none.
    ///
    /// # Errors
    /// See [`Reader::octet`].
    pub fn optional_address(&mut self) -> Result<Option<Address>, Malformed> {
        match self.text()? {
            "" => Ok(None),
            text => Address::parse(text).map(Some).map_err(|_| Malformed),
        }
    }

    /// An address.
    ///
    /// # Errors
    /// See [`Reader::octet`].
    pub fn address(&mut self) -> Result<Address, Malformed> {
        self.optional_address()?.ok_or(Malformed)
    }

    /// A queue id.
    ///
    /// # Errors
    /// See [`Reader::octet`].
    pub fn id(&mut self) -> Result<QueueId, Malformed> {
        QueueId::parse(self.text()?).ok_or(Malformed)
    }

    /// A status.
    ///
    /// # Errors
    /// See [`Reader::octet`].
    pub fn status(&mut self) -> Result<EnhancedStatus, Malformed> {
        EnhancedStatus::parse(self.text()?).ok_or(Malformed)
    }
}
