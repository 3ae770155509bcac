//! `master.cf`: which of the well-known services it opens to the net, and what it says of content filters.

use std::path::Path;

use super::{Finding, Verdict};
use crate::Source;

/// The services that are on, as one value of `smtpd_services`; each other service with the reason why it has no place.
pub(super) fn translate(text: &str, file: &Path) -> Vec<Finding> {
    let (mut found, mut on): (Vec<Finding>, Vec<(&str, usize)>) = (Vec::new(), Vec::new());
    let mut service = "";
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let finding = |name: &str, value: &str, verdict| Finding {
            source: Source { file: file.to_path_buf(), line: index + 1 },
            name: name.to_owned(),
            value: value.to_owned(),
            verdict,
        };
        if line.starts_with([' ', '\t']) {
            let ignored = || Verdict::Ignored("services have no options of their own here".into());
            let verdict = of_filter(service, line).unwrap_or_else(ignored);
            found.push(finding("option", line.trim(), verdict));
            continue;
        }
        service = line.split_whitespace().next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [service, kind, ..] = words.as_slice() else { continue };
        match own(service, kind) {
            Some(name) => on.push((name, index + 1)),
            None if *kind == "inet" => {
                let verdict = Verdict::Ignored("only smtp, submission and smtps can be opened".into());
                found.push(finding(service, words.last().copied().unwrap_or_default(), verdict));
            }
            None => {}
        }
    }
    if let Some((_, line)) = on.first() {
        let value = on.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
        let source = Source { file: file.to_path_buf(), line: *line };
        let verdict = Verdict::Taken { name: "smtpd_services", value: value.clone() };
        found.push(Finding { source, name: "services".into(), value, verdict });
    }
    found
}

/// `-o content_filter=…`: the filter of submission and of `sendmail`, or the port at which a filter gives mail back.
fn of_filter(service: &str, options: &str) -> Option<Verdict> {
    let value = options.split_whitespace().find_map(|word| word.strip_prefix("content_filter="))?;
    let name = match service {
        "submission" | "submissions" | "smtps" | "587" | "465" => "submission_content_filter",
        "pickup" => "pickup_content_filter",
        _ if value.is_empty() => {
            let value = loopback(service)?;
            return Some(Verdict::Taken { name: "content_filter_reinject", value });
        }
        _ => return None,
    };
    Some(Verdict::Taken { name, value: value.to_owned() })
}

/// `10025`, `localhost:10025`, `127.0.0.1:10025`, `[::1]:10025`.
fn loopback(service: &str) -> Option<String> {
    let (host, port) = service.rsplit_once(':').unwrap_or(("127.0.0.1", service));
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    let socket = format!("{host}:{port}");
    crate::value::socket(&socket).is_ok().then_some(socket)
}

fn own(service: &str, kind: &str) -> Option<&'static str> {
    let service = service.rsplit(':').next().unwrap_or(service);
    match (service, kind) {
        ("smtp" | "25", "inet") => Some("smtp"),
        ("submission" | "587", "inet") => Some("submission"),
        ("smtps" | "submissions" | "465", "inet") => Some("smtps"),
        _ => None,
    }
}
