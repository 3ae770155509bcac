//! A mail address: local part and domain, as they stand in an envelope (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! Promise: no control character (so no CR, LF, NUL), at most 64 octets of local part… as text people type,
//! not as RFC 5322 header syntax; quoting is undone when parsed and done again when written.

use alloc::string::String;
use core::fmt;

/// The longest local part taken, in octets. RFC 5321 §4.5.3.1.1 asks for 64; lists and VERP use more.
pub const MAX_LOCAL: usize = 256;
/// The longest domain, in octets (RFC 5321 §4.5.3.1.2).
pub const MAX_DOMAIN: usize = 255;

/// A mailbox address. The domain is absent for a bare local name such as `kevin`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: String,
    domain: Option<Domain>,
}

/// A domain name or an address literal in brackets, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

/// Which old ways to write an address without `@` are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OldForms {
    /// `site!user` is `user@site` (`swap_bangpath`).
    pub bang: bool,
    /// `user%site` is `user@site` (`allow_percent_hack`).
    pub percent: bool,
}

/// Why a text is no address. The fault is the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// A control character, or nothing at all.
    BadLocal,
    /// Not a domain name and not an address literal.
    BadDomain,
    /// Longer than [`MAX_LOCAL`] or [`MAX_DOMAIN`].
    TooLong,
}

impl Address {
    /// An address from its unquoted local part and its domain.
    ///
    /// # Errors
    /// When the local part is empty, too long or holds a control character.
    pub fn new(local: &str, domain: Option<Domain>) -> Result<Self, AddressError> {
        if local.is_empty() || local.chars().any(char::is_control) {
            return Err(AddressError::BadLocal);
        }
        if local.len() > MAX_LOCAL {
            return Err(AddressError::TooLong);
        }
        Ok(Self { local: local.into(), domain })
    }

    /// Reads `local@domain` or a bare `local`; the local part may be a quoted string.
    /// The last `@` outside quotes divides.
    ///
    /// # Errors
    /// When either side is not well formed.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, rest) = split_local(text)?;
        let domain = match rest {
            None => None,
            Some(domain) => Some(Domain::parse(domain)?),
        };
        Self::new(&local, domain)
    }

    /// The local part, unquoted, in the case it was written.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain, if the address has one.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        self.domain.as_ref()
    }

    /// The same address with this domain where it has none.
    #[must_use]
    pub fn qualified(self, domain: &Domain) -> Self {
        Self { domain: Some(self.domain.unwrap_or_else(|| domain.clone())), ..self }
    }

    /// As [`Address::qualified`], where the domain may also stand in the old ways.
    #[must_use]
    pub fn completed(self, domain: &Domain, forms: OldForms) -> Self {
        if self.domain.is_some() {
            return self;
        }
        let bang = || self.local.split_once('!').filter(|_| forms.bang);
        let percent = || self.local.rsplit_once('%').filter(|_| forms.percent).map(|(user, site)| (site, user));
        let whole = |(site, user): (&str, &str)| Self::new(user, Some(Domain::parse(site).ok()?)).ok();
        match bang().or_else(percent).and_then(whole) {
            Some(whole) => whole,
            None => self.qualified(domain),
        }
    }
}

impl Domain {
    /// Reads a domain name (letters of any script, digits, `-`, `_`, dots) or `[literal]`.
    ///
    /// # Errors
    /// When it is empty, too long, or has an empty label or another character.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_DOMAIN {
            return Err(AddressError::TooLong);
        }
        let literal = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let ok = match literal {
            Some(inside) => {
                !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b))
            }
            None => text.strip_suffix('.').unwrap_or(text).split('.').all(is_label),
        };
        if ok { Ok(Self(text.strip_suffix('.').unwrap_or(text).to_lowercase())) } else { Err(AddressError::BadDomain) }
    }

    /// The name in lower case, without a dot at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii() && !c.is_control())
}

/// The unquoted local part, and the text after its `@`.
fn split_local(text: &str) -> Result<(String, Option<&str>), AddressError> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Ok(match text.rsplit_once('@') {
            Some((local, domain)) => (local.into(), Some(domain)),
            None => (text.into(), None),
        });
    };
    let mut local = String::new();
    let mut chars = quoted.char_indices();
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => local.push(chars.next().ok_or(AddressError::BadLocal)?.1),
            '"' => {
                let rest = chars.as_str();
                return match rest.strip_prefix('@') {
                    Some(domain) => Ok((local, Some(domain))),
                    None if rest.is_empty() => Ok((local, None)),
                    None => Err(AddressError::BadLocal),
                };
            }
            c => local.push(c),
        }
    }
    Err(AddressError::BadLocal)
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// `Dot-string` of RFC 5321 §4.1.2, with the UTF-8 of RFC 6531.
fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn old_forms_hold_a_domain() {
        let origin = Domain::parse("m.com").expect("a domain");
        let completed = |text: &str, bang, percent| {
            Address::parse(text).expect(text).completed(&origin, OldForms { bang, percent }).to_string()
        };
        for (text, both, none) in [
            ("kevin", "kevin@m.com", "kevin@m.com"),
            ("x.org!kevin", "kevin@x.org", "x.org!kevin@m.com"),
            ("kevin%x.org", "kevin@x.org", "kevin%x.org@m.com"),
            ("kevin%y.org%x.org", "kevin%y.org@x.org", "kevin%y.org%x.org@m.com"),
            ("a!b%x.org", "b%x.org@a", "a!b%x.org@m.com"),
            ("kevin%x.org@y.org", "kevin%x.org@y.org", "kevin%x.org@y.org"),
            ("!kevin", "!kevin@m.com", "!kevin@m.com"),
            ("kevin%", "kevin%@m.com", "kevin%@m.com"),
        ] {
            assert_eq!(
                (completed(text, true, true), completed(text, false, false)),
                (both.into(), none.into()),
                "{text}"
            );
        }
    }

    #[test]
    fn written_as_read() {
        for text in ["kevin", "kevin@m3102.com", "\"a b\"@x.org", "a+b@[192.0.2.1]", "\"a@b\"@c.d", "é@é.fr"] {
            assert_eq!(Address::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "@x", "a@", "a@b..c", "a\r\nb@c", "\"a@b", "a@b c", "a@[]", "\u{0}@b"] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }
}
