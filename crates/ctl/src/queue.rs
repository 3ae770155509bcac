//! `facteur queue`: looking at the queue and acting on messages in it.
//!
//! Works on the files, so it works while the mail system is down too. A message that is moved keeps its record of who
//! has it already; qmgr is woken and finds it in `incoming`. Only root (or whoever runs the system in one directory) may
//! read the queue.

mod handback;
mod postfix_file;
mod report;
pub(crate) mod takeover;

use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use config::Config;
use daemon::log;
use durable::{Access, Dir};
use mail::QueueId;
use spool::{OpenError, Queue, QueueFile, Spool};

use crate::arguments::{QueueAction, Which};
use report::Report;

/// What is done to messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deed {
    Flush,
    Hold,
    Release,
    Delete,
    Requeue,
}

/// `facteur queue ...`; exit status 1 if a named message is not there.
pub(crate) fn run(config: &Config, action: &QueueAction) -> Result<ExitCode> {
    if let QueueAction::Import(options) = action {
        return takeover::run(config, options);
    }
    let spool = open(Path::new(config.text("queue_directory")))?;
    match action {
        QueueAction::Import(_) => {}
        QueueAction::Export => {
            keep_log(config)?;
            return handback::run(config, &spool);
        }
        QueueAction::List { json } => list(&spool, Path::new(config.text("queue_directory")), *json)?,
        QueueAction::Show { id, json } => show(&spool, id, *json)?,
        QueueAction::Cat { id } => cat(&spool, id)?,
        QueueAction::Flush(which) => return perform(config, &spool, Deed::Flush, which),
        QueueAction::Hold(which) => return perform(config, &spool, Deed::Hold, which),
        QueueAction::Release(which) => return perform(config, &spool, Deed::Release, which),
        QueueAction::Delete(which) => return perform(config, &spool, Deed::Delete, which),
        QueueAction::Requeue(which) => return perform(config, &spool, Deed::Requeue, which),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is done by hand stands in the log too: each message must be accounted for.
fn perform(config: &Config, spool: &Spool, deed: Deed, which: &Which) -> Result<ExitCode> {
    keep_log(config)?;
    act(spool, Path::new(config.text("queue_directory")), deed, which)
}

fn keep_log(config: &Config) -> Result<()> {
    let settings = log::Settings { name: config.text("syslog_name").into(), file: config.path("maillog_file") };
    log::init("queue", &settings).context("the log cannot be written")
}

fn open(root: &Path) -> Result<Spool> {
    let opened = Dir::open(root).and_then(|dir| Spool::open(&dir));
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("{} is no queue yet: start the mail system once", root.display()),
        io::ErrorKind::PermissionDenied => anyhow!("the queue in {} may be read by root only", root.display()),
        _ => anyhow!("{} cannot be opened: {error}", root.display()),
    })
}

/// Every message with its place; those that go away while we look are left out.
fn all(spool: &Spool, queues: &[Queue]) -> Result<Vec<(Queue, QueueId)>> {
    let mut found = Vec::new();
    for queue in queues {
        let ids = spool.scan(*queue).with_context(|| format!("the queue {} cannot be read", queue.name()))?;
        found.extend(ids.into_iter().map(|id| (*queue, id)));
    }
    Ok(found)
}

/// What programs of this machine dropped and pickup has not taken yet, as `mailq` shows it too. One that is damaged is
/// pickup's to put aside.
fn dropped(root: &Path) -> Result<Vec<Report>> {
    let dir = match Dir::open(&root.join("maildrop")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        dir => dir.context("maildrop cannot be read")?,
    };
    let entries = dir.entries().context("maildrop cannot be read")?;
    let ids = entries.into_iter().filter_map(|entry| QueueId::parse(&entry.name));
    let files = ids.filter_map(|id| QueueFile::open(&dir, id, Access::Read).ok());
    Ok(files.map(|file| Report::of("maildrop", &file)).collect())
}

fn list(spool: &Spool, root: &Path, json: bool) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut count, mut octets) = (0_u64, 0_u64);
    let queued = all(spool, &Queue::ALL)?.into_iter().map(|(queue, id)| report(spool, queue, id));
    for report in dropped(root)?.into_iter().map(|report| Ok(Some(report))).chain(queued) {
        let Some(report) = report? else { continue };
        match (json, count) {
            (true, _) => writeln!(out, "{}", serde_json::to_string(&report)?)?,
            (false, 0) => writeln!(out, "{}\n{report}", report::HEAD)?,
            (false, _) => writeln!(out, "\n{report}")?,
        }
        count += 1;
        octets += report.message_size;
    }
    match (json, count) {
        (true, _) => {}
        (false, 0) => writeln!(out, "Mail queue is empty")?,
        (false, 1) => writeln!(out, "\n-- {} Kbytes in 1 Request.", octets / 1024)?,
        (false, _) => writeln!(out, "\n-- {} Kbytes in {count} Requests.", octets / 1024)?,
    }
    out.flush()?;
    Ok(())
}

/// What is known of a message; `None` if it has gone.
fn report(spool: &Spool, queue: Queue, id: QueueId) -> Result<Option<Report>> {
    match spool.read(queue, id) {
        Ok(file) => Ok(Some(Report::of(queue.name(), &file))),
        Err(OpenError::Gone) => Ok(None),
        Err(OpenError::Damaged(damage)) => Ok(Some(Report::damaged(queue, id, damage))),
        Err(OpenError::Disk(error)) => Err(error).with_context(|| format!("{id} cannot be read")),
    }
}

fn find(spool: &Spool, id: &str) -> Result<(Queue, QueueId)> {
    let gone = || anyhow!("there is no message {id} in the queue");
    let parsed = QueueId::parse(&id.to_ascii_uppercase()).ok_or_else(gone)?;
    let place = || Queue::ALL.into_iter().find(|queue| spool.dir(*queue).stat(&parsed.name()).is_ok());
    // One that is moved while we look may be missed, but not twice.
    place().or_else(place).map(|queue| (queue, parsed)).ok_or_else(gone)
}

fn show(spool: &Spool, id: &str, json: bool) -> Result<()> {
    let (queue, id) = find(spool, id)?;
    let report = report(spool, queue, id)?.ok_or_else(|| anyhow!("{id} has just left the queue"))?;
    match json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{}", report.at_length()),
    }
    Ok(())
}

fn cat(spool: &Spool, id: &str) -> Result<()> {
    let (queue, id) = find(spool, id)?;
    let file: QueueFile = match spool.read(queue, id) {
        Ok(file) => file,
        Err(OpenError::Gone) => bail!("{id} has just left the queue"),
        Err(OpenError::Damaged(damage)) => bail!("{id} is damaged: {damage}"),
        Err(OpenError::Disk(error)) => return Err(error).with_context(|| format!("{id} cannot be read")),
    };
    content(&file, &mut io::stdout().lock())?;
    Ok(())
}

/// Writes the text of a message.
fn content(file: &QueueFile, out: &mut impl io::Write) -> io::Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    let mut at = file.content.start;
    while at < file.content.end {
        let left = usize::try_from(file.content.end - at).unwrap_or(usize::MAX);
        let part = chunk.get_mut(..left.min(64 * 1024)).unwrap_or_default();
        file.file.read_exact_at(part, at)?;
        out.write_all(part)?;
        at += part.len() as u64;
    }
    out.flush()
}

fn act(spool: &Spool, root: &Path, deed: Deed, which: &Which) -> Result<ExitCode> {
    let everything = which.ids.iter().any(|id| id == "ALL") || (which.ids.is_empty() && deed == Deed::Flush);
    let until = Instant::now() + MOMENT;
    let wait = || {
        std::thread::sleep(PAUSE);
        Instant::now() < until
    };
    let outcomes: Box<dyn Iterator<Item = Result<QueueId>>> = match (everything, which.ids.is_empty()) {
        (true, _) => Box::new(
            all(spool, deed.sources())?.into_iter().map(|(queue, id)| deed.perform(spool, queue, id).map(|()| id)),
        ),
        (false, true) => bail!("say which: queue ids, or ALL"),
        (false, false) => Box::new(which.ids.iter().map(|id| deed.perform_on(spool, id, wait))),
    };
    let (mut done, mut woken, mut code) = (0_u64, Vec::new(), ExitCode::SUCCESS);
    for outcome in outcomes {
        match outcome {
            Ok(id) => {
                tracing::info!("{id}: {}", deed.logged());
                done += 1;
                woken.push(id.name());
            }
            Err(error) => {
                eprintln!("facteur: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    settle(spool, deed)?;
    wake(root, &words(deed, everything, &woken));
    match which.json {
        true => println!("{}", serde_json::json!({ "deed": deed.name(), "messages": woken })),
        false if which.quiet => {}
        false => println!("{}: {done} message{}", deed.past(), if done == 1 { "" } else { "s" }),
    }
    Ok(code)
}

/// What qmgr is told. With everything, next hops that are left in peace are tried too; with single messages only by those.
fn words(deed: Deed, everything: bool, woken: &[String]) -> Vec<String> {
    match (deed, everything) {
        (Deed::Flush, true) => std::iter::once("wake".to_owned()).chain(woken.iter().cloned()).collect(),
        (Deed::Flush, false) => woken.iter().map(|id| format!("urgent {id}")).collect(),
        (Deed::Hold | Deed::Release | Deed::Delete | Deed::Requeue, _) => woken.to_vec(),
    }
}

/// Moves are made last before we say that they were.
fn settle(spool: &Spool, deed: Deed) -> Result<()> {
    let target = match deed {
        Deed::Hold => Queue::Hold,
        Deed::Delete => return Ok(()),
        Deed::Flush | Deed::Release | Deed::Requeue => Queue::Incoming,
    };
    spool.dir(target).sync_shared().with_context(|| format!("the queue {} cannot be synced", target.name()))
}

/// Tells qmgr to look. It looks by itself every now and then too, so a message that is lost does no harm.
fn wake(root: &Path, ids: &[String]) {
    let Ok(socket) = UnixDatagram::unbound() else { return };
    for some in ids.chunks(500) {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(some.join("\n").as_bytes(), root.join("public/qmgr"));
    }
}

impl Deed {
    /// The queues that `ALL` means.
    fn sources(self) -> &'static [Queue] {
        match self {
            Deed::Flush => &[Queue::Deferred],
            Deed::Hold => &[Queue::Incoming, Queue::Deferred],
            Deed::Release => &[Queue::Hold],
            Deed::Requeue => &[Queue::Deferred, Queue::Hold],
            Deed::Delete => &[Queue::Incoming, Queue::Deferred, Queue::Hold, Queue::Corrupt],
        }
    }

    /// On one message that was named. One that is being delivered, or moved under our hands, is looked for again while
    /// `wait` says so.
    fn perform_on(self, spool: &Spool, name: &str, wait: impl Fn() -> bool) -> Result<QueueId> {
        loop {
            let (queue, id) = find(spool, name)?;
            let done = self.perform(spool, queue, id);
            let is_busy = queue == Queue::Active && matches!(self, Self::Delete | Self::Hold);
            let moved = spool.dir(queue).stat(&id.name()).is_err();
            if done.is_ok() || !(is_busy || moved) || !wait() {
                return done.map(|()| id);
            }
        }
    }

    fn perform(self, spool: &Spool, queue: Queue, id: QueueId) -> Result<()> {
        let moved = |to| spool.shift(id, queue, to).with_context(|| format!("{id} cannot be moved"));
        match (self, queue) {
            (Deed::Delete | Deed::Hold, Queue::Active) => {
                bail!("{id} is being delivered right now: try again in a moment")
            }
            (Deed::Delete, _) => spool.remove(queue, id).with_context(|| format!("{id} cannot be removed")),
            (_, Queue::Corrupt) => bail!("{id} is damaged: it can only be deleted"),
            (Deed::Hold, Queue::Incoming | Queue::Deferred) => moved(Queue::Hold),
            (Deed::Release | Deed::Requeue, Queue::Hold) => moved(Queue::Incoming),
            (Deed::Flush | Deed::Requeue, Queue::Deferred) => moved(Queue::Incoming),
            (Deed::Release, _) => bail!("{id} is not held"),
            (Deed::Flush, Queue::Hold) => bail!("{id} is held: release it"),
            (Deed::Hold, Queue::Hold) | (Deed::Flush | Deed::Requeue, Queue::Incoming | Queue::Active) => Ok(()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Deed::Flush => "flush",
            Deed::Hold => "hold",
            Deed::Release => "release",
            Deed::Delete => "delete",
            Deed::Requeue => "requeue",
        }
    }

    /// As Postfix's postsuper logs it, which log tools know.
    fn logged(self) -> &'static str {
        match self {
            Deed::Flush => "tried again by hand",
            Deed::Hold => "placed on hold",
            Deed::Release => "released from hold",
            Deed::Delete => "removed by hand",
            Deed::Requeue => "requeued",
        }
    }

    fn past(self) -> &'static str {
        match self {
            Deed::Flush => "Tried again",
            Deed::Hold => "Placed on hold",
            Deed::Release => "Released from hold",
            Deed::Delete => "Deleted",
            Deed::Requeue => "Requeued",
        }
    }
}

/// How long messages that are being delivered are waited for, and how often they are looked for: most attempts take less.
const MOMENT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
