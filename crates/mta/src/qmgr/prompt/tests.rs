//! What qmgr does about a message on loan, by what it is told and in which order.

use handover::{Outcome, Reply};
use mail::{Address, EnhancedStatus, Envelope, Recipient};
use spool::{Origin, Spool};

use super::*;
use crate::cleanup::Cleanup;
use crate::qmgr::deliver::{Locals, Relays};
use crate::qmgr::link::{Event as Link, Sending};
use crate::qmgr::run::Begin;

/// qmgr without a disk, and all whom it speaks to.
struct Bench {
    qmgr: Qmgr,
    spool: Spool,
    _dir: tempfile::TempDir,
    orders: UnboundedReceiver<Sending>,
    fetched: std::sync::mpsc::Receiver<Fetch>,
    answers: UnboundedReceiver<Answer>,
    lender: Lender,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let spool = Spool::create(&durable::Dir::open(dir.path()).expect("open")).expect("a spool");
        let config = config::Config::load(dir.path()).expect("a configuration");
        let (fetch, fetched) = std::sync::mpsc::channel();
        let (to_local, orders) = unbounded_channel();
        let relays = Relays::new(unbounded_channel().0, crate::qmgr::pace(&config));
        let policy = crate::qmgr::policy(&config);
        let begin = Begin { router: routes::Router::new(&config), cleanup: Cleanup::new(&config), policy };
        let mut qmgr = Qmgr::new((fetch, std::sync::mpsc::channel().0), Locals::new(to_local), relays, begin);
        qmgr.most_active = 10;
        qmgr.local_happened(Link::Up(1));
        let (answers, said) = unbounded_channel();
        let lender = Lender { connection: 7, answers };
        Self { qmgr, spool, _dir: dir, orders, fetched, answers: said, lender }
    }

    fn offer(&mut self, users: &[&str]) -> QueueId {
        let recipient = |user: &&str| Recipient::new(Address::parse(&format!("{user}@localhost")).expect("an address"));
        let envelope = Envelope { recipients: users.iter().map(recipient).collect(), ..Envelope::default() };
        let mut message = self.spool.enter(&envelope, &Origin::Internal);
        message.write(b"Subject: x\n\nx\n").expect("in memory");
        let file = File::from_octets(message.image().expect("an image").into());
        let id = message.id();
        self.qmgr.lender_said(Event::Offered(self.lender.clone(), id, file));
        self.qmgr.give_out();
        id
    }

    /// What becomes of the next order.
    fn deliver(&mut self, outcome: Outcome) {
        let Sending { order, .. } = self.orders.try_recv().expect("an order");
        self.qmgr.local_happened(Link::Replies(vec![Reply { number: order.number, outcome }]));
    }

    fn said(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// It stands in `incoming`: what is done about it.
    fn comes(&mut self, id: QueueId) -> &'static str {
        while self.fetched.try_recv().is_ok() {}
        self.qmgr.came(id);
        self.qmgr.take_up();
        match self.fetched.try_recv() {
            Ok(Fetch::Adopt(it)) if it == id => "adopted",
            Ok(Fetch::Discard(it)) if it == id => "discarded",
            Ok(Fetch::Take(it, Queue::Incoming)) if it == id => "taken",
            _ => "left",
        }
    }
}

fn sent() -> Outcome {
    Outcome::Sent(EnhancedStatus::OK, "delivered".into())
}

fn later() -> Outcome {
    Outcome::Deferred(EnhancedStatus::new(4, 2, 0), "not now".into())
}

#[test]
fn delivered_is_said_when_all_mailboxes_have_it() {
    let mut bench = Bench::new();
    let id = bench.offer(&["kevin", "foo"]);
    bench.deliver(sent());
    assert_eq!(bench.said(), None);
    bench.deliver(sent());
    assert_eq!(bench.said(), Some(Answer::Delivered(id)));
}

#[test]
fn what_one_recipient_does_not_take_is_to_be_committed_and_goes_on_then() {
    let mut bench = Bench::new();
    let id = bench.offer(&["kevin", "foo"]);
    bench.deliver(later());
    bench.deliver(sent());
    assert_eq!(bench.said(), Some(Answer::Commit(id)));
    assert_eq!((bench.said(), bench.comes(id)), (None, "adopted"));
    assert_eq!(bench.comes(id), "left", "it is told of twice and moved once");
    bench.qmgr.adopted(id, Some(File::in_memory(b"").expect("a file")));
    assert!(!bench.qmgr.owes());
}

/// Each of these is delivered already when it comes.
#[test]
fn what_is_committed_in_vain_goes() {
    type Between = fn(&mut Bench, QueueId);
    let table: [(&str, Between, &str); 6] = [
        ("the lender hears it", |bench, id| bench.qmgr.lender_said(Event::LetGo(id)), "taken"),
        ("it was being taken back", |bench, id| bench.qmgr.lender_said(Event::TakenBack(id)), "discarded"),
        ("the lender is lost", |bench, _| bench.qmgr.lender_said(Event::Gone(7)), "discarded"),
        ("another one is lost", |bench, _| bench.qmgr.lender_said(Event::Gone(8)), "discarded"),
        (
            "it was being taken back and the lender is lost",
            |bench, id| {
                bench.qmgr.lender_said(Event::TakenBack(id));
                bench.qmgr.lender_said(Event::Gone(7));
            },
            "discarded",
        ),
        ("we are told to end", |bench, _| bench.qmgr.close(), "discarded"),
    ];
    for (name, between, becomes) in table {
        let mut bench = Bench::new();
        let id = bench.offer(&["kevin"]);
        bench.deliver(sent());
        between(&mut bench, id);
        assert_eq!(bench.comes(id), becomes, "{name}");
    }
}

/// The other order: it is delivered when its lender is gone already.
#[test]
fn an_orphan_that_is_delivered_is_not_delivered_again() {
    let mut bench = Bench::new();
    let id = bench.offer(&["kevin"]);
    bench.qmgr.lender_said(Event::Gone(7));
    bench.deliver(sent());
    assert_eq!(bench.comes(id), "discarded");
    let id = bench.offer(&["kevin"]);
    bench.qmgr.lender_said(Event::Gone(7));
    assert_eq!(bench.comes(id), "adopted", "while it is being delivered");
    let id = bench.offer(&["kevin"]);
    bench.qmgr.lender_said(Event::Gone(7));
    bench.deliver(sent());
    bench.deliver(later());
    assert_eq!(bench.comes(id), "taken", "not delivered");
}

/// qmgr that ends waits for what it has delivered and its lender commits.
#[test]
fn what_is_taken_back_is_waited_for_at_the_end() {
    let mut bench = Bench::new();
    let id = bench.offer(&["kevin"]);
    bench.deliver(sent());
    bench.qmgr.close();
    assert!(!bench.qmgr.owes());
    bench.qmgr.lender_said(Event::TakenBack(id));
    assert!(bench.qmgr.owes());
    assert_eq!(bench.comes(id), "discarded");
    assert!(!bench.qmgr.owes());
}

#[test]
fn nothing_is_borrowed_at_the_end_and_what_is_on_loan_is_asked_for() {
    let mut bench = Bench::new();
    let id = bench.offer(&["kevin"]);
    bench.qmgr.close();
    assert_eq!(bench.said(), Some(Answer::Commit(id)));
    let late = bench.offer(&["kevin"]);
    assert_eq!(bench.said(), Some(Answer::Commit(late)));
    assert!(bench.qmgr.owes());
}

#[test]
fn of_lost_lenders_only_so_many_messages_are_remembered() {
    let mut delivered = Delivered::default();
    let id = |number| QueueId::new(number, 0);
    for number in 0..MOST_LEFT as u64 {
        assert_eq!(delivered.leave(id(number)), None);
    }
    assert!(delivered.let_go(id(0)) && !delivered.let_go(id(0)));
    assert_eq!(delivered.leave(id(8000)), None, "the oldest is gone already");
    assert_eq!(delivered.leave(id(8001)), Some(id(1)));
    assert!(delivered.left.len() <= MOST_LEFT && delivered.len() == MOST_LEFT);
}
