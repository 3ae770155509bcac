//! The records that mail of a domain needs: each check asks and says what it finds.

use std::net::IpAddr;

use config::Config;
use hickory_proto::rr::{Name, RData, RecordType};

use super::ask::{Servers, Trouble};
use super::finding::{Finding, State, quoted};
use super::outward::is_public;
use super::spf::{self, Judge, Verdict};

/// What is looked at.
pub(crate) struct Case<'a> {
    pub(crate) dns: &'a Servers,
    pub(crate) config: &'a Config,
    pub(crate) domain: Name,
    /// `myhostname`, where mail is received.
    pub(crate) host: Name,
    /// The name said in EHLO.
    pub(crate) helo: Name,
    /// From where mail is sent, as far as known.
    pub(crate) outward: Vec<IpAddr>,
}

/// In small letters, without the dot at its end.
pub(crate) fn written(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// A name as people write it; letters outside ASCII become what the DNS has.
pub(crate) fn absolute(text: &str) -> Option<Name> {
    let text = Some(text.trim_end_matches('.')).filter(|text| !text.is_empty())?;
    let mut name = Name::from_utf8(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl Case<'_> {
    /// All of them. Addresses that the configuration does not tell are taken to be those of the mail host.
    pub(crate) fn examine(mut self) -> Result<Vec<Finding>, Trouble> {
        let mut findings = Vec::new();
        if !self.is_ours() {
            let text =
                "is not among this machine's domains (mydestination and others): only what sending needs is asked for";
            findings.push(Finding::new("domain", written(&self.domain), State::Note, text));
        }
        // Who does not hear anything at all is told at once.
        self.dns.ask(&self.domain, RecordType::MX)?;
        findings.push(self.exchangers());
        findings.extend(self.host_addresses());
        if self.outward.is_empty() {
            self.outward = self.addresses(&self.host).unwrap_or_default();
            self.outward.retain(|address| is_public(*address));
        }
        findings.extend(self.sending());
        findings.push(self.spf());
        findings.push(self.dkim());
        findings.push(self.dmarc());
        Ok(findings)
    }

    fn is_ours(&self) -> bool {
        let lists = ["mydestination", "virtual_mailbox_domains", "relay_domains"];
        let same = |name: &String| absolute(name).is_some_and(|name| name == self.domain);
        lists.iter().any(|list| self.config.list(list).iter().any(same))
            || self
                .config
                .names("virtual_alias_domains")
                .find(&written(&self.domain))
                .is_ok_and(|found| found.is_some())
    }

    fn relay(&self) -> Option<&str> {
        Some(self.config.text("relayhost")).filter(|relay| !relay.is_empty())
    }

    fn exchangers(&self) -> Finding {
        let (domain, host) = (written(&self.domain), written(&self.host));
        let finding = |state, text: String| Finding::new("MX", domain.clone(), state, text);
        let answer = match self.dns.ask(&self.domain, RecordType::MX) {
            Ok(answer) => answer,
            Err(trouble) => return finding(State::Unknown, trouble.to_string()),
        };
        let mut list: Vec<(u16, Name)> = answer.records.into_iter().filter_map(exchanger).collect();
        list.sort_by_key(|(preference, _)| *preference);
        let shown = list.iter().map(|(preference, name)| format!("{preference} {}", written(name))).collect();
        let ours = list.iter().any(|(_, name)| *name == self.host);
        let wanted = |finding: Finding| finding.line(&domain, "MX", &format!("10 {host}."));
        match () {
            () if list.iter().any(|(_, name)| name.is_root()) => {
                wanted(finding(State::Wrong, "says that the domain takes no mail".into()).found(shown))
            }
            () if !list.is_empty() && (ours || !self.is_ours()) => finding(State::Ok, String::new()).found(shown),
            () if list.is_empty()
                && self.domain == self.host
                && self.addresses(&self.host).is_ok_and(|found| !found.is_empty()) =>
            {
                finding(State::Ok, "none is needed: the host of that name takes the mail".into())
            }
            () if list.is_empty() && !answer.exists => {
                wanted(finding(State::Missing, "the DNS does not know the domain".into()))
            }
            () if list.is_empty() => {
                wanted(finding(State::Missing, "other servers do not find out where its mail goes".into()))
            }
            () => wanted(finding(State::Wrong, format!("mail for the domain does not come to {host}")).found(shown)),
        }
    }

    fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, Trouble> {
        let mut found = Vec::new();
        for kind in self.kinds() {
            found.extend(self.dns.ask(host, kind)?.records.iter().filter_map(RData::ip_addr));
        }
        Ok(found)
    }

    fn kinds(&self) -> Vec<RecordType> {
        match self.config.text("inet_protocols") {
            "ipv4" => vec![RecordType::A],
            "ipv6" => vec![RecordType::AAAA],
            _ => vec![RecordType::A, RecordType::AAAA],
        }
    }

    fn host_addresses(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.kinds().into_iter().filter_map(|kind| self.of_kind(kind)).collect();
        if findings.is_empty() {
            let text =
                "other servers cannot reach this machine; its public address is not known here: name it with --address";
            findings.push(Finding::new("A", written(&self.host), State::Missing, text));
        }
        findings
    }

    /// The mail host's addresses of one kind; nothing when there is none and none is needed.
    fn of_kind(&self, kind: RecordType) -> Option<Finding> {
        let (host, v4) = (written(&self.host), kind == RecordType::A);
        let record = if v4 { "A" } else { "AAAA" };
        let answer = match self.dns.ask(&self.host, kind) {
            Ok(answer) => answer,
            Err(trouble) => return Some(Finding::new(record, host, State::Unknown, trouble.to_string())),
        };
        let found: Vec<IpAddr> = answer.records.iter().filter_map(RData::ip_addr).collect();
        let wanted: Vec<&IpAddr> = self.outward.iter().filter(|address| address.is_ipv4() == v4).collect();
        let shown = found.iter().map(ToString::to_string).collect();
        let lines =
            |finding: Finding| wanted.iter().fold(finding, |finding, ip| finding.line(&host, record, &ip.to_string()));
        let finding = |state, text: &str| Some(lines(Finding::new(record, host.clone(), state, text)));
        let lacking = wanted.iter().any(|address| !found.contains(address));
        match () {
            () if found.is_empty() && wanted.is_empty() => None,
            () if found.is_empty() => finding(State::Missing, "other servers cannot reach this machine"),
            () if answer.alias => {
                finding(State::Wrong, "is an alias (CNAME), which an MX must not name").map(|it| it.found(shown))
            }
            () if !found.iter().any(|address| is_public(*address)) => {
                finding(State::Wrong, "is a private address, which nobody outside can reach").map(|it| it.found(shown))
            }
            () if lacking => {
                finding(State::Wrong, "is not the address from which this machine sends").map(|it| it.found(shown))
            }
            () => Some(Finding::new(record, host, State::Ok, "").found(shown)),
        }
    }

    /// What those look at who get mail from here.
    fn sending(&self) -> Vec<Finding> {
        if let Some(relay) = self.relay() {
            let text =
                format!("mail leaves through {relay} (relayhost): its name and address are its provider's business");
            return vec![Finding::new("PTR", written(&self.host), State::Note, text)];
        }
        let mut findings: Vec<Finding> = self.outward.iter().map(|address| self.pointer(*address)).collect();
        findings.push(self.greeting());
        findings
    }

    fn pointer(&self, address: IpAddr) -> Finding {
        let (place, helo) = (Name::from(address), written(&self.helo));
        let finding = |state, text: String| Finding::new("PTR", address.to_string(), state, text);
        let wanted = |finding: Finding| finding.line(&written(&place), "PTR", &format!("{helo}."));
        let names: Vec<Name> = match self.dns.ask(&place, RecordType::PTR) {
            Ok(answer) => answer.records.into_iter().filter_map(pointed).collect(),
            Err(trouble) => return finding(State::Unknown, trouble.to_string()),
        };
        let shown = names.iter().map(written).collect();
        let leads_back = |name: &&Name| self.addresses(name).is_ok_and(|found| found.contains(&address));
        match () {
            () if names.is_empty() => {
                wanted(finding(State::Missing, "many servers refuse mail from an address without a name".into()))
            }
            () if names.contains(&self.helo) => finding(State::Ok, String::new()).found(shown),
            () if names.iter().any(|name| leads_back(&name)) => {
                finding(State::Ok, format!("is not {helo}, but leads back to the address, which is enough"))
                    .found(shown)
            }
            () => wanted(
                finding(State::Wrong, "does not lead back to the address: many servers refuse that".into())
                    .found(shown),
            ),
        }
    }

    fn greeting(&self) -> Finding {
        let helo = written(&self.helo);
        let finding = |state, text: &str| Finding::new("HELO", helo.clone(), state, text);
        if self.helo.num_labels() < 2 {
            return finding(State::Wrong, "is no full name: set myhostname, or smtp_helo_name");
        }
        let found = match self.addresses(&self.helo) {
            Ok(found) => found,
            Err(trouble) => return finding(State::Unknown, &trouble.to_string()),
        };
        let shown = found.iter().map(ToString::to_string).collect();
        let kind = |ip: &IpAddr| if ip.is_ipv4() { "A" } else { "AAAA" };
        let lines = |finding: Finding| {
            self.outward.iter().fold(finding, |finding, ip| finding.line(&helo, kind(ip), &ip.to_string()))
        };
        match () {
            () if found.is_empty() => {
                lines(finding(State::Missing, "the name said in EHLO has no address: many servers refuse that"))
            }
            () if self.outward.iter().all(|address| found.contains(address)) => finding(State::Ok, "").found(shown),
            () => lines(finding(State::Wrong, "the name said in EHLO is not that of the address").found(shown)),
        }
    }

    fn spf(&self) -> Finding {
        let domain = written(&self.domain);
        let finding = |state, text: String| Finding::new("SPF", domain.clone(), state, text);
        let found = match spf::records(self.dns, &self.domain, "v=spf1") {
            Ok(found) => found,
            Err(trouble) => return finding(State::Unknown, trouble.to_string()),
        };
        let line = |finding: Finding, record: &str| finding.line(&domain, "TXT", &quoted(record));
        match &found[..] {
            [] if self.relay().is_some() => {
                let text =
                    "nobody is named who may send for the domain: ask the provider of relayhost what to write here";
                finding(State::Missing, text.into())
            }
            [] => {
                let text = "nobody is named who may send for the domain: large providers refuse such mail";
                let terms: Vec<String> =
                    if self.is_ours() { vec!["mx".into()] } else { self.outward.iter().map(spf::term).collect() };
                line(finding(State::Missing, text.into()), &spf::with("v=spf1 -all", &terms))
            }
            [record] => self.judged(record, finding(State::Ok, String::new())),
            _ => finding(State::Wrong, "only one record may begin with v=spf1: join them".into()).found(found),
        }
    }

    /// What the only SPF record says of our addresses.
    fn judged(&self, record: &str, good: Finding) -> Finding {
        let good = good.found(vec![record.to_owned()]);
        if self.relay().is_some() {
            return Finding { text: "whether it names the relay is the provider's business".into(), ..good };
        }
        let mut bad = Vec::new();
        for address in &self.outward {
            let text = match Judge::new(self.dns, *address).judge(record, &self.domain) {
                Verdict::Pass => continue,
                Verdict::Fails(how) => {
                    bad.push((*address, how));
                    continue;
                }
                Verdict::Broken(why) => {
                    return Finding { state: State::Wrong, text: format!("is not understood: {why}"), ..good };
                }
                Verdict::Depends(what) => {
                    return Finding { text: format!("depends on the message ({what}): not judged"), ..good };
                }
                Verdict::Trouble(trouble) => trouble.to_string(),
            };
            return Finding { state: State::Unknown, text, ..good };
        }
        let Some((address, how)) = bad.first() else { return good };
        let terms: Vec<String> = bad.iter().map(|(address, _)| spf::term(address)).collect();
        let text = format!("{address} sends, and the record {how}");
        let bad = Finding { state: State::Wrong, text, ..good };
        bad.line(&written(&self.domain), "TXT", &quoted(&spf::with(record, &terms)))
    }

    fn dkim(&self) -> Finding {
        let place = format!("_domainkey.{}", written(&self.domain));
        let there =
            absolute(&place).and_then(|name| self.dns.ask(&name, RecordType::TXT).ok()).is_some_and(|it| it.exists);
        let text = match there {
            true => "keys are published; Facteur does not sign, a signer beside it has to",
            false => "Facteur does not sign: no key is needed; a signer's would stand below this name",
        };
        Finding::new("DKIM", place, State::Note, text)
    }

    /// At the domain, or at one above it (RFC 7489 §6.6.3).
    fn dmarc(&self) -> Finding {
        let own = format!("_dmarc.{}", written(&self.domain));
        let mut at = self.domain.clone();
        while at.num_labels() >= 2 {
            let Some(name) = absolute(&format!("_dmarc.{}", written(&at))) else { break };
            let found = match spf::records(self.dns, &name, "v=DMARC1") {
                Ok(found) => found,
                Err(trouble) => return Finding::new("DMARC", own, State::Unknown, trouble.to_string()),
            };
            match &found[..] {
                [] => at = at.base_name(),
                [record] if has_policy(record) => {
                    return Finding::new("DMARC", written(&name), State::Ok, "").found(found);
                }
                [_] => {
                    return Finding::new(
                        "DMARC",
                        written(&name),
                        State::Wrong,
                        "p= must be none, quarantine or reject",
                    )
                    .found(found);
                }
                _ => {
                    return Finding::new("DMARC", written(&name), State::Wrong, "only one record may stand here")
                        .found(found);
                }
            }
        }
        let wanted = quoted(&format!("v=DMARC1; p=none; rua=mailto:postmaster@{}", written(&self.domain)));
        let text = "nothing is said about mail that fails the checks: large providers ask for it";
        Finding::new("DMARC", own.clone(), State::Missing, text).line(&own, "TXT", &wanted)
    }
}

fn exchanger(data: RData) -> Option<(u16, Name)> {
    if let RData::MX(mx) = data { Some((mx.preference, mx.exchange)) } else { None }
}

fn pointed(data: RData) -> Option<Name> {
    if let RData::PTR(name) = data { Some(name.0) } else { None }
}

fn has_policy(record: &str) -> bool {
    let tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let policy = tags.filter(|(name, _)| name.trim().eq_ignore_ascii_case("p")).map(|(_, value)| value.trim()).next();
    policy.is_some_and(|policy| ["none", "quarantine", "reject"].iter().any(|word| policy.eq_ignore_ascii_case(word)))
}
