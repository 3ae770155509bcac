//! `facteur dns DOMAIN`: the DNS records that mail of a domain needs, which are there, and lines for those that are not.
//!
//! Only asks. Exits with: 0, all is right; 1, something is missing or wrong; 75, the DNS does not answer now.

pub(crate) mod ask;
mod checks;
mod finding;
mod outward;
mod spf;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use config::Config;

use crate::arguments::DnsOptions;
use ask::Servers;
use checks::{Case, absolute, written};
use finding::{Finding, State};

/// `facteur dns`.
pub(crate) fn run(config: &Config, options: &DnsOptions) -> Result<ExitCode> {
    let name = |text: &str| absolute(text).ok_or_else(|| anyhow!("\"{text}\" is not a domain"));
    let dns = Servers::new(options.dns.as_deref(), &config.list("dns_servers"))?;
    let (domain, host) = (name(&options.domain)?, name(config.text("myhostname"))?);
    let helo = name(config.text("smtp_helo_name"))?;
    let outward = outward::addresses(config, &options.addresses);
    let findings = match (Case { dns: &dns, config, domain: domain.clone(), host, helo, outward }).examine() {
        Ok(findings) => findings,
        Err(trouble) => {
            eprintln!("facteur: {}: {trouble}", written(&domain));
            return Ok(ExitCode::from(TRY_AGAIN));
        }
    };
    match options.json {
        true => findings.iter().try_for_each(|one| serde_json::to_string(one).map(|line| println!("{line}")))?,
        false => show(&findings),
    }
    Ok(match () {
        () if findings.iter().any(Finding::is_fault) => ExitCode::FAILURE,
        () if findings.iter().any(|one| one.state == State::Unknown) => ExitCode::from(TRY_AGAIN),
        () => ExitCode::SUCCESS,
    })
}

fn show(findings: &[Finding]) {
    findings.iter().for_each(|one| println!("{one}"));
    let part = |reverse: bool, head: &str| {
        let mut lines: Vec<&String> = Vec::new();
        for line in findings.iter().filter(|one| (one.record == "PTR") == reverse).flat_map(|one| &one.zone) {
            // The name in EHLO is mostly that of the mail host.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if !lines.is_empty() {
            println!("\n{head}");
            lines.iter().for_each(|line| println!("{line}"));
        }
    };
    part(false, "For the zone (a line that is WRONG above goes):");
    part(true, "For whoever gave you the address (the provider's reverse zone):");
}

/// EX_TEMPFAIL, as mail programs say it.
const TRY_AGAIN: u8 = 75;
