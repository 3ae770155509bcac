//! `luser_relay`: who gets the mail for a name of ours that is neither an alias nor a user (Postfix: local(8)).

use mail::Address;
use tables::address::split_extension;

/// Who gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Luser {
    /// Nobody: the mail comes back.
    Nobody,
    /// This address.
    Gets(Address),
    /// What the parameter stands for is no address.
    Malformed(String),
}

/// Names that always exist and mean root unless an alias or a user has them: postmaster (RFC 5321 §4.5.1), abuse (RFC 2142 §2),
/// and the one our own notices come from.
#[must_use]
pub fn is_role(local: &str) -> bool {
    ["postmaster", "mailer-daemon", "abuse"].iter().any(|role| local.eq_ignore_ascii_case(role))
}

/// Expands the parameter for a recipient: `$local`, `$user`, `$extension`, `$domain`, `$recipient`. One that leads back to
/// the same recipient is nobody.
#[must_use]
pub fn luser(parameter: &str, recipient: &Address, delimiters: &str) -> Luser {
    if parameter.is_empty() {
        return Luser::Nobody;
    }
    let (local, domain) = (recipient.local(), recipient.domain());
    let (user, extension) = split_extension(local, delimiters);
    let mut text = parameter.to_owned();
    for (name, value) in [
        ("local", local),
        ("user", user),
        ("extension", extension.get(1..).unwrap_or_default()),
        ("domain", domain.map_or("", |domain| domain.as_str())),
        ("recipient", &recipient.to_string()),
    ] {
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    match Address::parse(text.trim()) {
        Ok(to) if to.local().eq_ignore_ascii_case(local) && (to.domain().is_none() || to.domain() == domain) => {
            Luser::Nobody
        }
        Ok(to) => Luser::Gets(domain.map_or_else(|| to.clone(), |domain| to.clone().qualified(domain))),
        Err(_) => Luser::Malformed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_expanded_for_each_recipient() {
        let address = |text: &str| Address::parse(text).expect(text);
        for (parameter, recipient, expected) in [
            ("", "x@m3102.com", Luser::Nobody),
            ("eleve", "x@m3102.com", Luser::Gets(address("eleve@m3102.com"))),
            ("eleve+$local", "x@m3102.com", Luser::Gets(address("eleve+x@m3102.com"))),
            ("${user}@old.$domain", "x+y@m3102.com", Luser::Gets(address("x@old.m3102.com"))),
            ("${extension}", "x+y@m3102.com", Luser::Gets(address("y@m3102.com"))),
            ("$local", "x@m3102.com", Luser::Nobody),
            ("$recipient", "X@m3102.com", Luser::Nobody),
            ("eleve@${domain}..", "x@m3102.com", Luser::Malformed("eleve@m3102.com..".into())),
        ] {
            assert_eq!(luser(parameter, &address(recipient), "+"), expected, "{parameter} {recipient}");
        }
    }
}
