//! A reply of one line: code, enhanced status, text (RFC 5321 §4.2, RFC 2034).

use alloc::borrow::Cow;
use core::fmt;

use mail::EnhancedStatus;

/// What a server says to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// Absent where RFC 2034 §4 wants none (greeting, HELO, 354).
    pub status: Option<EnhancedStatus>,
    /// Never holds a line break: writing replaces control characters.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply with its enhanced status; the status' class is the code's first digit.
    #[must_use]
    pub fn new(code: u16, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let class = if code < 400 { 2 } else { (code / 100) as u8 };
        Self { code, status: Some(EnhancedStatus::new(class, subject, detail)), text: text.into() }
    }

    /// A reply without enhanced status.
    #[must_use]
    pub fn bare(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status: None, text: text.into() }
    }

    /// `451 4.3.0 Error: queue file write error`: the disk or we failed; the peer should come back.
    #[must_use]
    pub fn write_error() -> Self {
        Self::new(451, 3, 0, "Error: queue file write error")
    }

    /// `452 4.3.1 Insufficient system storage`
    #[must_use]
    pub fn no_space() -> Self {
        Self::new(452, 3, 1, "Insufficient system storage")
    }

    /// 4xx or 5xx.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        self.code >= 400
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} ", self.code)?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        f.write_str(&mail::event::escaped(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn as_on_the_wire() {
        assert_eq!(Reply::new(250, 1, 0, "Ok").to_string(), "250 2.1.0 Ok");
        assert_eq!(Reply::new(354, 0, 0, "x").status, Some(EnhancedStatus::new(2, 0, 0)));
        assert_eq!(Reply::bare(250, "vm\r\n250 x").to_string(), "250 vm??250 x");
    }
}
