//! The name of a message in the queue: time-ordered, unique across restarts.
//!
//! Fifteen upper-case hexadecimal digits: microseconds since 1970 (thirteen digits last until 2112)
//! and two digits that the naming program drew when it started. Log tools read it as a Postfix queue id.

use alloc::string::String;
use core::fmt;

const LENGTH: usize = 15;

/// A queue id. Orders as its arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(u64);

impl QueueId {
    /// The id of a message that arrived `micros` microseconds after 1970, named by the program that drew `salt`.
    #[must_use]
    pub const fn new(micros: u64, salt: u8) -> Self {
        Self((micros & 0x000F_FFFF_FFFF_FFFF) << 8 | salt as u64)
    }

    /// The next id of the same program, never earlier than this one although the clock jumped back.
    #[must_use]
    pub const fn after(self, micros: u64) -> Self {
        let last = self.0 >> 8;
        Self::new(if micros > last { micros } else { last + 1 }, (self.0 & 0xFF) as u8)
    }

    /// Reads exactly what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let ok = text.len() == LENGTH && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        if ok { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }

    /// Microseconds since 1970 at arrival.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0 >> 8
    }

    /// The name as text.
    #[must_use]
    pub fn name(self) -> String {
        alloc::format!("{self}")
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:015X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read_and_ordered() {
        let first = QueueId::new(1_795_191_067_123_456, 0xA7);
        let second = first.after(5);
        assert_eq!(QueueId::parse(&first.name()), Some(first));
        assert!(second > first && second.name() > first.name());
        assert_eq!(QueueId::parse("0"), None);
    }
}
