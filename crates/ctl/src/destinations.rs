//! `facteur destinations`: how each next hop does: its window, its rate, its last answer, when it is tried next.
//!
//! qmgr tells (`QUEUE/public/destinations`); while it does not run there is nothing to tell.

use std::fmt;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use config::Config;
use serde::Serialize;

/// One next hop, as qmgr sees it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Destination {
    /// Transport and next hop.
    pub(crate) name: String,
    /// Its mail waits until it is tried again.
    pub(crate) parked: bool,
    /// Most deliveries at one time.
    pub(crate) window: u64,
    /// Deliveries now.
    pub(crate) open: u64,
    /// Recipients that wait for a turn.
    pub(crate) waiting: u64,
    /// Deferred messages that wait for it alone.
    pub(crate) deferred: u64,
    /// Deliveries in the last minute.
    pub(crate) rate: u64,
    /// Deliveries since qmgr started.
    pub(crate) delivered: u64,
    /// Seconds until it is tried.
    pub(crate) next_try: Option<u64>,
    /// Seconds since its last answer.
    pub(crate) answered: Option<u64>,
    /// That answer.
    pub(crate) answer: Option<String>,
}

/// `facteur destinations`.
pub(crate) fn run(config: &Config, json: bool) -> Result<ExitCode> {
    let list = ask(config)?;
    match json {
        true => list.iter().try_for_each(|one| serde_json::to_string(one).map(|line| println!("{line}")))?,
        false if list.is_empty() => println!("No mail has gone to another machine since qmgr started."),
        false => {
            println!("{HEAD}");
            list.iter().for_each(|one| println!("{one}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What qmgr says.
pub(crate) fn ask(config: &Config) -> Result<Vec<Destination>> {
    let path = Path::new(config.text("queue_directory")).join("public/destinations");
    let mut stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => anyhow!("{}: only root may ask", path.display()),
        _ => anyhow!("qmgr does not run, so nothing is known of destinations"),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("qmgr does not answer")?;
    let rows = text.strip_prefix("facteur destinations 1\n").ok_or_else(|| anyhow!("qmgr is of another version"))?;
    rows.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Destination> {
    let fields: Vec<&str> = line.splitn(11, '\t').collect();
    let [name, state, window, open, waiting, deferred, rate, delivered, next_try, answered, answer] = fields[..] else {
        bail!("qmgr is of another version");
    };
    let some = |text: &str| if text == "-" { Ok(None) } else { text.parse().map(Some) };
    Ok(Destination {
        name: name.to_owned(),
        parked: state == "parked",
        window: window.parse()?,
        open: open.parse()?,
        waiting: waiting.parse()?,
        deferred: deferred.parse()?,
        rate: rate.parse()?,
        delivered: delivered.parse()?,
        next_try: some(next_try)?,
        answered: some(answered)?,
        answer: (answer != "-").then(|| answer.to_owned()),
    })
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, window, open, waiting, deferred, rate, .. } = self;
        let next = self.next_try.map_or_else(|| "now".to_owned(), time);
        write!(f, "{name:<32} {open:>3}/{window:<3} {waiting:>7} {deferred:>8} {rate:>6} {next:>8}")?;
        match (&self.answer, self.answered) {
            (Some(answer), Some(ago)) => write!(f, "  {} ago: {answer}", time(ago)),
            _ => Ok(()),
        }
    }
}

/// `45s`, `5m`, `1h10m`
pub(crate) fn time(seconds: u64) -> String {
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

const HEAD: &str = "destination                      now/most waiting deferred   /min next try  last answer";
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_qmgr_is_understood() {
        let line = "smtp:x.org\tparked\t1\t0\t12\t310\t0\t3\t240\t60\tconnect to x.org: Connection refused";
        let one = parse(line).expect("well formed");
        assert_eq!((one.parked, one.next_try, one.deferred), (true, Some(240), 310));
        let shown = "smtp:x.org                         0/1        12      310      0       4m  1m ago: connect to x.org: Connection refused";
        assert_eq!(one.to_string(), shown);
        assert_eq!(parse("smtp:y\topen\t5\t1\t0\t0\t7\t9\t-\t-\t-").expect("well formed").answer, None);
        assert!(parse("smtp:y\topen").is_err());
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0, 59, 60, 3600, 4260].map(time), ["0s", "59s", "1m", "1h", "1h11m"]);
    }
}
