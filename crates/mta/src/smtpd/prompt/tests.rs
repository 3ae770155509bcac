//! Small messages on their way from a client through smtpd, qmgr and two mailboxes, all of them on one disk that forgets,
//! with the power cut before every step: whatever the client was promised is in its mailboxes or in the queue, and
//! nothing is half anywhere.
//!
//! smtpd's side and qmgr are the real ones, and speak over their socket; the test stands in for `local` and `mda`.

use std::rc::Rc;
use std::sync::Arc;

use durable::forgetful::{Cut, at_every_step, at_every_step_and_sync};
use durable::{Dir, File};
use handover::{Body, Outcome};
use mail::{Address, EnhancedStatus, Envelope, Recipient};
use mailstore::Content;
use mailstore::maildir::Delivery;
use spool::{Origin, Queue, Spool};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::qmgr::rig::{Asked, Rig};

const USERS: [&str; 2] = ["kevin", "foo"];
/// Longer than anything that is waited for.
const LONG: Duration = Duration::from_secs(20);

/// What the second recipient's mailbox does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foo {
    /// Takes mail as the first one's does.
    Quick,
    /// Takes it after the client has its answer.
    Slow,
    /// Takes none now.
    Full,
    /// Is slow, and the connection between smtpd and qmgr breaks meanwhile.
    Lost,
}

/// What a client knows.
struct Promised {
    /// Numbers of the messages, and whether they were said to be safe.
    messages: Vec<(u32, QueueId, Option<Safe>)>,
    /// All came to rest, and the power was there to the end.
    at_rest: bool,
}

/// Every other one is too long for a packet.
fn text(number: u32) -> String {
    let lines = if number.is_multiple_of(2) { 200 } else { 500 };
    format!("Subject: {number}\n\n{}", format!("This is line after line of message {number}.\n").repeat(lines))
}

fn prepare(root: &Dir) {
    Spool::create(root).expect("a spool");
    for user in USERS {
        root.make_dir(user, 0o700).expect("a home");
        let home = root.subdir(user).expect("a home");
        Delivery::open(&home, "Maildir", "host").expect("a Maildir");
    }
}

/// Sends messages one after another.
fn send(root: &Dir, foo: Foo) -> Promised {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let work = async { tokio::time::timeout(LONG, send_all(root, foo)).await.expect("an end") };
    LocalSet::new().block_on(&runtime, work)
}

async fn send_all(root: &Dir, foo: Foo) -> Promised {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("private")).expect("a directory");
    let is_cut = {
        let root = root.clone();
        move || root.meta().is_err()
    };
    let Ok(spool) = Spool::open(root) else { return Promised { messages: Vec::new(), at_rest: false } };
    let rig = Rig::new(dir.path(), spool.clone());
    let (asked, to_do) = unbounded_channel();
    let (wake, woken) = unbounded_channel();
    let (answered, of_answers) = watch::channel(Vec::new());
    let local = spawn_local(stand_in(root.clone(), to_do, foo, of_answers));
    let qmgr = spawn_local(rig.serve(asked, woken, is_cut.clone()));
    let committer = Committer::start().expect("threads");
    let kept = tokio::spawn(keep(committer.clone(), dir.path().to_owned()));
    while !committer.prompt.is_open() {
        tokio::task::yield_now().await;
    }
    let mut messages = Vec::new();
    for number in 0..2 {
        committer.prompt.link().rests_until = None;
        let (id, safe) = offer(&committer, &spool, (number, foo)).await;
        if let Some(Safe::Queued(id)) = safe {
            let _ = wake.send(id);
        }
        messages.push((number, id, safe));
        answered.send_modify(|ids| ids.push(id));
    }
    drop(wake);
    qmgr.await.expect("no panic");
    kept.abort();
    local.await.expect("no panic");
    Promised { messages, at_rest: !is_cut() }
}

/// One message of one client.
async fn offer(committer: &Committer, spool: &Spool, (number, foo): (u32, Foo)) -> (QueueId, Option<Safe>) {
    let address = |user: &&str| Recipient::new(Address::parse(&format!("{user}@localhost")).expect("an address"));
    let envelope = Envelope { recipients: USERS.iter().map(address).collect(), ..Envelope::default() };
    let mut message = spool.enter(&envelope, &Origin::Internal);
    let id = message.id();
    message.write(text(number).as_bytes()).expect("in memory");
    let lose = async {
        if foo == Foo::Lost {
            while committer.prompt.link().offered.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let lost = committer.prompt.link().socket.take();
            lost.into_iter()
                .for_each(|socket| rustix::net::shutdown(socket, rustix::net::Shutdown::Both).expect("shut"));
        }
        std::future::pending::<()>().await;
    };
    let safe = tokio::select! {
        safe = committer.commit(message) => safe,
        () = lose => unreachable!("it has no end"),
    };
    (id, safe.ok())
}

/// `local` and the writers of both mailboxes.
async fn stand_in(root: Dir, mut asked: UnboundedReceiver<Asked>, foo: Foo, answered: watch::Receiver<Vec<QueueId>>) {
    let slow = matches!(foo, Foo::Slow | Foo::Lost);
    let turn = Rc::new(tokio::sync::Mutex::new(()));
    while let Some(asked) = asked.recv().await {
        let user = USERS.iter().find(|user| **user == asked.order.recipient.local()).expect("one of ours");
        let (root, turn, mut answered) = (root.clone(), Rc::clone(&turn), answered.clone());
        let waits = *user == "foo" && slow;
        let refuses = *user == "foo" && foo == Foo::Full;
        spawn_local(async move {
            if waits {
                let _ = answered.wait_for(|ids| ids.contains(&asked.order.id)).await;
            }
            // One after the other: each run is to have the same steps.
            let _turn = turn.lock().await;
            let order = &asked.order;
            let range = order.offset..order.offset + order.length;
            let body = asked.body.clone();
            let write = move || deliver(&root, user, (&body, range));
            let outcome = if !refuses && tokio::task::spawn_blocking(write).await.expect("no panic") {
                Outcome::Sent(EnhancedStatus::OK, "delivered to maildir".into())
            } else {
                Outcome::Deferred(EnhancedStatus::new(4, 2, 0), "cannot write".into())
            };
            asked.answer(outcome);
        });
    }
}

/// What mda does.
fn deliver(root: &Dir, user: &str, (body, range): (&Body, std::ops::Range<u64>)) -> bool {
    let Ok(home) = root.subdir(user) else { return false };
    let Ok(maildir) = Delivery::open(&home, "Maildir", "host") else { return false };
    let file = match body {
        Body::File(file) => File::from_fd(file.try_clone().expect("a descriptor")),
        Body::Enclosed(octets) => File::from_octets(Arc::clone(octets)),
    };
    let content = Content { prefix: b"", file: &file, range };
    maildir.deliver_all(&[content]).iter().all(Result::is_ok)
}

/// The numbers of the messages in a mailbox, each of which must be whole.
fn mailbox(root: &Dir, user: &str) -> Vec<u32> {
    let new =
        ["Maildir", "new"].iter().fold(root.subdir(user).expect("a home"), |dir, name| dir.subdir(name).expect(name));
    let names = new.entries().expect("listed").into_iter().map(|entry| entry.name);
    names.map(|name| number(&durable::forgetful::content(&new, &name).expect("read"))).collect()
}

fn number(content: &[u8]) -> u32 {
    let found = (0..2).find(|number| text(*number).as_bytes() == content);
    found.unwrap_or_else(|| panic!("half a message: {} octets", content.len()))
}

/// What waits: the messages, each of which must be whole, and for whom.
fn waiting(root: &Dir) -> Vec<(QueueId, String)> {
    let spool = Spool::open(root).expect("a spool");
    spool.clean(Duration::ZERO).expect("cleaned");
    let mut found = Vec::new();
    for queue in [Queue::Incoming, Queue::Active, Queue::Deferred] {
        for id in spool.scan(queue).expect("listed") {
            let file = spool.read(queue, id).expect("readable");
            file.verify().expect("whole");
            found.extend(file.open_slots().map(|(_, slot)| (id, slot.recipient.address.local().to_owned())));
        }
    }
    found
}

fn check(foo: Foo, cut: Cut, promised: &Promised, root: &Dir) {
    let waiting = waiting(root);
    for user in USERS {
        let has = mailbox(root, user);
        for (number, id, safe) in &promised.messages {
            let waits = waiting.iter().filter(|(waits, whom)| waits == id && whom == user).count();
            let copies = has.iter().filter(|has| *has == number).count();
            assert!(safe.is_none() || copies + waits > 0, "{number} of {user}, {safe:?}, is lost at {cut:?}");
            if *safe == Some(Safe::Delivered) {
                assert!(copies > 0 && waits == 0, "{number} of {user} is not where it was said to be at {cut:?}");
            }
            if promised.at_rest {
                assert!(safe.is_some(), "{number} was refused with nothing wrong");
                let full = foo == Foo::Full && user == "foo";
                assert_eq!((copies, waits > 0), (usize::from(!full), full), "{number} of {user} at {cut:?}");
            }
        }
    }
}

fn cut_everywhere(foo: Foo, expected: impl Fn(&Promised) -> bool) {
    let steps = at_every_step(4, prepare, run(foo, &expected), judge(foo));
    assert!(steps > 10, "{steps} steps");
}

fn run(foo: Foo, expected: &impl Fn(&Promised) -> bool) -> impl Fn(&Dir) -> Promised {
    move |root| {
        let promised = send(root, foo);
        assert!(!promised.at_rest || expected(&promised), "{:?}", promised.messages);
        promised
    }
}

fn judge(foo: Foo) -> impl Fn(Cut, &Promised, &Dir) {
    move |cut, promised, root| check(foo, cut, promised, root)
}

/// Every sync is needed.
#[test]
fn prompt_mail_is_in_its_mailboxes_when_it_is_promised() {
    let delivered = |promised: &Promised| promised.messages.iter().all(|(_, _, safe)| *safe == Some(Safe::Delivered));
    at_every_step_and_sync(12, prepare, run(Foo::Quick, &delivered), judge(Foo::Quick));
}

#[test]
fn mail_that_is_taken_back_is_in_the_queue_when_it_is_promised() {
    cut_everywhere(Foo::Slow, |promised| {
        promised.messages.iter().all(|(_, id, safe)| *safe == Some(Safe::Queued(*id)))
    });
}

#[test]
fn mail_that_has_to_wait_is_in_the_queue_when_it_is_promised() {
    cut_everywhere(Foo::Full, |promised| {
        promised.messages.iter().all(|(_, id, safe)| *safe == Some(Safe::Queued(*id)))
    });
}

#[test]
fn mail_whose_qmgr_is_lost_is_in_the_queue_when_it_is_promised() {
    cut_everywhere(Foo::Lost, |promised| promised.messages.iter().all(|(_, _, safe)| safe.is_some()));
}
