//! `qmgr`: owns the queue; decides what goes when and to whom, and what the sender is told.
//!
//! Runs as: `mail_owner`, jailed, without the net. May read and write: the queue (not mailboxes, not passwords). Speaks
//! to: `local` over `QUEUE/private/local`; hears wake-ups and the operator on `QUEUE/public/qmgr`. Exits with 0 on
//! SIGTERM (what is with `local` may finish first, for a few seconds), 1 when it cannot start.
//!
//! A wake-up may be lost: the directories are looked at every few seconds as well. In memory a deferred message is
//! sixteen octets; only messages in delivery are open.

pub mod control;
pub mod disk;
pub mod link;
pub mod message;
mod ready;
mod run;
pub mod settle;
pub mod windows;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use config::Config;
use daemon::shutdown::Signals;
use daemon::{arguments, limits, log};
use durable::Dir;
use privileges::{Exec, Jail, Network};
use spool::{Queue, Spool};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use crate::bounce::Sender;
use crate::set_up;
use run::Qmgr;
use settle::Policy;

/// How often `incoming` is looked at although nobody said anything.
const LOOK: Duration = Duration::from_secs(5);
/// How soon it is looked at after a wake-up: in a flood some of them are lost.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long local may finish what it has when qmgr is told to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Parts of messages older than this that nobody writes any more are removed.
const STALE: Duration = Duration::from_secs(3600);

/// The program.
pub fn main() -> ExitCode {
    let dir = match arguments::read_dir_only("qmgr") {
        Ok(dir) => dir,
        Err(status) => return status,
    };
    match start(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::fatal(problem);
            ExitCode::FAILURE
        }
    }
}

fn start(dir: &Path) -> Result<(), String> {
    let config = Config::load(dir).map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect::<String>())?;
    log::init("qmgr", &set_up::log(&config)).map_err(|e| e.to_string())?;
    let descriptors = limits::raise_descriptors();
    let queue = Path::new(config.text("queue_directory"));
    let mut readable = set_up::system_files();
    readable.push(dir);
    let jail = Jail { read_only: &readable, read_write: &[queue], exec: Exec::Never, network: Network::Deny };
    set_up::give_up_power(&config, &jail).map_err(|e| e.to_string())?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let root = Dir::open(queue).map_err(|e| format!("{}: {e}", queue.display()))?;
    let spool = Spool::open(&root).map_err(|e| format!("{}: {e}", queue.display()))?;
    if let Err(error) = spool.clean(STALE) {
        tracing::warn!("cannot clean incoming: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(serve(config, spool, descriptors))
}

async fn serve(config: Config, spool: Spool, descriptors: usize) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let queue = Path::new(config.text("queue_directory"));
    let ears = listen(&queue.join("public/qmgr")).map_err(|e| format!("{}/public/qmgr: {e}", queue.display()))?;
    let (reports, mut reported) = unbounded_channel();
    let (fetch, record) = disk::start(spool, policy(&config), reports).map_err(|e| e.to_string())?;
    let (orders, given) = unbounded_channel();
    let (events, mut happened) = unbounded_channel();
    tokio::spawn(link::keep::<link::Local>(queue.join("private/local"), given, events));
    let mut qmgr = Qmgr::new(fetch, record, orders);
    configure(&mut qmgr, &config, descriptors);
    for queue in [Queue::Active, Queue::Incoming, Queue::Deferred] {
        qmgr.scan(queue);
    }
    let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
    let run_delay = config.time("queue_run_delay").max(Duration::from_secs(1));
    let mut look_at_deferred = tokio::time::interval_at(Instant::now() + run_delay, run_delay);
    let mut datagram = vec![0; 64 * 1024];
    let mut look_again = None;
    loop {
        qmgr.take_up();
        qmgr.give_out();
        qmgr.note();
        let due = qmgr.next_due().unwrap_or(LOOK).max(Duration::from_millis(10));
        tokio::select! {
            Some(report) = reported.recv() => {
                std::iter::once(report).chain(std::iter::from_fn(|| reported.try_recv().ok())).for_each(|report| qmgr.reported(report));
            }
            Some(event) = happened.recv() => {
                std::iter::once(event).chain(std::iter::from_fn(|| happened.try_recv().ok())).for_each(|event| qmgr.happened(event));
            }
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
            _ = look.tick() => qmgr.look(),
            _ = look_at_deferred.tick() => qmgr.scan(Queue::Deferred),
            () = tokio::time::sleep(due) => {}
            () = signals.reload() => match Config::load(config.dir()) {
                Ok(config) => configure(&mut qmgr, &config, descriptors),
                Err(_) => tracing::warn!("reload refused: the configuration has errors"),
            },
            () = signals.stop.cancelled() => break,
        }
    }
    end(qmgr, happened, reported).await;
    Ok(())
}

/// Lets what is with local finish, notes it, and waits for the recorder.
async fn end(
    mut qmgr: Qmgr,
    mut happened: UnboundedReceiver<link::Event>,
    mut reported: UnboundedReceiver<disk::Report>,
) {
    let deadline = Instant::now() + LAST_WORDS;
    while !qmgr.is_at_rest() {
        match tokio::time::timeout_at(deadline, happened.recv()).await {
            Ok(Some(event)) => qmgr.happened(event),
            Ok(None) | Err(_) => break,
        }
    }
    qmgr.note_all();
    // The recorder ends when qmgr is gone and all its work is done.
    drop(qmgr);
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline, reported.recv()).await {}
}

fn configure(qmgr: &mut Qmgr, config: &Config, descriptors: usize) {
    qmgr.policy(policy(config));
    qmgr.destinations = config.list("mydestination").into_iter().map(|domain| domain.to_lowercase()).collect();
    let wanted = usize::try_from(config.number("qmgr_message_active_limit")).unwrap_or(usize::MAX);
    // Each message in delivery has its file open twice: here and for local.
    qmgr.most_active = wanted.min(descriptors.saturating_sub(64) / 2).max(1);
}

fn policy(config: &Config) -> Policy {
    let lifetime = config.time("maximal_queue_lifetime");
    Policy {
        sender: Sender {
            host: config.text("myhostname").into(),
            mail_name: config.text("mail_name").into(),
            origin: config.text("myorigin").into(),
            size_limit: config.bytes("bounce_size_limit"),
            lifetime,
        },
        shortest: config.time("minimal_backoff_time"),
        longest: config.time("maximal_backoff_time"),
        lifetime,
        bounce_lifetime: config.time("bounce_queue_lifetime"),
        warn_after: config.time("delay_warning_time"),
    }
}

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
