//! For tests: qmgr with its disk and its door to lenders, and somebody in the test who stands in for `local`.

use std::path::Path;
use std::time::Duration;

use handover::{Body, Order, Outcome, Reply};
use mail::QueueId;
use routes::Router;
use spool::Spool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::deliver::{Locals, Relays};
use super::disk::{self, Report};
use super::link::{Event, Sending};
use super::prompt;
use super::run::{Begin, Qmgr};
use crate::cleanup::Cleanup;

/// What is asked of the stand-in, and where the outcome goes.
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) body: Body,
    pub(crate) outcome: UnboundedSender<Reply>,
}

/// A qmgr that is not running yet.
pub(crate) struct Rig {
    qmgr: Qmgr,
    lent: UnboundedReceiver<prompt::Event>,
    reported: UnboundedReceiver<Report>,
    orders: UnboundedReceiver<Sending>,
}

impl Asked {
    /// Tells what became of it.
    pub(crate) fn answer(self, outcome: Outcome) {
        let _ = self.outcome.send(Reply { number: self.order.number, outcome });
    }
}

impl Rig {
    /// With its sockets below `queue`, on a real disk, and its messages in a spool that may be elsewhere.
    pub(crate) fn new(queue: &Path, spool: Spool) -> Self {
        let config = config::Config::load(queue).expect("a configuration");
        let lent = prompt::open(queue).expect("a door");
        let (reports, reported) = unbounded_channel();
        let disk = disk::start(spool, super::policy(&config), reports).expect("threads");
        let (to_local, orders) = unbounded_channel();
        let relays = Relays::new(unbounded_channel().0, super::pace(&config));
        let begin =
            Begin { router: Router::new(&config), cleanup: Cleanup::new(&config), policy: super::policy(&config) };
        let mut qmgr = Qmgr::new(disk, Locals::new(to_local), relays, begin);
        qmgr.most_active = 100;
        qmgr.local_happened(Event::Up(1));
        Self { qmgr, lent, reported, orders }
    }

    /// Runs until the sender of wake-ups is dropped and nothing is left to do, or `is_over`.
    pub(crate) async fn serve(
        mut self,
        local: UnboundedSender<Asked>,
        mut woken: UnboundedReceiver<QueueId>,
        is_over: impl Fn() -> bool,
    ) {
        let (outcome, mut outcomes) = unbounded_channel();
        let mut ends = false;
        while !(is_over() || ends && self.qmgr.known.len() == self.qmgr.delivered.len()) {
            self.qmgr.take_up();
            self.qmgr.give_out();
            self.qmgr.note();
            tokio::select! {
                Some(report) = self.reported.recv() => self.qmgr.reported(report),
                Some(event) = self.lent.recv() => self.qmgr.lender_said(event),
                Some(Sending { order, body, .. }) = self.orders.recv() => {
                    let _ = local.send(Asked { order, body, outcome: outcome.clone() });
                }
                Some(reply) = outcomes.recv() => self.qmgr.local_happened(Event::Replies(vec![reply])),
                id = woken.recv(), if !ends => match id {
                    Some(id) => self.qmgr.heard(format!("{id}\n").as_bytes()),
                    None => ends = true,
                },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let Self { qmgr, mut reported, .. } = self;
        drop(qmgr);
        while reported.recv().await.is_some() {}
    }
}

/// How soon it is seen that all is over.
const LOOK: Duration = Duration::from_millis(5);
