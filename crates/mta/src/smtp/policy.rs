//! How much TLS a next hop gets: `smtp_tls_security_level`, and `smtp_tls_policy_maps` for single ones.
//!
//! A line of the table is `next-hop level [match=name:name…]`, looked for as the next hop is written, without its port, and
//! by `.parent` domains. A line that makes no sense holds the mail back: less protection than was asked for is never an
//! answer. (DANE and MTA-STS would be further levels here.)

use daemon::tls::client::Names;
use handover::relay::Hop;
use tables::Tables;

use super::hop::{Place, Target};

/// What is asked of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// None.
    None,
    /// If it can be had, with whomever.
    May,
    /// Always, with whomever.
    Encrypt,
    /// With a host that holds a certificate for its name.
    Verify,
    /// With a host that holds a certificate for the next hop's name, so that forged DNS leads nowhere.
    Secure,
}

/// What holds for one next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) level: Level,
    wanted: Vec<Match>,
}

/// Which name a certificate must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Match {
    /// That of the host.
    Hostname,
    /// That of the next hop.
    NextHop,
    /// Any below that of the next hop.
    BelowNextHop,
    /// This one.
    Name(String),
    /// Any below this one.
    Below(String),
}

/// The parameters.
#[derive(Debug)]
pub(super) struct Policies {
    pub(super) default: Level,
    pub(super) table: Tables,
    /// `smtp_tls_verify_cert_match`
    pub(super) verify: Vec<String>,
    /// `smtp_tls_secure_cert_match`
    pub(super) secure: Vec<String>,
    /// `smtp_tls_wrappermode`
    pub(super) wrapper: bool,
}

impl Level {
    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "may" => Self::May,
            "encrypt" => Self::Encrypt,
            "verify" => Self::Verify,
            "secure" => Self::Secure,
            _ => return None,
        })
    }

    /// The certificate must be right.
    pub(super) const fn verifies(self) -> bool {
        matches!(self, Self::Verify | Self::Secure)
    }
}

impl Policies {
    /// The policy for a next hop; else the sentence for the log.
    pub(super) fn of(&self, hop: &Hop, target: &Target) -> Result<Policy, String> {
        let mut policy = match self.table_line(hop, target)? {
            Some(line) => self.read(&line)?,
            None => self.plain(self.default),
        };
        if let Place::Socket(_) = target.place {
            policy.level = Level::None;
        } else if self.wrapper && matches!(policy.level, Level::None | Level::May) {
            policy.level = Level::Encrypt;
        }
        Ok(policy)
    }

    fn table_line(&self, hop: &Hop, target: &Target) -> Result<Option<String>, String> {
        if self.table.is_empty() {
            return Ok(None);
        }
        let view = self.table.view().map_err(|trouble| trouble.0)?;
        let mut keys = vec![hop.text.clone()];
        if let Place::Domain(name) | Place::Host(name) = &target.place {
            keys.extend([format!("[{name}]"), name.clone()]);
            keys.extend(name.match_indices('.').filter_map(|(dot, _)| name.get(dot..)).map(str::to_owned));
        }
        Ok(keys.iter().find_map(|key| view.lookup(key)).map(|found| found.value))
    }

    fn read(&self, line: &str) -> Result<Policy, String> {
        let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        let level = words.next().unwrap_or_default();
        let level = Level::read(level).ok_or_else(|| format!("TLS policy \"{line}\": unknown level \"{level}\""))?;
        let mut policy = self.plain(level);
        for word in words {
            match word.split_once('=') {
                Some(("match", names)) => policy.wanted = names.split([':', '|']).map(Match::read).collect(),
                // Ours are at least as strict as any that these could ask for.
                Some(("protocols" | "ciphers" | "exclude" | "tafile", _)) => {}
                _ => return Err(format!("TLS policy \"{line}\": unknown attribute \"{word}\"")),
            }
        }
        Ok(policy)
    }

    fn plain(&self, level: Level) -> Policy {
        let wanted = match level {
            Level::None | Level::May | Level::Encrypt => &Vec::new(),
            Level::Verify => &self.verify,
            Level::Secure => &self.secure,
        };
        Policy { level, wanted: wanted.iter().map(|word| Match::read(word)).collect() }
    }
}

impl Match {
    fn read(word: &str) -> Self {
        match word {
            "hostname" => Self::Hostname,
            "nexthop" => Self::NextHop,
            "dot-nexthop" => Self::BelowNextHop,
            word => match word.strip_prefix('.') {
                Some(domain) => Self::Below(domain.into()),
                None => Self::Name(word.into()),
            },
        }
    }
}

impl Policy {
    /// The names a certificate of this host must hold.
    pub(super) fn names(&self, host: &str, target: &Target) -> Names {
        let next_hop = match &target.place {
            Place::Domain(name) | Place::Host(name) => name.clone(),
            Place::Address(address) => address.to_string(),
            Place::Socket(_) => String::new(),
        };
        let mut names = Names::default();
        for wanted in &self.wanted {
            match wanted {
                Match::Hostname => names.exact.push(host.into()),
                Match::NextHop => names.exact.push(next_hop.clone()),
                Match::BelowNextHop => names.below.push(next_hop.clone()),
                Match::Name(name) => names.exact.push(name.clone()),
                Match::Below(name) => names.below.push(name.clone()),
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::hop::Defaults;
    use super::*;

    fn of(table: &str, next_hop: &str, wrapper: bool) -> Result<Policy, String> {
        let policies = Policies {
            default: Level::May,
            table: Tables::open(table).expect("a table"),
            verify: vec!["hostname".into()],
            secure: vec!["nexthop".into(), "dot-nexthop".into()],
            wrapper,
        };
        let hop = Hop { text: next_hop.into(), ..Hop::default() };
        let target = Target::read(&hop, &Defaults { smtp: 25, lmtp: 24, queue: "/".into() }).expect("a next hop");
        policies.of(&hop, &target)
    }

    #[test]
    fn single_next_hops_have_their_own_level() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(
            file.path(),
            "[a.org]:587 verify\nb.org encrypt\n.c.org none\nd.org secure match=x.org:.y.org\ne.org more\n",
        )
        .expect("written");
        let table = file.path().to_str().expect("a path");
        let level = |next_hop| of(table, next_hop, false).map(|policy| policy.level);
        assert_eq!(level("[a.org]:587"), Ok(Level::Verify));
        assert_eq!(level("[a.org]"), Ok(Level::May));
        assert_eq!(level("b.org:2525"), Ok(Level::Encrypt));
        assert_eq!(level("[mx.c.org]"), Ok(Level::None));
        assert_eq!(level("c.org"), Ok(Level::May));
        assert!(level("e.org").is_err());
        assert_eq!(of("", "c.org", true).map(|policy| policy.level), Ok(Level::Encrypt));
        let hop = Hop { text: "d.org".into(), ..Hop::default() };
        let target = Target::read(&hop, &Defaults { smtp: 25, lmtp: 24, queue: "/".into() }).expect("a next hop");
        let names = of(table, "d.org", false).expect("a policy").names("mx.d.org", &target);
        assert_eq!(names, Names { exact: vec!["x.org".into()], below: vec!["y.org".into()] });
    }
}
