//! What qmgr tells of its destinations to whoever connects to `QUEUE/public/destinations` (`facteur destinations`).
//!
//! ```text
//! facteur destinations 1
//! smtp:x.org TAB parked TAB 1 TAB 0 TAB 12 TAB 310 TAB 0 TAB 3 TAB 240 TAB 60 TAB connect to x.org[192.0.2.1]:25: …
//! ```
//! A line for each: name, `open` or `parked`, window, deliveries open now, recipients that wait for a turn, messages that are
//! deferred for it alone, deliveries in the last minute, deliveries in all, seconds to the next try, seconds since the last
//! answer, that answer. `-` stands for what is not known.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

use super::run::Qmgr;
use super::windows::{Line, Verdict};

/// The first line.
const HEAD: &str = "facteur destinations 1\n";
/// How long somebody who asks may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The socket, taking the place of a dead one. Everybody who gets into `public` may ask, as with `mailq`.
pub(super) fn listen(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Writes the answer, apart from the loop.
pub(super) fn answer(mut asker: UnixStream, text: String) {
    tokio::spawn(async move { tokio::time::timeout(PATIENCE, asker.write_all(text.as_bytes())).await });
}

impl Qmgr {
    /// All destinations, as the head of this file says.
    pub(super) fn destinations(&self) -> String {
        let mut text = HEAD.to_owned();
        let deferred = self.tied();
        let mut lines: Vec<_> = self.relays.windows.lines().collect();
        lines.sort_unstable_by_key(|(name, _)| *name);
        for (name, line) in lines {
            let _ = writeln!(text, "{name}\t{}", described(line, deferred.get(name).copied().unwrap_or_default()));
        }
        text
    }
}

fn described(line: &Line, deferred: usize) -> String {
    let (waiting, open) = line.load();
    let (state, next) = match line.parked() {
        Some(parked) => ("parked", parked.until.saturating_duration_since(Instant::now()).as_secs().to_string()),
        None => ("open", "-".to_owned()),
    };
    let (ago, said) = match &line.last {
        None => ("-".to_owned(), "-".to_owned()),
        Some((at, Verdict::Fails(_, text))) => (at.elapsed().as_secs().to_string(), mail::event::escaped(text).into()),
        Some((at, Verdict::Lives | Verdict::Nothing)) => (at.elapsed().as_secs().to_string(), "it answered".to_owned()),
    };
    let (window, rate, made) = (line.window(), line.rate(), line.made);
    format!("{state}\t{window}\t{open}\t{waiting}\t{deferred}\t{rate}\t{made}\t{next}\t{ago}\t{said}")
}

#[cfg(test)]
mod tests {
    use super::super::windows::{Age, Pace, Windows};
    use super::*;
    use mail::{EnhancedStatus, QueueId};

    #[test]
    fn a_line_has_its_eleven_fields() {
        let pace =
            Pace { cohorts: 1.0, rest: (Duration::from_secs(300), Duration::from_secs(300)), ..Pace::even(10, 1) };
        let mut windows = Windows::new(pace);
        let name = windows.push("smtp:x.org", (QueueId::new(1, 1), 0), Age::Fresh);
        let shown = |windows: &Windows| described(windows.lines().next().expect("one").1, 7);
        assert_eq!(shown(&windows), "open\t1\t0\t1\t7\t0\t0\t-\t-\t-");
        windows.serve().expect("its turn");
        windows.landed(&name, Verdict::Lives);
        assert_eq!(shown(&windows), "open\t1\t0\t0\t7\t1\t1\t-\t0\tit answered");
        windows.push("smtp:x.org", (QueueId::new(2, 1), 0), Age::Fresh);
        windows.serve().expect("its turn");
        windows.landed(&name, Verdict::Fails(EnhancedStatus::new(4, 4, 1), "no\troute".into()));
        assert_eq!(shown(&windows), "parked\t1\t0\t0\t7\t1\t1\t299\t0\tno?route");
    }
}
