//! `facteur trace ID`: the story of one message, from the log and the queue, in order.
//!
//! Follows a message into what came of it: a notice to its sender, a copy that was forwarded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use config::Config;
use mail::QueueId;

use crate::record;

/// `facteur trace`.
pub(crate) fn run(config: &Config, wanted: &str) -> Result<ExitCode> {
    let logs = record::files(config);
    let mut story = Story::about(wanted);
    for log in &logs {
        match File::open(log) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            file => read(&mut story, file.with_context(|| format!("{} cannot be read", log.display()))?)?,
        }
    }
    story.lines.iter().for_each(|line| println!("{line}"));
    let queue = Path::new(config.text("queue_directory"));
    let places: Vec<String> = story.ids.iter().filter_map(|id| place(queue, id)).collect();
    places.iter().for_each(|place| println!("{place}"));
    if story.lines.is_empty() && places.is_empty() {
        let logs: Vec<String> = logs.iter().map(|log| log.display().to_string()).collect();
        bail!("nothing about {wanted} in {} and in the queue", logs.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn read(story: &mut Story, file: File) -> Result<()> {
    let mut reader = BufReader::new(file);
    let mut octets = Vec::new();
    while reader.read_until(b'\n', &mut octets)? > 0 {
        story.add(String::from_utf8_lossy(&octets).trim_end());
        octets.clear();
    }
    Ok(())
}

/// Where the message is now.
fn place(queue: &Path, id: &str) -> Option<String> {
    QueueId::parse(id)?;
    let queues = ["incoming", "active", "deferred", "hold", "corrupt"];
    let found = queues.into_iter().find(|name| queue.join(name).join(id).exists())?;
    Some(format!("{id} is in the queue: {found}"))
}

/// The lines about a message and what came of it.
struct Story {
    /// Queue ids, or at first perhaps a Message-ID.
    ids: BTreeSet<String>,
    lines: Vec<String>,
}

impl Story {
    fn about(wanted: &str) -> Story {
        Story { ids: BTreeSet::from([wanted.to_owned()]), lines: Vec::new() }
    }

    /// Keeps a log line that belongs to the story.
    fn add(&mut self, line: &str) {
        let Some(id) = subject(line) else { return };
        if let Some((_, message_id)) = line.split_once("message-id=")
            && self.ids.contains(message_id)
        {
            self.ids.insert(id.to_owned());
        }
        if !self.ids.contains(id) {
            return;
        }
        for mark in ["notification: ", "forwarded as "] {
            let heir = line.split_once(mark).map(|(_, rest)| rest.trim_end_matches(')'));
            self.ids.extend(heir.filter(|id| QueueId::parse(id).is_some()).map(str::to_owned));
        }
        self.lines.push(line.to_owned());
    }
}

/// The queue id a line begins with, behind `facteur/PROGRAM[pid]: `.
fn subject(line: &str) -> Option<&str> {
    let (_, text) = line.split_once("]: ")?;
    let (id, _) = text.split_once(": ")?;
    QueueId::parse(id).map(|_| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> String {
        QueueId::new(number, 7).name()
    }

    #[test]
    fn a_story_follows_the_notice() {
        let (one, two, other) = (id(1_000_000), id(2_000_000), id(3_000_000));
        let line = |text: String| format!("Nov 20 16:11:50 vm facteur/x[1]: {text}");
        let log = [
            line(format!("{one}: uid=0 from=<root@vm>")),
            line(format!("{one}: message-id=<a@vm>")),
            line(format!("{other}: uid=0 from=<root@vm>")),
            line(format!("{one}: sender non-delivery notification: {two}")),
            line(format!("{two}: from=<>, size=2015, nrcpt=1 (queue active)")),
            line("connect from localhost[127.0.0.1]".to_owned()),
            line(format!("{one}: removed")),
        ];
        let told = |wanted: &str| {
            let mut story = Story::about(wanted);
            log.iter().for_each(|line| story.add(line));
            story.lines.len()
        };
        assert_eq!((told(&one), told(&two), told("<a@vm>"), told("nonsense")), (5, 1, 4, 0));
    }
}
