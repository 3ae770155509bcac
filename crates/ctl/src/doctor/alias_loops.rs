//! Aliases that lead back to themselves, and alias files that make no sense.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use handover::Target;
use handover::aliases::{self, Table};

use super::{Fault, Patient};

/// Every circle once.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut tables = Vec::new();
    for file in patient.config.list("alias_maps") {
        let path = Path::new(&file);
        let problems = aliases::check(path);
        found.extend(problems.iter().map(|problem| {
            let mend = format!("editor +{} {} && newaliases", problem.line.max(1), problem.file.display());
            Fault::new(format!("An alias cannot be understood: {problem}."), mend)
        }));
        let text = fs::read_to_string(path).unwrap_or_default();
        let (table, _) = Table::parse(path, &text);
        tables.push((file, text, table));
    }
    let mut told: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (file, text, _) in &tables {
        for (number, name) in names(text) {
            let Some(circle) = circle(&name, patient, &tables) else { continue };
            if told.insert(circle.iter().cloned().collect()) {
                let sentence = format!("The alias {name} leads back to itself: {} -> {name}.", circle.join(" -> "));
                found.push(Fault::new(sentence, format!("editor +{number} {file} && newaliases")));
            }
        }
    }
    found
}

type Tables = Vec<(String, String, Table)>;

/// The names that begin a line, with its number.
fn names(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with(['#', ' ', '\t']));
    lines.filter_map(|(index, line)| Some((index + 1, line.split_once(':')?.0.trim().to_ascii_lowercase())))
}

/// The way from `name` back to it, without that last step. An alias to its own name alone is the user's mailbox.
fn circle(name: &str, patient: &Patient, tables: &Tables) -> Option<Vec<String>> {
    let mut ways = vec![vec![name.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let Some(at) = way.last() else { continue };
        for next in local_targets(at, patient, tables).into_iter().filter(|next| next != at) {
            if next == name {
                return Some(way);
            }
            if seen.insert(next.clone()) && way.len() < DEEPEST {
                ways.push(way.iter().cloned().chain([next]).collect());
            }
        }
    }
    None
}

fn local_targets(name: &str, patient: &Patient, tables: &Tables) -> Vec<String> {
    let found = tables.iter().find_map(|(_, _, table)| table.find(name)).unwrap_or_default();
    let ours = patient.config.list("mydestination");
    let local = |target: &Target| match target {
        Target::Address(address) => {
            let text = address.to_string().to_ascii_lowercase();
            match text.rsplit_once('@') {
                None => Some(text),
                Some((name, domain)) if ours.iter().any(|own| own.eq_ignore_ascii_case(domain)) => {
                    Some(name.to_owned())
                }
                Some(_) => None,
            }
        }
        Target::Command(_) | Target::File(_) | Target::Include(_) | Target::Mailbox(_) => None,
    };
    found.iter().filter_map(local).collect()
}

const DEEPEST: usize = 50;
