//! Mail that waits, and on what; and mail that another mail system left behind.

use std::collections::BTreeMap;
use std::path::Path;

use durable::Dir;
use spool::{Progress, Queue, Spool};

use super::{Fault, Patient};
use crate::queue::takeover;

/// One fault for each reason, with how many messages it holds up; one for what was put aside.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let root = Path::new(patient.config.text("queue_directory"));
    let Ok(spool) = Dir::open(root).and_then(|dir| Spool::open(&dir)) else { return Vec::new() };
    let mut reasons: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for id in spool.scan(Queue::Deferred).unwrap_or_default().into_iter().take(MOST) {
        let Ok(file) = spool.read(Queue::Deferred, id) else { continue };
        let reason = file.open_slots().find_map(|(_, slot)| match &slot.progress {
            Progress::Deferred { reason, .. } => Some(reason.clone()),
            Progress::New | Progress::Sent | Progress::Bounced | Progress::Expanded => None,
        });
        if let Some(reason) = reason {
            reasons.entry(reason).or_insert_with(|| (0, id.name())).0 += 1;
        }
    }
    let mut found: Vec<Fault> =
        reasons.iter().map(|(reason, (count, id))| waiting(patient, reason, (*count, id))).collect();
    let aside = spool.scan(Queue::Corrupt).map_or(0, |ids| ids.len());
    if aside > 0 {
        let sentence = format!("{} put aside in the queue because they cannot be read.", messages(aside as u64, "are"));
        found.push(Fault::new(sentence, format!("ls -l {}/corrupt", root.display())));
    }
    found
}

/// A queue of Postfix's that nobody serves.
pub(super) fn postfix(patient: &Patient) -> Vec<Fault> {
    let root = Path::new(POSTFIX);
    let left = takeover::waiting(root).map_or(0, |files| files.len());
    if left == 0 || takeover::running(root).is_some() {
        return Vec::new();
    }
    let sentence =
        format!("{} in Postfix's queue, {POSTFIX}, and Postfix does not run.", messages(left as u64, "wait"));
    vec![Fault::new(sentence, patient.facteur("queue import"))]
}

fn waiting(patient: &Patient, reason: &str, (count, id): (u64, &str)) -> Fault {
    let sentence = format!("{} in the queue: {}.", messages(count, "wait"), reason.trim_end_matches('.'));
    Fault::new(
        sentence,
        format!(
            "{}   # then, when the cause is gone: {}",
            patient.facteur(&format!("trace {id}")),
            patient.facteur("queue flush")
        ),
    )
}

/// `1 message waits`, `3 messages wait`.
fn messages(count: u64, verb: &str) -> String {
    match (count, verb) {
        (1, "are") => "1 message was".to_owned(),
        (1, verb) => format!("1 message {verb}s"),
        (count, "are") => format!("{count} messages were"),
        (count, verb) => format!("{count} messages {verb}"),
    }
}

const POSTFIX: &str = "/var/spool/postfix";
/// Messages that are looked at.
const MOST: usize = 2000;
