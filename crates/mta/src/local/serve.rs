//! The loop: orders from qmgr in, decisions, replies out, the line in the log for each. One thread.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use config::Config;
use daemon::shutdown::Signals;
use daemon::{Channel, settled};
use handover::{Body, Expansion, Order, Outcome, Reply, Task};
use mail::EnhancedStatus;
use tokio::sync::mpsc;

use super::commits::Commits;
use super::decide::{Decider, Decision};
use super::line::Line;
use super::writer::{Job, Writers};
use crate::orders::{self, Door};
use crate::set_up;

/// What all connections share.
struct Local {
    decider: RefCell<Decider>,
    writers: RefCell<Rc<Writers>>,
    commits: Rc<Commits>,
    soft_bounce: std::cell::Cell<bool>,
}

/// An order whose outcome is awaited, with what its line in the log needs.
pub(super) struct Asked {
    order: Order,
    to: String,
    began: Instant,
    waited: Duration,
    /// A list that comes in parts.
    gathered: Vec<mail::Address>,
    replies: mpsc::UnboundedSender<Reply>,
    soft_bounce: bool,
}

/// Serves until SIGTERM.
pub(super) async fn run(config: Config, socket: OwnedFd) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let door = Door::new(socket).map_err(|e| e.to_string())?;
    let dir = config.dir().to_owned();
    let commits = Commits::new();
    let local = Rc::new(Local {
        decider: RefCell::new(Decider::new(&config)),
        writers: RefCell::new(Writers::new(&config, Rc::clone(&commits))),
        commits,
        soft_bounce: config.flag("soft_bounce").into(),
    });
    settled::tell();
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => return Ok(()),
            () = signals.reload() => {
                set_up::reload(&dir).iter().for_each(|config| local.renew(config));
                settled::tell();
            }
            connection = door.next() => drop(tokio::task::spawn_local(Rc::clone(&local).connection(connection))),
        }
    }
}

impl Local {
    fn renew(&self, config: &Config) {
        self.decider.replace(Decider::new(config));
        // The old writers finish what they have and end.
        self.writers.replace(Writers::new(config, Rc::clone(&self.commits)));
        self.soft_bounce.set(config.flag("soft_bounce"));
    }

    async fn connection(self: Rc<Self>, socket: OwnedFd) {
        let Ok(channel) = Channel::new(socket).map(Arc::new) else { return };
        let (replies, waiting) = mpsc::unbounded_channel();
        let mut sender = tokio::task::spawn_local(orders::send(channel.clone(), waiting));
        let take = |order, body| {
            self.take(order, body, &replies);
            Ok(())
        };
        orders::receive(&channel, &mut sender, take).await;
    }

    fn take(&self, order: Order, body: Body, replies: &mpsc::UnboundedSender<Reply>) {
        let decision = self.decider.borrow_mut().decide(&order);
        let active = SystemTime::UNIX_EPOCH + Duration::from_micros(order.active);
        let mut asked = Asked {
            to: order.recipient.to_string(),
            waited: SystemTime::now().duration_since(active).unwrap_or_default(),
            began: Instant::now(),
            gathered: Vec::new(),
            replies: replies.clone(),
            soft_bounce: self.soft_bounce.get(),
            order,
        };
        match decision {
            // What an alias stands for is no delivery: each part will have its own line.
            Decision::Answer(Outcome::Expanded(list)) => asked.pass_on(Outcome::Expanded(list)),
            Decision::Answer(outcome) => asked.finish(outcome),
            Decision::Write(writing) => {
                asked.to = writing.recipient.to_string();
                let order = &asked.order;
                let task = Task {
                    number: 0,
                    id: order.id,
                    sender: order.sender.clone(),
                    original: order.original.clone().unwrap_or_else(|| writing.recipient.clone()),
                    recipient: writing.recipient,
                    extension: writing.extension,
                    offset: order.offset,
                    length: order.length,
                    what: writing.what,
                };
                let writers = Rc::clone(&self.writers.borrow());
                writers.submit(writing.owner, Job { task, body, asked, tries: 0, underway: self.commits.underway() });
            }
        }
    }
}

impl Asked {
    /// An order that came just now.
    #[cfg(test)]
    pub(super) fn now(order: Order, replies: mpsc::UnboundedSender<Reply>) -> Self {
        let (to, waited, gathered) = (order.recipient.to_string(), Duration::ZERO, Vec::new());
        Self { order, to, began: Instant::now(), waited, gathered, replies, soft_bounce: false }
    }

    /// Takes what the writer said; true when that was the last word.
    pub(super) fn heard(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Expanding(list) => {
                self.gathered.extend(list);
                false
            }
            Outcome::Expanded(Expansion { into, owner }) => {
                let mut all = std::mem::take(&mut self.gathered);
                all.extend(into);
                self.finish(Outcome::Expanded(Expansion { into: all, owner }));
                true
            }
            other => {
                self.finish(other);
                true
            }
        }
    }

    /// Logs and passes on.
    pub(super) fn finish(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Bounced(dsn, text) if self.soft_bounce => {
                Outcome::Deferred(EnhancedStatus { class: 4, ..dsn }, text)
            }
            other => other,
        };
        let order = &self.order;
        let before = Duration::from_micros(order.active.saturating_sub(order.arrival));
        let line = Line {
            id: order.id,
            to: &self.to,
            original: order.original.as_ref(),
            relay: "local",
            delays: [before, self.waited, Duration::ZERO, self.began.elapsed()],
            outcome: &outcome,
        };
        tracing::info!("{line}");
        self.pass_on(outcome);
    }

    fn pass_on(&self, outcome: Outcome) {
        for reply in (Reply { number: self.order.number, outcome }).split() {
            // When qmgr is gone nobody needs the reply: it asks again after its restart.
            let _ = self.replies.send(reply);
        }
    }
}
