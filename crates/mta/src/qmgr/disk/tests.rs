//! A disk that fails once: nothing is lost, nothing is done twice.

use durable::forgetful::Forgetful;
use mail::QueueId;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::qmgr::message::Message;
use crate::qmgr::tests::{enter, later, never, policy, sent, settlement};
use crate::qmgr::windows::Age;

/// After which what could not be done is tried again.
const SOON: Duration = Duration::from_millis(2);

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
        let (fetch, record) = start(spool.clone(), Policy { shortest: SOON, ..policy() }, said).expect("threads");
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

    /// Takes it up, whose turn it must be.
    fn message(&mut self, from: Queue) -> Message {
        let Report::Taken(_, Some(file), _) = self.take(from) else { panic!("not taken up") };
        Message::new(*file, Age::Fresh)
    }

    /// Takes it up, and has what is left of it done.
    fn deliver(&mut self, from: Queue, open: usize) {
        assert_eq!(self.deliver_rest(from).len(), open);
    }

    /// As [`Bench::deliver`]; returns who it was.
    fn deliver_rest(&mut self, from: Queue) -> Vec<usize> {
        let mut message = self.message(from);
        let open = message.open_slots();
        for slot in &open {
            message.take(*slot, sent());
        }
        self.record.send(Record::Settle(Box::new(settlement(message)))).expect("a thread");
        open
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
    let mut message = bench.message(Queue::Incoming);
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

/// Whatever fails once while one is delivered and the sender is to be told of the other: it is told or he is tried again, and
/// the first gets no second copy.
#[test]
fn what_cannot_be_recorded_goes_on_where_it_stopped() {
    for step in 0..12 {
        let mut bench = Bench::new();
        let mut message = bench.message(Queue::Incoming);
        message.take(0, sent());
        message.take(1, never());
        bench.disk.fail_at(bench.disk.steps() + step, nix::libc::EIO);
        bench.record.send(Record::Settle(Box::new(settlement(message)))).expect("a thread");
        let settled = loop {
            match bench.reports.blocking_recv() {
                Some(Report::Settled(_, settled)) => break settled,
                Some(Report::Entered(_)) => {}
                _ => panic!("neither settled nor told at {step}"),
            }
        };
        let mut again = Vec::new();
        if let Settled::Deferred(_) = settled {
            again = bench.deliver_rest(Queue::Deferred);
            assert_eq!(bench.settled(), Settled::Finished, "{step}");
        }
        let left = |queue: Queue| bench.spool.scan(queue).expect("listed").len();
        let notices = Queue::ALL.into_iter().map(left).sum::<usize>();
        let expected: &[usize] = if notices == 1 { &[] } else { &[1] };
        assert_eq!(again, expected, "{notices} notices at {step}");
    }
}

/// A note that fails is written with the next one, or at the end.
#[test]
fn what_cannot_be_noted_is_noted_with_the_rest() {
    for step in 0..3 {
        let mut bench = Bench::new();
        let mut message = bench.message(Queue::Incoming);
        message.take(0, sent());
        bench.disk.fail_at(bench.disk.steps() + step, nix::libc::EIO);
        let notes = std::mem::take(&mut message.notes);
        bench.record.send(Record::Note(bench.id, message.file.clone(), notes)).expect("a thread");
        assert!(matches!(bench.reports.blocking_recv(), Some(Report::Noted)));
        message.take(1, later());
        bench.record.send(Record::Settle(Box::new(settlement(message)))).expect("a thread");
        assert!(matches!(bench.settled(), Settled::Deferred(_)), "{step}");
        bench.deliver(Queue::Deferred, 1);
        assert_eq!(bench.settled(), Settled::Finished, "{step}");
    }
}
