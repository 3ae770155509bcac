//! `facteur log`: shows and follows the log of the mail system, in colour on a terminal, filtered.

mod paint;
mod summary;
mod totals;

use std::collections::{HashSet, VecDeque};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use config::Config;

use crate::arguments::{LogAction, LogOptions};
use crate::record::{self, Record};
use crate::trial::follow::Follower;

/// `facteur log [summary]`.
pub(crate) fn run(config: &Config, options: &LogOptions) -> Result<ExitCode> {
    if let Some(LogAction::Summary(period)) = &options.action {
        return summary::run(config, period);
    }
    let mut filter = Filter::new(config, options);
    let file = record::file(config);
    let shown = options.lines.unwrap_or(10);
    let mut follower = Follower::at_end(&file);
    show_last(&file, shown, &mut filter)?;
    if options.lines.is_some() && !options.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        // A log that is turned away, or not there yet, is waited for.
        let octets = follower.new_lines().unwrap_or_default();
        let text = String::from_utf8_lossy(&octets);
        let lines: Vec<String> = text.lines().filter_map(|line| filter.pass(line)).collect();
        if print(&lines).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(LOOK);
    }
}

fn show_last(file: &Path, count: usize, filter: &mut Filter) -> Result<()> {
    let mut last: VecDeque<String> = VecDeque::new();
    record::read_back(file, u64::MAX, |line| {
        if let Some(line) = filter.pass(line) {
            last.push_back(line);
            if last.len() > count {
                last.pop_front();
            }
        }
    })
    .with_context(|| format!("{} cannot be read", file.display()))?;
    // A reader that has seen enough (`| head`) is no fault.
    let _ = print(last.make_contiguous());
    Ok(())
}

fn print(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    out.flush()
}

/// Which lines are shown, and how.
struct Filter {
    syslog_name: String,
    user: Option<String>,
    id: Option<String>,
    program: Option<String>,
    problems: bool,
    colour: bool,
    /// Messages the wanted user has to do with: their other lines are shown too.
    messages: HashSet<String>,
}

impl Filter {
    fn new(config: &Config, options: &LogOptions) -> Filter {
        Filter {
            syslog_name: config.text("syslog_name").to_owned(),
            user: options.user.as_ref().map(|user| user.to_ascii_lowercase()),
            id: options.id.clone(),
            program: options.program.clone(),
            problems: options.problems,
            colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            messages: HashSet::new(),
        }
    }

    /// The line as it is shown; `None` if it is not wanted.
    fn pass(&mut self, line: &str) -> Option<String> {
        let record = Record::parse(line, &self.syslog_name)?;
        let wanted = self.program.as_deref().is_none_or(|program| record.program == program)
            && self
                .id
                .as_deref()
                .is_none_or(|id| record.message().is_some_and(|(own, _)| own.eq_ignore_ascii_case(id)))
            && (!self.problems || paint::is_problem(record.text))
            && self.is_users(&record);
        wanted.then(|| if self.colour { paint::line(&record) } else { line.to_owned() })
    }

    fn is_users(&mut self, record: &Record) -> bool {
        let Some(user) = &self.user else { return true };
        let (id, text) = record.message().map_or((None, record.text), |(id, text)| (Some(id), text));
        let named = mentions(&text.to_ascii_lowercase(), user);
        match id {
            Some(id) if text == "removed" => self.messages.remove(id),
            Some(id) if named => {
                self.messages.insert(id.to_owned());
                true
            }
            Some(id) => self.messages.contains(id),
            None => named,
        }
    }
}

/// `<kevin>`, `<kevin@…>`, `user=<kevin>`, `imap(kevin)`; not `<kevinette>`.
fn mentions(text: &str, user: &str) -> bool {
    text.match_indices(user).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|text| text.chars().next());
        matches!(before, Some('<' | '(' | '=')) && matches!(after, Some('>' | '@' | ')' | ',' | '+') | None)
    })
}

/// How often we look for new lines.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(options: LogOptions) -> Vec<usize> {
        let id = |number: u64| mail::QueueId::new(number, 7).name();
        let (one, two) = (id(1_000_000), id(2_000_000));
        let config = Config::parse(Path::new("/"), "").unwrap();
        let mut filter = Filter::new(&config, &options);
        filter.colour = false;
        let lines = [
            format!("facteur/pickup[1]: {one}: uid=0 from=<root>"),
            format!("facteur/qmgr[2]: {one}: from=<kevin@vm>, size=2, nrcpt=1 (queue active)"),
            format!("facteur/local[3]: {one}: to=<toto@vm>, relay=local, status=sent (delivered to mailbox)"),
            format!("facteur/local[3]: {two}: to=<kevinette@vm>, relay=local, status=bounced (x)"),
            format!("facteur/qmgr[2]: {one}: removed"),
            "facteur/imap(kevin)<529><x>: Disconnected: Logged out".to_owned(),
            "facteur/smtpd[4]: warning: strange".to_owned(),
            "sshd[4]: user=<kevin>".to_owned(),
        ];
        let numbered = lines.iter().enumerate();
        numbered.filter_map(|(at, line)| filter.pass(&format!("Nov 20 16:11:50 vm {line}")).map(|_| at)).collect()
    }

    #[test]
    fn filters() {
        let none = LogOptions::default;
        assert_eq!(shown(none()), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(shown(LogOptions { user: Some("Kevin".into()), ..none() }), [1, 2, 4, 5]);
        assert_eq!(shown(LogOptions { program: Some("imap".into()), ..none() }), [5]);
        let id = mail::QueueId::new(2_000_000, 7).name();
        assert_eq!(shown(LogOptions { id: Some(id), ..none() }), [3]);
        assert_eq!(shown(LogOptions { problems: true, ..none() }), [3, 6]);
    }
}
