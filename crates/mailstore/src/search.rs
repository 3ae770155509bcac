//! Text search in a message: decoded, without regard to case.
//!
//! Flags, dates and sizes are the caller's to compare; here is what needs the message itself.

use mail::date::Civil;

/// A question about the content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// All of them (an empty list holds).
    And(Vec<Self>),
    /// Any text part or its encapsulated headers contain it.
    Body(String),
    /// The field is there and its decoded text contains it (an empty text: is there).
    Header(String, String),
    /// It does not hold.
    Not(Box<Self>),
    /// One of them.
    Or(Vec<Self>),
    /// The `Date:` field's day, without zone, is earlier.
    SentBefore(Civil),
    /// …is this day.
    SentOn(Civil),
    /// …is this day or later.
    SentSince(Civil),
    /// The header or the body contains it.
    Text(String),
}

impl Criterion {
    /// Whether the header alone decides (then [`crate::Mailbox::read_header`] is enough to read).
    #[must_use]
    pub fn needs_body(&self) -> bool {
        todo!()
    }

    /// Whether a message meets it.
    #[must_use]
    pub fn holds(&self, _message: &[u8]) -> bool {
        todo!()
    }
}
