//! How much TLS a next hop gets: `smtp_tls_security_level`, and `smtp_tls_policy_maps` for single ones.
//!
//! A line of the table is `next-hop level [attribute=value…]` ([`routes::tls`]), looked for as the next hop is written,
//! without its port, and by `.parent` domains. A line that makes no sense holds the mail back: less protection than was
//! asked for is never an answer. (DANE and MTA-STS would be further levels here.)

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use daemon::tls::client::{Manner, Names};
use handover::relay::{Hop, Stage};
pub(super) use routes::tls::Level;
use routes::tls::{Line, Versions};
use tables::Tables;

use super::hop::{Place, Target};

/// What holds for one next hop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    pub(super) level: Level,
    wanted: Vec<Match>,
    versions: Versions,
    excluded: Vec<&'static str>,
    server_name: Option<String>,
    authorities: Vec<String>,
    /// Connections may rest and be used again.
    pub(super) reuse: bool,
}

/// Which name a certificate must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// What was said about lines of the table.
    pub(super) told: Mutex<HashSet<String>>,
}

impl Policies {
    /// The policy for a next hop; else the sentence for the log.
    pub(super) fn of(&self, hop: &Hop, target: &Target, stage: Stage) -> Result<Policy, String> {
        let mut policy = match self.table_line(hop, target)? {
            Some(line) => self.policy(self.told(Line::read(&line)?)),
            // A filter is a neighbour; what guards the way to others would only keep mail from it.
            None if stage == Stage::Filter => return Ok(self.policy(Line::plain(Level::None))),
            None => self.policy(Line::plain(self.default)),
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

    /// What a line says about itself is said once in the log.
    fn told(&self, mut line: Line) -> Line {
        for text in line.told.drain(..) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < MOST_TOLD && told.insert(text.clone()) {
                tracing::warn!("{text}");
            }
        }
        line
    }

    fn policy(&self, line: Line) -> Policy {
        let wanted = match line.level {
            Level::None | Level::May | Level::Encrypt => &Vec::new(),
            _ if !line.names.is_empty() => &line.names,
            Level::Verify => &self.verify,
            Level::Secure => &self.secure,
        };
        Policy {
            level: line.level,
            wanted: wanted.iter().map(|word| Match::read(word)).collect(),
            versions: line.versions,
            excluded: line.excluded,
            server_name: line.server_name,
            authorities: line.authorities,
            reuse: line.reuse,
        }
    }
}

/// So many texts are remembered.
const MOST_TOLD: usize = 1000;

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
    /// A level and nothing else.
    #[cfg(test)]
    pub(super) fn at(level: Level) -> Self {
        let Line { versions, reuse, .. } = Line::plain(level);
        let (wanted, excluded, authorities) = (Vec::new(), Vec::new(), Vec::new());
        Self { level, wanted, versions, excluded, server_name: None, authorities, reuse }
    }

    /// The names a certificate of this host must hold.
    pub(super) fn names(&self, host: &str, target: &Target) -> Names {
        let next_hop = next_hop(target);
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

    /// The name that is said to the host (SNI).
    pub(super) fn server_name(&self, host: &str, target: &Target) -> String {
        match self.server_name.as_deref() {
            None | Some("hostname") => host.to_owned(),
            Some("nexthop") => next_hop(target),
            Some(name) => name.to_owned(),
        }
    }

    /// How TLS is spoken; `None`: as with everybody.
    ///
    /// # Errors
    /// A file of authorities cannot be read: the sentence for the log.
    pub(super) fn manner(&self) -> Result<Option<Manner>, String> {
        if self.versions == Versions::ALL && self.excluded.is_empty() && self.authorities.is_empty() {
            return Ok(None);
        }
        let read = |path: &String| std::fs::read(path).map_err(|error| format!("tafile={path}: {error}"));
        let texts = self.authorities.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let authorities = (!texts.is_empty()).then(|| texts.join(&b'\n'));
        Ok(Some(Manner {
            tls12: self.versions.tls12,
            tls13: self.versions.tls13,
            excluded: self.excluded.clone(),
            authorities,
        }))
    }
}

fn next_hop(target: &Target) -> String {
    match &target.place {
        Place::Domain(name) | Place::Host(name) => name.clone(),
        Place::Address(address) => address.to_string(),
        Place::Socket(_) => String::new(),
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
            told: Mutex::default(),
        };
        let hop = Hop { text: next_hop.into(), ..Hop::default() };
        let target = Target::read(&hop, &Defaults { smtp: 25, lmtp: 24, queue: "/".into() }).expect("a next hop");
        policies.of(&hop, &target, Stage::Leaving)
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
