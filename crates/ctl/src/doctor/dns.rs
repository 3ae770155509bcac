//! Domains of ours of which the DNS says nowhere that their mail comes here.
//!
//! One question to the first server that answers; where none does, nothing can be said.

use hickory_proto::rr::{Name, RecordType};

use super::{Fault, Patient};
use crate::dns::ask::Servers;

/// What the DNS says of a domain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// There is no such domain.
    NoDomain,
    /// It has no MX record.
    NoRecord,
    /// It has some.
    Records,
}

/// Domains without MX.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let Ok(servers) = Servers::new(patient.dns, &patient.config.list("dns_servers")) else { return Vec::new() };
    let host = patient.config.text("myhostname").to_owned();
    let mut domains = patient.config.list("mydestination");
    domains.retain(|domain| *domain != host && public(domain));
    domains.dedup();
    domains.iter().filter_map(|domain| fault(domain, &host, ask(domain, &servers)?)).collect()
}

fn fault(domain: &str, host: &str, answer: Answer) -> Option<Fault> {
    let what = match answer {
        Answer::Records => return None,
        Answer::NoDomain => "does not know",
        Answer::NoRecord => "has no MX record for",
    };
    let sentence = format!("The DNS {what} {domain}, so other servers cannot send mail here.");
    Some(Fault::new(sentence, format!("add to the zone: {domain}. MX 10 {host}.")))
}

/// Names of the machine itself are nobody else's business.
fn public(domain: &str) -> bool {
    let local = ["localdomain", "local", "localhost", "lan", "home", "internal"];
    domain.rsplit_once('.').is_some_and(|(_, end)| !local.contains(&end)) && !domain.starts_with("localhost.")
}

fn ask(domain: &str, servers: &Servers) -> Option<Answer> {
    let mut name = Name::from_utf8(domain.trim_end_matches('.')).ok()?;
    name.set_fqdn(true);
    let answer = servers.ask(&name, RecordType::MX).ok()?;
    Some(match (answer.exists, answer.records.is_empty()) {
        (true, true) => Answer::NoRecord,
        (true, false) => Answer::Records,
        (false, _) => Answer::NoDomain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_domains() {
        assert!(public("m3102.com") && !public("localhost") && !public("localhost.a.fr") && !public("vm.local"));
    }
}
