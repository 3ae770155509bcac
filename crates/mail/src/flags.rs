//! Message flags (RFC 9051 §2.3.2): the five system flags and keywords.

use alloc::collections::BTreeSet;
use alloc::string::String;

/// A system flag that a client may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
}

impl Flag {
    /// All of them, in the order Dovecot lists them.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// As on the wire, with its backslash.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
        }
    }
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The flags of one message. `\Recent` is a session's business and not kept here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    system: u8,
    /// Keywords such as `$Junk`, in the case first seen; compared without case by the protocol.
    pub keywords: BTreeSet<String>,
}

impl Flags {
    /// Whether a system flag is set.
    #[must_use]
    pub const fn has(&self, flag: Flag) -> bool {
        self.system & flag.bit() != 0
    }
    /// Sets a system flag.
    pub const fn set(&mut self, flag: Flag) {
        self.system |= flag.bit();
    }
    /// Clears a system flag.
    pub const fn clear(&mut self, flag: Flag) {
        self.system &= !flag.bit();
    }
    /// Takes other flags in. Keywords match without regard to case; the spelling that is there stays.
    pub fn add(&mut self, more: &Self) {
        self.system |= more.system;
        for keyword in &more.keywords {
            if !self.keywords.iter().any(|have| have.eq_ignore_ascii_case(keyword)) {
                self.keywords.insert(keyword.clone());
            }
        }
    }
    /// Takes flags away. Keywords match without regard to case.
    pub fn remove(&mut self, less: &Self) {
        self.system &= !less.system;
        self.keywords.retain(|have| !less.keywords.iter().any(|not| not.eq_ignore_ascii_case(have)));
    }
    /// The system flags that are set, in listing order.
    pub fn system(&self) -> impl Iterator<Item = Flag> + '_ {
        Flag::ALL.into_iter().filter(|flag| self.has(*flag))
    }
}
