//! Enhanced mail system status codes (RFC 3463, RFC 5248).

use core::fmt;

/// `class.subject.detail`, for example `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What it is about: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// Which case of it.
    pub detail: u16,
}

impl EnhancedStatus {
    /// `2.0.0`
    pub const OK: Self = Self::new(2, 0, 0);

    /// A status from its three numbers.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Reads `5.1.1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let status = Self::new(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (parts.next().is_none() && matches!(status.class, 2 | 4 | 5) && status.subject < 1000 && status.detail < 1000)
            .then_some(status)
    }

    /// Trying again later may help.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        self.class == 4
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
