//! `master.cf`: only which of the well-known services it opens to the net.

use std::path::Path;

use super::{Finding, Verdict};
use crate::Source;

/// The services that are on, as one value of `smtpd_services`; each other service with the reason why it has no place.
pub(super) fn translate(text: &str, file: &Path) -> Vec<Finding> {
    let (mut found, mut on): (Vec<Finding>, Vec<(&str, usize)>) = (Vec::new(), Vec::new());
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
            let verdict = Verdict::Ignored("services have no options of their own here".into());
            found.push(finding("option", line.trim(), verdict));
            continue;
        }
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

fn own(service: &str, kind: &str) -> Option<&'static str> {
    let service = service.rsplit(':').next().unwrap_or(service);
    match (service, kind) {
        ("smtp" | "25", "inet") => Some("smtp"),
        ("submission" | "587", "inet") => Some("submission"),
        ("smtps" | "submissions" | "465", "inet") => Some("smtps"),
        _ => None,
    }
}
