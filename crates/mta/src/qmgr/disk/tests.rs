//! A disk that fails once: nothing is lost, nothing is done twice.

use durable::forgetful::Forgetful;
use mail::QueueId;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::qmgr::message::Message;
use crate::qmgr::tests::{enter, policy, sent, settlement};
use crate::qmgr::windows::Age;

/// The threads, and a message in `incoming`.
struct Bench {
    disk: Forgetful,
    spool: Spool,
    id: QueueId,
    fetch: Sender<Fetch>,
    record: Sender<Record>,
    reports: UnboundedReceiver<Report>,
}

impl Bench {
    fn new() -> Self {
        let disk = Forgetful::new();
        let id = enter(&disk.root(), &["kevin@m3102.com", "foo@m3102.com"]);
        let spool = Spool::open(&disk.root()).expect("the spool");
        let (said, reports) = unbounded_channel();
        let (fetch, record) = start(spool.clone(), policy(), said).expect("threads");
        Self { disk, spool, id, fetch, record, reports }
    }

    /// The next changes fail, so many.
    fn fail(&self, count: u64) {
        (0..count).for_each(|step| self.disk.fail_at(self.disk.steps() + step, nix::libc::EIO));
    }

    fn take(&mut self, from: Queue) -> Report {
        self.fetch.send(Fetch::Take(self.id, from)).expect("a thread");
        self.reports.blocking_recv().expect("a report")
    }

    /// Takes it up, and has what is left of it done.
    fn deliver(&mut self, from: Queue, open: usize) {
        let Report::Taken(_, Some(file), _) = self.take(from) else { panic!("not taken up") };
        let mut message = Message::new(*file, Age::Fresh);
        assert_eq!(message.open, open);
        for slot in 0..open {
            message.take(slot, sent());
        }
        self.record.send(Record::Settle(Box::new(settlement(message)))).expect("a thread");
    }

    fn settled(&mut self) -> Settled {
        match self.reports.blocking_recv() {
            Some(Report::Settled(_, settled)) => settled,
            _ => panic!("not settled"),
        }
    }
}

#[test]
fn what_cannot_be_moved_to_active_is_tried_later() {
    let mut bench = Bench::new();
    bench.fail(1);
    assert!(matches!(bench.take(Queue::Incoming), Report::Later(..)));
    assert_eq!(bench.spool.scan(Queue::Incoming).expect("listed"), [bench.id]);
    bench.deliver(Queue::Incoming, 2);
    assert_eq!(bench.settled(), Settled::Finished);
}

/// Neither renamed nor unlinked when it was done: it is noted that all are, and the next try removes it.
#[test]
fn what_cannot_be_removed_is_not_delivered_again() {
    let mut bench = Bench::new();
    let Report::Taken(_, Some(file), _) = bench.take(Queue::Incoming) else { panic!("not taken up") };
    let mut message = Message::new(*file, Age::Fresh);
    for slot in 0..2 {
        message.take(slot, sent());
    }
    bench.fail(2);
    bench.record.send(Record::Settle(Box::new(settlement(message)))).expect("a thread");
    assert!(matches!(bench.settled(), Settled::Deferred(_)));
    assert_eq!(bench.spool.scan(Queue::Deferred).expect("listed"), [bench.id]);
    bench.deliver(Queue::Deferred, 0);
    assert_eq!(bench.settled(), Settled::Finished);
    for queue in Queue::ALL {
        assert_eq!(bench.spool.scan(queue).expect("listed"), [], "{queue:?}");
    }
}
