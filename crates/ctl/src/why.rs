//! `facteur why ID`: why a message is still in the queue: for each recipient where it goes and which settings say so, what the
//! last try met, when the next one is, and how its next hop does.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use config::Config;
use durable::Dir;
use handover::Outcome;
use mail::QueueId;
use routes::{Route, Router, Way};
use spool::{Progress, Queue, QueueFile, Slot, Spool};

use crate::destinations::{self, Destination, time};

/// `facteur why`.
pub(crate) fn run(config: &Config, id: &str) -> Result<ExitCode> {
    let root = Path::new(config.text("queue_directory"));
    let spool = Dir::open(root).and_then(|dir| Spool::open(&dir)).with_context(|| format!("{}", root.display()))?;
    let gone = || anyhow!("{id} is not in the queue: it was delivered, returned or removed; see facteur trace {id}");
    let parsed = QueueId::parse(&id.to_ascii_uppercase()).ok_or_else(gone)?;
    let queue = Queue::ALL.into_iter().find(|queue| spool.dir(*queue).stat(&parsed.name()).is_ok()).ok_or_else(gone)?;
    let next = spool.dir(queue).stat(&parsed.name()).map(|meta| meta.mtime).ok();
    let file = spool.read(queue, parsed).map_err(|error| anyhow!("{id} cannot be read: {error}"))?;
    println!("{parsed} {}", place(queue, next));
    // Without qmgr there is still something to tell.
    let known = destinations::ask(config).unwrap_or_default();
    let router = Router::new(config);
    for (_, slot) in file.open_slots() {
        explain(&file, slot, &router, &known);
    }
    Ok(ExitCode::SUCCESS)
}

fn place(queue: Queue, next: Option<SystemTime>) -> String {
    match queue {
        Queue::Incoming => "has come in and waits for qmgr to take it up".into(),
        Queue::Active => "is being delivered".into(),
        Queue::Hold => "is on hold: facteur queue release, or delete".into(),
        Queue::Corrupt => "is damaged and is not delivered".into(),
        Queue::Deferred => match next.and_then(|at| at.duration_since(SystemTime::now()).ok()) {
            Some(left) => format!("waits: the next try is in {}", time(left.as_secs())),
            None => "waits: the next try is due".into(),
        },
    }
}

fn explain(file: &QueueFile, slot: &Slot, router: &Router, known: &[Destination]) {
    let sender = slot.sender.as_ref().or(file.envelope.reverse_path.as_ref());
    let Route { way, because } = match &file.envelope.filter {
        Some(filter) => Route {
            way: Router::filter(filter, &slot.recipient.address),
            because: vec![("content_filter".into(), filter.clone())],
        },
        None => router.route(sender, &slot.recipient.address),
    };
    println!("\n{}", slot.recipient.address);
    match &slot.progress {
        Progress::Deferred { at, reason, .. } => {
            let ago = at.elapsed().unwrap_or(Duration::ZERO).as_secs();
            println!("  last try   {} ago: {}", time(ago), mail::event::escaped(reason));
        }
        Progress::New => println!("  last try   none"),
        Progress::Sent | Progress::Bounced | Progress::Expanded => {}
    }
    println!("  goes       {}", shown(&way));
    for (name, value) in because {
        println!("  because    {name}: {value}");
    }
    if let Way::Relay { transport, hop } = &way
        && let Some(one) = known.iter().find(|one| one.name == format!("{transport}:{}", hop.text))
    {
        println!("  next hop   {}", health(one));
    }
}

fn shown(way: &Way) -> String {
    match way {
        Way::Local => "into a mailbox of this machine".into(),
        Way::Relay { transport, hop } => format!("by {transport} to {}", hop.text),
        Way::Settled(Outcome::Sent(_, text)) => format!("nowhere, and counts as delivered: {text}"),
        Way::Settled(Outcome::Deferred(_, text)) => format!("nowhere for now: {text}"),
        Way::Settled(Outcome::Bounced(_, text)) => format!("back to its sender: {text}"),
        Way::Settled(Outcome::Expanding(_) | Outcome::Expanded(_)) => "to other recipients".into(),
        Way::Hold(text) => format!("aside: {text}"),
    }
}

fn health(one: &Destination) -> String {
    let said = one.answer.as_deref().unwrap_or("no answer yet");
    match (one.parked, one.next_try) {
        (true, Some(next)) => format!("left in peace for {}, since: {said}", time(next)),
        _ => format!("{} of {} deliveries under way, {} in the last minute; {said}", one.open, one.window, one.rate),
    }
}
