//! A message from the spool through [`Message`] and [`Policy::settle`], with the power cut at every step.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use durable::Dir;
use durable::forgetful::{Forgetful, at_every_step_and_sync};
use handover::{Expansion, Outcome};
use mail::{Address, EnhancedStatus, Envelope, QueueId, Recipient};
use routes::Router;
use spool::{Origin, Progress, Queue, Spool};

use super::deliver::{Locals, Relays};
use super::disk::{Fetch, Report};
use super::message::{Message, Slot, State};
use super::run::{Begin, Qmgr};
use super::settle::{Policy, Settled, Settlement, next_try, note};
use super::windows::Age;
use crate::bounce::Action;
use crate::cleanup::Cleanup;

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

pub(super) fn policy() -> Policy {
    let lifetime = Duration::from_secs(5 * 86_400);
    Policy {
        sender: crate::bounce::tests::sender(""),
        shortest: Duration::from_secs(300),
        longest: Duration::from_secs(4000),
        lifetime,
        bounce_lifetime: lifetime,
        warn_after: Duration::ZERO,
    }
}

pub(super) fn enter(root: &Dir, recipients: &[&str]) -> QueueId {
    let spool = Spool::create(root).expect("a spool");
    let recipients = recipients.iter().map(|text| Recipient::new(address(text))).collect();
    let envelope = Envelope { reverse_path: Some(address("kevin@m3102.com")), recipients, ..Envelope::default() };
    let mut incoming = spool.enter(&envelope, &Origin::Internal);
    incoming.write(b"Received: x\n\nbody\n").expect("written");
    incoming.commit().expect("committed")
}

fn take(spool: &Spool, queue: Queue, id: QueueId) -> Message {
    if queue != Queue::Active {
        spool.shift(id, queue, Queue::Active).expect("moved");
    }
    Message::new(spool.read(Queue::Active, id).expect("readable"), Age::Fresh)
}

pub(super) fn sent() -> Outcome {
    Outcome::Sent(EnhancedStatus::OK, "delivered to maildir".into())
}

pub(super) fn later() -> Outcome {
    Outcome::Deferred(EnhancedStatus::new(4, 2, 0), "cannot write".into())
}

pub(super) fn never() -> Outcome {
    Outcome::Bounced(EnhancedStatus::new(5, 1, 1), "unknown user".into())
}

pub(super) fn settlement(message: Message) -> Settlement {
    Settlement {
        id: message.id,
        sent: message.lots(Slot::succeeded),
        failed: message.lots(Slot::failed),
        told: Vec::new(),
        notices: Vec::new(),
        deferred: message.lots(Slot::deferred),
        not_before: None,
        file: message.file,
        notes: message.notes,
        wish: message.wish,
        readers: message.readers,
    }
}

/// What became of it, and the notices about it.
fn settle(spool: &Spool, message: Message, now: SystemTime) -> io::Result<(Settled, Vec<QueueId>)> {
    let mut work = settlement(message);
    Ok((policy().settle(spool, &mut work, now)?, work.notices))
}

/// Who is not finished, wherever the message is.
fn open_recipients(spool: &Spool) -> Vec<String> {
    let mut found = Vec::new();
    for queue in [Queue::Incoming, Queue::Active, Queue::Deferred] {
        for id in spool.scan(queue).expect("listed") {
            let file = spool.read(queue, id).expect("readable");
            let notice = file.envelope.reverse_path.is_none();
            found.extend(file.open_slots().map(|(_, slot)| {
                format!("{}{}", if notice { "notice for " } else { "" }, slot.recipient.address.local())
            }));
        }
    }
    found
}

#[test]
fn no_recipient_is_forgotten_whenever_the_power_goes() {
    let steps = at_every_step_and_sync(
        6,
        |root| {
            enter(root, &["done@m3102.com", "list@m3102.com", "gone@m3102.com", "late@m3102.com"]);
        },
        |root| {
            // What was delivered, and whether the notes of it, then the settlement were promised to be on disk.
            let mut delivered = BTreeSet::new();
            let Ok(spool) = Spool::open(root) else { return (delivered, false, false) };
            let Some(id) = spool.scan(Queue::Incoming).ok().and_then(|list| list.first().copied()) else {
                return (delivered, false, false);
            };
            if spool.shift(id, Queue::Incoming, Queue::Active).is_err() {
                return (delivered, false, false);
            }
            let Ok(file) = spool.read(Queue::Active, id) else { return (delivered, false, false) };
            let mut message = Message::new(file, Age::Fresh);
            message.take(0, sent());
            delivered.insert("done");
            let new = message.take(
                1,
                Outcome::Expanded(
                    vec![address("one@m3102.com"), address("two@m3102.com"), address("done@m3102.com")].into(),
                ),
            );
            assert_eq!(new, 4..6);
            message.take(4, sent());
            delivered.insert("one");
            let mut notes = std::mem::take(&mut message.notes);
            let noted = note(&mut message.file.lock().expect("whole"), &mut notes).is_ok();
            if !noted {
                return (delivered, false, false);
            }
            message.take(5, later());
            message.take(2, never());
            message.take(3, later());
            assert_eq!(message.open, 0);
            let settled = settle(&spool, message, SystemTime::now());
            (delivered, noted, settled.is_ok())
        },
        |cut, (delivered, noted, settled), root| {
            let spool = Spool::open(root).expect("the spool");
            let open = open_recipients(&spool);
            let has = |name: &str| open.iter().any(|open| open == name);
            for (name, parent) in [("done", None), ("one", Some("list")), ("two", Some("list")), ("late", None)] {
                let waits = has(name) || parent.is_some_and(has);
                assert!(waits || delivered.contains(name), "{name} lost at {cut:?}: {open:?}");
            }
            assert!(has("gone") || has("notice for kevin"), "nobody is told of gone at {cut:?}: {open:?}");
            if *noted {
                assert!(!has("done") && !has("one") && !has("list"), "done again at {cut:?}: {open:?}");
            }
            if *settled {
                assert!(!has("done") && !has("one") && !has("list") && !has("gone"), "done again at {cut:?}: {open:?}");
            }
        },
    );
    assert!(steps > 12, "{steps}");
}

#[test]
fn a_list_that_comes_back_is_a_loop_and_a_second_copy_is_none() {
    let root = Forgetful::new().root();
    let id = enter(&root, &["a@m3102.com", "b@m3102.com"]);
    let spool = Spool::open(&root).expect("the spool");
    let mut message = take(&spool, Queue::Incoming, id);
    assert_eq!(message.take(0, Outcome::Expanded(vec![address("c@m3102.com"), address("b@m3102.com")].into())), 2..3);
    assert_eq!(message.slots[2].recipient.original, Some(address("a@m3102.com")));
    assert_eq!(message.take(2, Outcome::Expanded(vec![address("a@m3102.com")].into())), 0..0);
    assert!(
        matches!(&message.slots[2].state, State::Failed(status, text) if status.subject == 4 && text == "mail forwarding loop for a@m3102.com")
    );
    assert_eq!(message.open, 1);
}

/// The disk fails when the notice is to be entered.
#[test]
fn who_has_it_is_noted_before_anybody_is_told() {
    let disk = Forgetful::new();
    let id = enter(&disk.root(), &["a@m3102.com", "b@m3102.com"]);
    let spool = Spool::open(&disk.root()).expect("the spool");
    let mut message = take(&spool, Queue::Incoming, id);
    message.take(0, sent());
    message.take(1, never());
    // A write and a sync before it.
    disk.fail_at(disk.steps() + 2, nix::libc::EIO);
    assert!(settle(&spool, message, SystemTime::now()).is_err());
    let file = spool.read(Queue::Active, id).expect("there");
    assert_eq!(file.open_slots().map(|(slot, _)| slot).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_was_finished_is_not_tried_again() {
    let root = Forgetful::new().root();
    let id = enter(&root, &["a@m3102.com", "b@m3102.com"]);
    let spool = Spool::open(&root).expect("the spool");
    let mut message = take(&spool, Queue::Incoming, id);
    message.take(0, Outcome::Expanded(vec![address("c@m3102.com")].into()));
    message.take(2, sent());
    message.take(1, later());
    let Ok((Settled::Deferred(next), _)) = settle(&spool, message, SystemTime::now()) else { panic!("not deferred") };
    assert!(next > SystemTime::now() + Duration::from_secs(290));
    let message = take(&spool, Queue::Deferred, id);
    assert_eq!(message.open, 1);
    assert_eq!(message.slots[2].parent, Some(0));
    assert!(
        matches!(&message.file.lock().expect("whole").slots[1].progress, Progress::Deferred { reason, .. } if reason == "cannot write")
    );
}

#[test]
fn the_wait_grows_with_age_within_bounds() {
    let policy = policy();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let wait = |age: u64, micros: u64| {
        let next = next_try(&policy, QueueId::new(micros, 0), now - Duration::from_secs(age), now);
        next.duration_since(now).expect("later").as_secs()
    };
    assert_eq!([wait(0, 0), wait(1000, 0), wait(100_000, 0)], [300, 1000, 4000]);
    assert!(wait(1000, 127) > 1100 && wait(1000, 127) < 1130);
    let future = next_try(&policy, QueueId::new(0, 0), now + Duration::from_secs(9999), now);
    assert_eq!(future, now + Duration::from_secs(300));
}

#[test]
fn old_mail_is_returned_and_old_notices_go_to_the_postmaster() {
    for (sender, notices) in [(Some(address("kevin@m3102.com")), 1), (None, 1)] {
        let root = Forgetful::new().root();
        let spool = Spool::create(&root).expect("a spool");
        let envelope = Envelope {
            reverse_path: sender,
            recipients: vec![Recipient::new(address("x@else.where"))],
            ..Envelope::default()
        };
        let id = spool.enter(&envelope, &Origin::Internal).commit().expect("committed");
        let mut message = take(&spool, Queue::Incoming, id);
        message.take(0, later());
        let then = SystemTime::now() + Duration::from_secs(6 * 86_400);
        let (settled, entered) = settle(&spool, message, then).expect("no trouble");
        assert_eq!((settled, entered.len()), (Settled::Finished, notices));
    }
}

/// Members of a list with an owner have him as their sender: also after the file was read again, and their failures are his.
#[test]
fn the_owner_of_a_list_hears_of_its_members() {
    let root = Forgetful::new().root();
    let id = enter(&root, &["list@m3102.com", "b@m3102.com"]);
    let spool = Spool::open(&root).expect("the spool");
    let mut message = take(&spool, Queue::Incoming, id);
    let owner = Some(address("owner-list@m3102.com"));
    let into = vec![address("c@m3102.com"), address("d@m3102.com")];
    assert_eq!(message.take(0, Outcome::Expanded(Expansion { into, owner: owner.clone() })), 2..4);
    message.take(1, never());
    message.take(2, never());
    message.take(3, later());
    let (_, notices) = settle(&spool, message, SystemTime::now()).expect("no trouble");
    let told = |id: &QueueId| {
        let file = spool.read(Queue::Incoming, *id).expect("a notice");
        file.envelope.recipients[0].address.to_string()
    };
    assert_eq!(notices.iter().map(told).collect::<Vec<_>>(), ["kevin@m3102.com", "owner-list@m3102.com"]);
    let mut message = take(&spool, Queue::Deferred, id);
    assert_eq!((message.open, message.sender_for(&message.slots[3])), (1, owner.clone()));
    // What such a member becomes stays the owner's.
    assert_eq!(message.take(3, Outcome::Expanded(vec![address("e@m3102.com")].into())), 4..5);
    assert_eq!(message.sender_for(&message.slots[4]), owner);
}

#[test]
fn success_of_an_address_that_stands_for_many_is_told_once() {
    let root = Forgetful::new().root();
    let spool = Spool::create(&root).expect("a spool");
    let notify = Some(mail::Notify { success: true, failure: true, delay: false });
    let envelope = Envelope {
        reverse_path: Some(address("kevin@m3102.com")),
        recipients: vec![Recipient { notify, ..Recipient::new(address("all@m3102.com")) }],
        ..Envelope::default()
    };
    let id = spool.enter(&envelope, &Origin::Internal).commit().expect("committed");
    let mut message = take(&spool, Queue::Incoming, id);
    message.take(0, Outcome::Expanded(vec![address("a@m3102.com"), address("b@x.org")].into()));
    message.take(1, sent());
    message.take(2, sent());
    let lots = message.lots(Slot::succeeded);
    let told: Vec<_> = lots.iter().map(|lot| (lot.slot, lot.fate.action)).collect();
    assert_eq!(told, [(0, Action::Expanded)]);
}

/// qmgr, and what it wants of the disk.
fn without_disk() -> (Qmgr, std::sync::mpsc::Receiver<Fetch>) {
    let (fetch, fetched) = std::sync::mpsc::channel();
    let (orders, relays) = (tokio::sync::mpsc::unbounded_channel().0, tokio::sync::mpsc::unbounded_channel().0);
    let dir = tempfile::tempdir().expect("a directory");
    let config = config::Config::load(dir.path()).expect("a configuration");
    let begin = Begin { router: Router::new(&config), cleanup: Cleanup::new(&config), policy: policy() };
    let relays = Relays::new(relays, super::pace(&config));
    (Qmgr::new((fetch, std::sync::mpsc::channel().0), Locals::new(orders), relays, begin), fetched)
}

/// A fault of the disk when it was listed at start must not leave its mail there until the next start.
#[test]
fn a_directory_that_could_not_be_listed_is_listed_again() {
    let (mut qmgr, fetched) = without_disk();
    qmgr.scan_all();
    qmgr.reported(Report::Unlisted(Queue::Active));
    qmgr.reported(Report::Unlisted(Queue::Deferred));
    let listed = || {
        let queue = |fetch| if let Fetch::Scan(queue) = fetch { Some(queue) } else { None };
        fetched.try_iter().filter_map(queue).collect::<Vec<_>>()
    };
    assert_eq!(listed(), [Queue::Active, Queue::Incoming, Queue::Deferred]);
    qmgr.look();
    assert_eq!(listed(), [Queue::Incoming, Queue::Active, Queue::Deferred]);
    qmgr.look();
    assert_eq!(listed(), [Queue::Incoming], "once it worked");
}

#[test]
fn what_is_flushed_before_the_queue_was_listed_is_tried_all_the_same() {
    let (mut qmgr, fetched) = without_disk();
    let taken = |qmgr: &mut Qmgr| {
        qmgr.take_up();
        let taken = |fetch| if let Fetch::Take(id, Queue::Deferred) = fetch { Some(id) } else { None };
        fetched.try_iter().filter_map(taken).collect::<Vec<_>>()
    };
    let listed = |number| {
        let due = SystemTime::now() + Duration::from_secs(900);
        Report::Listed(Queue::Deferred, vec![(QueueId::new(number, 0), due)])
    };
    qmgr.heard(b"flush\n");
    assert_eq!(taken(&mut qmgr), []);
    qmgr.reported(listed(1));
    assert_eq!(taken(&mut qmgr), [QueueId::new(1, 0)]);
    qmgr.reported(Report::Later(QueueId::new(1, 0), SystemTime::now() + Duration::from_secs(900)));
    qmgr.reported(listed(2));
    assert_eq!(taken(&mut qmgr), []);
}
