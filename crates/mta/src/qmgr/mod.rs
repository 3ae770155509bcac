//! `qmgr`: owns the queue; decides what goes when, by which way and to whom, and what the sender is told.
//!
//! Runs as: `mail_owner`, jailed, without the net but for a look at the addresses of this machine. May read and write: the
//! queue (not mailboxes, not passwords). Speaks to: smtpd, whose small messages it delivers at once, over
//! `QUEUE/private/prompt`; `local` over `QUEUE/private/local`, `smtp` over `QUEUE/private/smtp`; hears wake-ups and the
//! operator on `QUEUE/public/qmgr`, tells of destinations on `QUEUE/public/destinations`. Exits with 0 on SIGTERM (what is
//! with `local` and `smtp` may finish first, for a few seconds), 1 when it cannot start.
//!
//! A wake-up may be lost: the directories are looked at every few seconds as well. In memory a deferred message is
//! sixteen octets; only messages in delivery are open.

pub mod control;
mod deliver;
pub mod disk;
pub mod link;
pub mod message;
mod prompt;
mod ready;
#[cfg(test)]
pub(crate) mod rig;
mod run;
pub mod settle;
mod state;
mod waiting;
pub mod windows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use config::Config;
use daemon::shutdown::Signals;
use daemon::{arguments, limits, settled};
use durable::Dir;
use privileges::{Exec, Jail, Network};
use routes::Router;
use spool::{Queue, Spool};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::bounce::Sender;
use crate::cleanup::Cleanup;
use crate::set_up;
use deliver::{Locals, OPEN_RELAYS, Relays};
use link::{Dialogue, Event, Sending};
use run::{Begin, Qmgr};
use settle::Policy;
use windows::{Each, Feedback, Pace};

/// How often `incoming` is looked at although nobody said anything.
const LOOK: Duration = Duration::from_secs(5);
/// How soon it is looked at after a wake-up: in a flood some of them are lost.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long deliveries under way may take when qmgr is told to end: longer than `smtp` lets them, so that what it says at its
/// own end is still heard, and less than master waits.
const LAST_WORDS: Duration = Duration::from_secs(9);
/// For so long after no more is borrowed a lender may be taking back what was just delivered, and commit it.
const CROSSING: Duration = Duration::from_millis(200);
/// Parts of messages older than this that nobody writes any more are removed.
const STALE: Duration = Duration::from_secs(3600);

/// The program.
pub fn main() -> ExitCode {
    arguments::run("qmgr", start)
}

fn start(dir: &Path) -> Result<(), String> {
    let config = set_up::begin("qmgr", dir)?;
    let descriptors = limits::raise_descriptors();
    let queue = Path::new(config.text("queue_directory"));
    let mut readable = set_up::system_files();
    readable.push(dir);
    let tables = directories(&config);
    readable.extend(tables.iter().map(PathBuf::as_path));
    let jail = Jail { read_only: &readable, read_write: &[queue], exec: Exec::Never, network: Network::Look };
    set_up::give_up_power(&config, &jail).map_err(|e| e.to_string())?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let root = Dir::open(queue).map_err(|e| format!("{}: {e}", queue.display()))?;
    let spool = Spool::open(&root).map_err(|e| format!("{}: {e}", queue.display()))?;
    if let Err(error) = spool.clean(STALE) {
        tracing::warn!("cannot clean incoming: {error}");
    }
    let runtime =
        daemon::runtime::build(&mut tokio::runtime::Builder::new_current_thread()).map_err(|e| e.to_string())?;
    runtime.block_on(serve(config, spool, descriptors))
}

/// Where its tables are. Directories rather than files, since editors replace files.
pub(crate) fn directories(config: &Config) -> Vec<PathBuf> {
    let mut tables = Cleanup::new(config).directories();
    tables.extend(Router::new(config).files().into_iter().filter_map(|file| file.parent().map(Path::to_owned)));
    tables
}

async fn serve(config: Config, spool: Spool, descriptors: usize) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let queue = Path::new(config.text("queue_directory"));
    let ears = listen(&queue.join("public/qmgr")).map_err(|e| format!("{}/public/qmgr: {e}", queue.display()))?;
    let askers = state::listen(&queue.join("public/destinations"))
        .map_err(|e| format!("{}/public/destinations: {e}", queue.display()))?;
    let mut lent = prompt::open(queue)?;
    let (reports, mut reported) = unbounded_channel();
    let disk = disk::start(spool, policy(&config), reports).map_err(|e| e.to_string())?;
    let (orders, mut happened) = link::<link::Local>(queue);
    let (relays, mut relayed) = link::<link::Smtp>(queue);
    let begin = Begin { router: Router::new(&config), cleanup: Cleanup::new(&config), policy: policy(&config) };
    let mut qmgr = Qmgr::new(disk, Locals::new(orders), Relays::new(relays, pace(&config)), begin);
    configure(&mut qmgr, &config, descriptors);
    qmgr.scan_all();
    let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
    let run_delay = config.time("queue_run_delay").max(Duration::from_secs(1));
    let mut look_at_deferred = tokio::time::interval_at(Instant::now() + run_delay, run_delay);
    let mut datagram = vec![0; 64 * 1024];
    let mut look_again = None;
    settled::tell();
    loop {
        qmgr.take_up();
        qmgr.give_out();
        qmgr.note();
        let due = qmgr.next_due().unwrap_or(LOOK).max(Duration::from_millis(10));
        tokio::select! {
            Some(report) = reported.recv() => with_more(report, &mut reported).for_each(|report| qmgr.reported(report)),
            Some(event) = happened.recv() => with_more(event, &mut happened).for_each(|event| qmgr.local_happened(event)),
            Some(event) = relayed.recv() => with_more(event, &mut relayed).for_each(|event| qmgr.relay_happened(event)),
            Some(event) = lent.recv() => with_more(event, &mut lent).for_each(|event| qmgr.lender_said(event)),
            received = ears.recv(&mut datagram) => if let Ok(length) = received {
                qmgr.heard(&datagram[..length]);
                while let Ok(length) = ears.try_recv(&mut datagram) {
                    qmgr.heard(&datagram[..length]);
                }
                look_again.get_or_insert_with(|| Instant::now() + LOOK_AGAIN);
            },
            () = tokio::time::sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => {
                look_again = None;
                qmgr.scan(Queue::Incoming);
            }
            Ok((asker, _)) = askers.accept() => state::answer(asker, qmgr.destinations()),
            _ = look.tick() => qmgr.look(),
            _ = look_at_deferred.tick() => qmgr.scan(Queue::Deferred),
            () = tokio::time::sleep(due) => {}
            () = signals.reload() => {
                set_up::reload(config.dir()).iter().for_each(|config| configure(&mut qmgr, config, descriptors));
                settled::tell();
            }
            () = signals.stop.cancelled() => break,
        }
    }
    end(qmgr, (happened, relayed), reported, (ears, lent)).await;
    Ok(())
}

/// The first, and what has come in the meantime.
fn with_more<T>(first: T, from: &mut UnboundedReceiver<T>) -> impl Iterator<Item = T> {
    std::iter::once(first).chain(std::iter::from_fn(|| from.try_recv().ok()))
}

/// Our ends of a connection to a delivery program.
type Ends<D> = (UnboundedSender<Sending<<D as Dialogue>::Order>>, UnboundedReceiver<Event<<D as Dialogue>::Reply>>);

/// Keeps a connection to a delivery program: orders in, what happens out.
fn link<D: Dialogue + 'static>(queue: &Path) -> Ends<D> {
    let (orders, given) = unbounded_channel();
    let (events, happened) = unbounded_channel();
    tokio::spawn(link::keep::<D>(queue.join("private").join(D::PROGRAM), given, events));
    (orders, happened)
}

/// Lets what is with the delivery programs finish, notes it, and waits for the recorder.
async fn end(
    mut qmgr: Qmgr,
    (mut happened, mut relayed): (UnboundedReceiver<Event>, UnboundedReceiver<Event<handover::Report>>),
    mut reported: UnboundedReceiver<disk::Report>,
    (ears, mut lent): (UnixDatagram, UnboundedReceiver<prompt::Event>),
) {
    let deadline = Instant::now() + LAST_WORDS;
    let crossed = Instant::now() + CROSSING;
    let mut datagram = vec![0; 64 * 1024];
    qmgr.close();
    while !qmgr.is_at_rest() || qmgr.owes() || qmgr.delivered.len() > 0 && Instant::now() < crossed {
        tokio::select! {
            Some(event) = happened.recv() => qmgr.local_happened(event),
            Some(event) = relayed.recv() => qmgr.relay_happened(event),
            Some(report) = reported.recv() => qmgr.reported(report),
            Some(event) = lent.recv() => qmgr.lender_said(event),
            Ok(length) = ears.recv(&mut datagram) => qmgr.heard(&datagram[..length]),
            () = tokio::time::sleep_until(crossed), if Instant::now() < crossed => {}
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    qmgr.note_all();
    // The recorder ends when qmgr is gone and all its work is done.
    drop(qmgr);
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline, reported.recv()).await {}
}

fn configure(qmgr: &mut Qmgr, config: &Config, descriptors: usize) {
    qmgr.policy(policy(config));
    qmgr.router = Router::new(config);
    qmgr.cleanup = Cleanup::new(config);
    qmgr.relays.windows.set(pace(config));
    qmgr.soft_bounce = config.flag("soft_bounce");
    let wanted = usize::try_from(config.number("qmgr_message_active_limit")).unwrap_or(usize::MAX);
    // Each message in delivery has its file open twice: here and for local.
    qmgr.most_active = wanted.min(descriptors.saturating_sub(64) / 2).max(1);
}

fn policy(config: &Config) -> Policy {
    Policy {
        sender: Sender::new(config),
        shortest: config.time("minimal_backoff_time"),
        longest: config.time("maximal_backoff_time"),
        lifetime: config.time("maximal_queue_lifetime"),
        bounce_lifetime: config.time("bounce_queue_lifetime"),
        warn_after: config.time("delay_warning_time"),
    }
}

/// How deliveries to one next hop open and close.
fn pace(config: &Config) -> Pace {
    let feedback = |name: &str| Feedback::parse(config.text(name));
    let cohorts = u32::try_from(config.number("default_destination_concurrency_failed_cohort_limit")).unwrap_or(1);
    Pace {
        most: OPEN_RELAYS,
        each: each(config, ALL),
        by_transport: TRANSPORTS.iter().map(|(transport, names)| (*transport, each(config, *names))).collect(),
        success: feedback("default_destination_concurrency_positive_feedback"),
        failure: feedback("default_destination_concurrency_negative_feedback"),
        cohorts: cohorts.into(),
        rest: (config.time("minimal_backoff_time"), config.time("maximal_backoff_time")),
    }
}

/// How much a next hop gets, by the parameters of these names.
fn each(config: &Config, [initial, limit, together, delay]: [&str; 4]) -> Each {
    let count = |name: &str| usize::try_from(config.number(name)).unwrap_or(usize::MAX);
    Each { initial: count(initial), limit: count(limit), together: count(together), delay: config.time(delay) }
}

const ALL: [&str; 4] = [
    "initial_destination_concurrency",
    "default_destination_concurrency_limit",
    "default_destination_recipient_limit",
    "default_destination_rate_delay",
];
const TRANSPORTS: [(&str, [&str; 4]); 3] = [
    (
        "lmtp",
        [
            "lmtp_initial_destination_concurrency",
            "lmtp_destination_concurrency_limit",
            "lmtp_destination_recipient_limit",
            "lmtp_destination_rate_delay",
        ],
    ),
    (
        "relay",
        [
            "relay_initial_destination_concurrency",
            "relay_destination_concurrency_limit",
            "relay_destination_recipient_limit",
            "relay_destination_rate_delay",
        ],
    ),
    (
        "smtp",
        [
            "smtp_initial_destination_concurrency",
            "smtp_destination_concurrency_limit",
            "smtp_destination_recipient_limit",
            "smtp_destination_rate_delay",
        ],
    ),
];

/// The socket of wake-ups, taking the place of a dead one.
fn listen(path: &Path) -> std::io::Result<UnixDatagram> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixDatagram::bind(path)
}

#[cfg(test)]
mod tests;
