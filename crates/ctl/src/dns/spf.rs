//! Whether the SPF record of a domain lets an address send for it (RFC 7208).
//!
//! What depends on a message (macros, `exists`, `ptr`) cannot be known here and is said so.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RData, RecordType};

use super::ask::{Servers, Trouble};

/// What a record says of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may send.
    Pass,
    /// It may not: `-`, `~`, `?`, or the record says nothing of it.
    Fails(&'static str),
    /// The record is not as RFC 7208 wants it.
    Broken(String),
    /// That depends on the message.
    Depends(String),
    /// Nobody can say now.
    Trouble(Trouble),
}

/// One that is looked at, with the questions that may still be asked (RFC 7208 §4.6.4).
pub(crate) struct Judge<'a> {
    dns: &'a Servers,
    address: IpAddr,
    left: usize,
}

/// The records with text that begins with `version`, such as `v=spf1`.
pub(crate) fn records(dns: &Servers, name: &Name, version: &str) -> Result<Vec<String>, Trouble> {
    let text = |data: RData| match data {
        RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
        _ => None,
    };
    let begins = |text: &String| {
        let head = text.get(..version.len()).is_some_and(|head| head.eq_ignore_ascii_case(version));
        head && text.get(version.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ';']))
    };
    Ok(dns.ask(name, RecordType::TXT)?.records.into_iter().filter_map(text).filter(begins).collect())
}

/// The record with these terms too, in front of what holds for all others.
pub(crate) fn with(record: &str, terms: &[String]) -> String {
    let mut words: Vec<&str> = record.split_whitespace().collect();
    let last = |word: &&str| word.trim_start_matches(['+', '-', '~', '?']).eq_ignore_ascii_case("all");
    let end = words.iter().position(|word| last(word) || word.to_ascii_lowercase().starts_with("redirect="));
    let place = end.unwrap_or(words.len());
    words.splice(place..place, terms.iter().map(String::as_str));
    words.join(" ")
}

/// `ip4:192.0.2.1` or `ip6:…`
pub(crate) fn term(address: &IpAddr) -> String {
    format!("{}:{address}", if address.is_ipv4() { "ip4" } else { "ip6" })
}

impl<'a> Judge<'a> {
    pub(crate) fn new(dns: &'a Servers, address: IpAddr) -> Judge<'a> {
        Judge { dns, address, left: MOST_QUESTIONS }
    }

    /// What `record`, which stands at `domain`, says.
    pub(crate) fn judge(&mut self, record: &str, domain: &Name) -> Verdict {
        let mut redirect = None;
        for word in record.split_whitespace().skip(1) {
            if let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.contains([':', '/'])) {
                if name.eq_ignore_ascii_case("redirect") {
                    redirect = Some(value);
                }
                continue;
            }
            let (qualifier, rest) = match word.split_at_checked(1) {
                Some((sign @ ("+" | "-" | "~" | "?"), rest)) => (sign, rest),
                _ => ("+", word),
            };
            match self.matches(rest, domain) {
                Ok(false) => {}
                Ok(true) => return by(qualifier),
                Err(verdict) => return verdict,
            }
        }
        match redirect {
            Some(other) => self.other(other).unwrap_or_else(|verdict| verdict),
            None => Verdict::Fails("says nothing of it"),
        }
    }

    /// Whether a mechanism is about the address.
    fn matches(&mut self, word: &str, domain: &Name) -> Result<bool, Verdict> {
        let end = word.find([':', '/']).unwrap_or(word.len());
        let (name, rest) = word.split_at_checked(end).unwrap_or((word, ""));
        if rest.contains('%') {
            return Err(Verdict::Depends(word.to_owned()));
        }
        let value = rest.strip_prefix(':');
        match name.to_ascii_lowercase().as_str() {
            "all" => Ok(true),
            "ip4" | "ip6" => self.within(value.unwrap_or_default(), word),
            "a" => {
                let (at, bits) = self.place(rest, domain)?;
                self.spend()?;
                self.is_of(&at, bits)
            }
            "mx" => {
                let (at, bits) = self.place(rest, domain)?;
                self.spend()?;
                let found = self.dns.ask(&at, RecordType::MX).map_err(Verdict::Trouble)?.records;
                let hosts = found
                    .into_iter()
                    .filter_map(|data| if let RData::MX(mx) = data { Some(mx.exchange) } else { None });
                hosts.take(MOST_HOSTS).try_fold(false, |found, host| Ok(found || self.is_of(&host, bits)?))
            }
            "include" => match self.other(value.unwrap_or_default())? {
                Verdict::Pass => Ok(true),
                Verdict::Fails(_) => Ok(false),
                verdict => Err(verdict),
            },
            "exists" | "ptr" => Err(Verdict::Depends(word.to_owned())),
            _ => Err(Verdict::Broken(format!("\"{word}\" is not known"))),
        }
    }

    /// Another domain's record.
    fn other(&mut self, domain: &str) -> Result<Verdict, Verdict> {
        if domain.contains('%') {
            return Err(Verdict::Depends(domain.to_owned()));
        }
        self.spend()?;
        let name = name(domain)?;
        let found = records(self.dns, &name, "v=spf1").map_err(Verdict::Trouble)?;
        match &found[..] {
            [record] => Ok(self.judge(record, &name)),
            [] => Err(Verdict::Broken(format!("{domain} has no SPF record"))),
            _ => Err(Verdict::Broken(format!("{domain} has more than one SPF record"))),
        }
    }

    fn spend(&mut self) -> Result<(), Verdict> {
        let too_many = || Verdict::Broken(format!("it asks more than {MOST_QUESTIONS} questions"));
        self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }

    /// `:domain/24//64` behind `a` and `mx`: the domain, and how many bits count.
    fn place(&self, rest: &str, domain: &Name) -> Result<(Name, Option<u32>), Verdict> {
        let broken = || Verdict::Broken(format!("\"{rest}\" is no place"));
        let (place, bits) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
        let at = place.strip_prefix(':').map_or_else(|| Ok(domain.clone()), name)?;
        let (v4, v6) = bits.split_once("//").unwrap_or((bits, ""));
        let bits = if self.address.is_ipv4() { v4.trim_start_matches('/') } else { v6 };
        match bits {
            "" => Ok((at, None)),
            bits => Ok((at, Some(bits.parse().map_err(|_| broken())?))),
        }
    }

    fn is_of(&self, host: &Name, bits: Option<u32>) -> Result<bool, Verdict> {
        let kind = if self.address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        let found = self.dns.ask(host, kind).map_err(Verdict::Trouble)?.records;
        let near = |data: &RData| data.ip_addr().is_some_and(|ip| same_network(ip, self.address, bits));
        Ok(found.iter().any(near))
    }

    fn within(&self, network: &str, word: &str) -> Result<bool, Verdict> {
        let broken = || Verdict::Broken(format!("\"{word}\" is no network"));
        let (base, bits) = network.split_once('/').map_or((network, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| broken())?;
        let bits = bits.map(str::parse).transpose().map_err(|_| broken())?;
        Ok(same_network(base, self.address, bits))
    }
}

fn by(qualifier: &str) -> Verdict {
    match qualifier {
        "-" => Verdict::Fails("refuses it"),
        "~" => Verdict::Fails("distrusts it"),
        "?" => Verdict::Fails("says nothing of it"),
        _ => Verdict::Pass,
    }
}

fn name(text: &str) -> Result<Name, Verdict> {
    let mut name = Name::from_utf8(text).map_err(|_| Verdict::Broken(format!("\"{text}\" is no name")))?;
    name.set_fqdn(true);
    Ok(name)
}

fn same_network(a: IpAddr, b: IpAddr, bits: Option<u32>) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.unwrap_or(32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= bits.unwrap_or(128),
        _ => false,
    }
}

const MOST_QUESTIONS: usize = 10;
const MOST_HOSTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_questions() {
        let dns = Servers::new(Some("192.0.2.53"), &[]).unwrap();
        let says = |record: &str, address: &str| {
            Judge::new(&dns, address.parse().unwrap()).judge(record, &Name::from_ascii("a.fr.").unwrap())
        };
        let table = [
            ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.9", Verdict::Pass),
            ("v=spf1 ip4:192.0.2.0/24 -all", "192.0.3.9", Verdict::Fails("refuses it")),
            ("v=spf1 IP6:2001:db8::/32 ~all", "2001:db8::1", Verdict::Pass),
            ("v=spf1 ip6:2001:db8::/32 ~all", "192.0.2.9", Verdict::Fails("distrusts it")),
            ("v=spf1 ?ip4:192.0.2.9", "192.0.2.9", Verdict::Fails("says nothing of it")),
            ("v=spf1 exp=x.%{d}", "192.0.2.9", Verdict::Fails("says nothing of it")),
            ("v=spf1 exists:%{i}.x -all", "192.0.2.9", Verdict::Depends("exists:%{i}.x".into())),
            ("v=spf1 ip4:192.0.2 -all", "192.0.2.9", Verdict::Broken("\"ip4:192.0.2\" is no network".into())),
            ("v=spf1 mailserver -all", "192.0.2.9", Verdict::Broken("\"mailserver\" is not known".into())),
        ];
        for (record, address, verdict) in table {
            assert_eq!(says(record, address), verdict, "{record} {address}");
        }
    }

    #[test]
    fn a_term_goes_in_front_of_the_rest() {
        let terms = ["ip4:192.0.2.1".to_owned()];
        assert_eq!(with("v=spf1 mx ~all", &terms), "v=spf1 mx ip4:192.0.2.1 ~all");
        assert_eq!(with("v=spf1 redirect=x.fr", &terms), "v=spf1 ip4:192.0.2.1 redirect=x.fr");
        assert_eq!(with("v=spf1", &terms), "v=spf1 ip4:192.0.2.1");
    }
}
