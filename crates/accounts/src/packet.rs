//! Small messages between our own programs: one per SEQPACKET datagram, fields in a fixed order, each octet string
//! with its length in front. Read as if hostile: every length is checked and nothing may be left over.
//!
//! Layout: numbers are little-endian; `u8`, `u64`; an octet string is a `u16` length and that many octets.
//! Buffers are wiped when dropped, because passwords travel in them.

use std::hint::black_box;

/// A message being built.
#[derive(Default)]
pub struct Writer(Vec<u8>);

/// A message being read.
pub struct Reader<'a>(&'a [u8]);

/// The message is not one of ours: too short, too long, or not text where text belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Writer {
    /// Begins with the octet that says what kind of message this is.
    #[must_use]
    pub fn new(kind: u8) -> Self {
        let mut writer = Self(Vec::with_capacity(256));
        writer.0.push(kind);
        writer
    }
    /// Appends an octet.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    /// Appends a number.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    /// Appends an octet string; what is over 65,535 octets is cut, as no caller has such.
    #[must_use]
    pub fn bytes(mut self, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(&value[..usize::from(length)]);
        self
    }
    /// Appends text.
    #[must_use]
    pub fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }
    /// The octets to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl<'a> Reader<'a> {
    /// Splits a received message into its kind and its fields.
    pub fn new(message: &'a [u8]) -> Result<(u8, Self), Malformed> {
        let mut reader = Self(message);
        Ok((reader.u8()?, reader))
    }
    /// Takes an octet.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|octets| octets[0])
    }
    /// Takes a number.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let octets = self.take(8)?;
        octets.try_into().map(u64::from_le_bytes).map_err(|_| Malformed)
    }
    /// Takes an octet string.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let octets = self.take(2)?;
        let length = octets.try_into().map(u16::from_le_bytes).map_err(|_| Malformed)?;
        self.take(usize::from(length))
    }
    /// Takes text.
    pub fn text(&mut self) -> Result<String, Malformed> {
        let octets = self.bytes()?;
        std::str::from_utf8(octets).map(str::to_owned).map_err(|_| Malformed)
    }
    /// Ends the reading: nothing may follow.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// Overwrites octets that were secret; the compiler may not leave it out.
pub fn wipe(octets: &mut [u8]) {
    octets.fill(0);
    black_box(octets);
}
