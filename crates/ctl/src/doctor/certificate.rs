//! Certificates that have expired, soon will, or are for another name.

use std::fs;
use std::path::PathBuf;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::der::{self, Certificate};
use super::{Fault, Patient};

/// Each certificate in use once.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let config = patient.config;
    let own = PathBuf::from(config.text("data_directory")).join("self-signed.pem");
    let mut files: Vec<PathBuf> = ["ssl_cert", "smtpd_tls_cert_file"]
        .into_iter()
        .map(|name| config.path(name).unwrap_or_else(|| own.clone()))
        .collect();
    files.dedup();
    files.iter().flat_map(|file| wrong(patient, file, *file == own)).collect()
}

fn wrong(patient: &Patient, file: &PathBuf, is_ours: bool) -> Vec<Fault> {
    // What this user may not read, or is made at the first start, is passed over.
    let Ok(text) = fs::read_to_string(file) else { return Vec::new() };
    let shown = file.display();
    let renew = match is_ours {
        true => format!("rm {shown} && {}   # makes a new one", patient.facteur("stop; facteur start")),
        false => format!(
            "get a new one (certbot renew, for example), put it in {shown}, then: {}",
            patient.facteur("reload")
        ),
    };
    let Some(certificate) = der::first_in_pem(&text) else {
        return vec![Fault::new(format!("There is no certificate in {shown}."), renew)];
    };
    let mut found: Vec<Fault> =
        age(&certificate, &shown.to_string()).map(|sentence| Fault::new(sentence, renew.clone())).into_iter().collect();
    let host = patient.config.text("myhostname");
    if !certificate.names.iter().any(|name| covers(name, host)) {
        let names = certificate.names.join(", ");
        let sentence = format!("The certificate {shown} is for {names}, not for {host}: mail programs will warn.");
        found.push(Fault::new(sentence, renew));
    }
    found
}

fn age(certificate: &Certificate, shown: &str) -> Option<String> {
    let now = Timestamp::now();
    let (from, until) = (moment(&certificate.from)?, moment(&certificate.until)?);
    let day = |moment: Timestamp| moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d").to_string();
    let soon = now.checked_add((24 * 7).hours()).ok()?;
    match () {
        () if now < from => {
            Some(format!("The certificate {shown} holds only from {} on; is the clock right?", day(from)))
        }
        () if until <= now => Some(format!("The certificate {shown} has expired on {}.", day(until))),
        () if until <= soon => Some(format!("The certificate {shown} expires on {}.", day(until))),
        () => None,
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// `*.example.org` stands for one more label (RFC 6125 §6.4.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times() {
        assert!(covers("vm.a.fr", "VM.a.fr") && covers("*.a.fr", "vm.a.fr"));
        assert!(!covers("*.a.fr", "a.fr") && !covers("*.a.fr", "x.vm.a.fr") && !covers("a.fr", "vm.a.fr"));
        assert_eq!(moment("20260102030405Z").unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert!(moment("soon").is_none());
    }

    #[test]
    fn a_real_certificate_is_read() {
        let certificate = der::first_in_pem(include_str!("sample.pem")).unwrap();
        assert_eq!(certificate.names, ["mail.example.org", "*.foo.fr"]);
        assert_eq!(certificate.from, certificate.until);
        assert!(age(&certificate, "x").unwrap().starts_with("The certificate x has expired on 20"));
    }
}
