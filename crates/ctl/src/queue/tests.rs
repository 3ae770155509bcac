use std::fs;

use mail::{Address, Envelope, Recipient};
use spool::Origin;

use super::*;

struct Fixture {
    spool: Spool,
    root: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::create(&Dir::open(root.path()).unwrap()).unwrap();
        Fixture { spool, root }
    }

    fn message(&self, to: &str) -> QueueId {
        let envelope = Envelope {
            reverse_path: Some(Address::parse("darth@starwars.univ").unwrap()),
            recipients: vec![Recipient::new(Address::parse(to).unwrap())],
            ..Envelope::default()
        };
        let mut incoming = self.spool.enter(&envelope, &Origin::Local { uid: 1001 });
        incoming.write(b"Subject: x\n\nHello\n").unwrap();
        incoming.commit().unwrap()
    }

    fn act(&self, deed: Deed, ids: &[&str]) {
        let which = Which { ids: ids.iter().map(ToString::to_string).collect(), json: false, quiet: false };
        act(&self.spool, self.root.path(), deed, &which).unwrap();
    }

    fn holds(&self, queue: Queue) -> Vec<QueueId> {
        self.spool.scan(queue).unwrap()
    }
}

#[test]
fn messages_are_held_released_and_deleted() {
    let queue = Fixture::new();
    let (one, two) = (queue.message("luke@starwars.univ"), queue.message("leia@starwars.univ"));
    queue.spool.defer(two, Queue::Incoming, std::time::SystemTime::now()).unwrap();
    queue.act(Deed::Hold, &[&one.name()]);
    assert_eq!((queue.holds(Queue::Hold), queue.holds(Queue::Deferred)), (vec![one], vec![two]));
    queue.act(Deed::Hold, &["ALL"]);
    assert_eq!(queue.holds(Queue::Hold), [one, two]);
    queue.act(Deed::Release, &[&two.name().to_lowercase()]);
    assert_eq!(queue.holds(Queue::Incoming), [two]);
    queue.act(Deed::Requeue, &["ALL"]);
    assert_eq!(queue.holds(Queue::Incoming), [one, two]);
    queue.act(Deed::Delete, &["ALL"]);
    assert!(all(&queue.spool, &Queue::ALL).unwrap().is_empty());
}

#[test]
fn a_flush_brings_what_waits_to_the_front() {
    let queue = Fixture::new();
    let id = queue.message("luke@starwars.univ");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    queue.spool.defer(id, Queue::Incoming, later).unwrap();
    let qmgr = {
        fs::create_dir(queue.root.path().join("public")).unwrap();
        UnixDatagram::bind(queue.root.path().join("public/qmgr")).unwrap()
    };
    queue.act(Deed::Flush, &[]);
    assert_eq!(queue.holds(Queue::Incoming), [id]);
    let mut heard = [0; 64];
    let length = qmgr.recv(&mut heard).unwrap();
    assert_eq!(heard[..length], *format!("wake\n{id}").as_bytes());
}

#[test]
fn what_cannot_be_done_is_said() {
    let queue = Fixture::new();
    let id = queue.message("luke@starwars.univ");
    queue.spool.shift(id, Queue::Incoming, Queue::Active).unwrap();
    let refused = |deed: Deed| deed.perform(&queue.spool, Queue::Active, id).unwrap_err().to_string();
    assert!(refused(Deed::Hold).contains("being delivered right now"));
    assert!(refused(Deed::Release).contains("is not held"));
    assert_eq!(find(&queue.spool, "NOSUCH").unwrap_err().to_string(), "there is no message NOSUCH in the queue");
}

/// `postqueue -f; postsuper -d ID`
#[test]
fn one_that_is_being_delivered_is_waited_for_a_moment() {
    let queue = Fixture::new();
    let id = queue.message("luke@starwars.univ");
    queue.spool.shift(id, Queue::Incoming, Queue::Active).unwrap();
    let refused = Deed::Delete.perform_on(&queue.spool, &id.name(), || false).unwrap_err();
    assert!(refused.to_string().contains("being delivered right now"));
    let landed = || queue.spool.defer(id, Queue::Active, std::time::SystemTime::now()).is_ok();
    assert_eq!(Deed::Delete.perform_on(&queue.spool, &id.name(), landed).unwrap(), id);
    assert!(all(&queue.spool, &Queue::ALL).unwrap().is_empty());
    assert!(Deed::Delete.perform_on(&queue.spool, &id.name(), || panic!("it is not there")).is_err());
}

#[test]
fn a_message_is_reported_as_in_mailq() {
    let queue = Fixture::new();
    let id = queue.message("luke@starwars.univ");
    let mut file = queue.spool.read(Queue::Incoming, id).unwrap();
    file.append_deferred(0, mail::EnhancedStatus::new(4, 4, 3), "Host not found, try again").unwrap();
    let report = report(&queue.spool, Queue::Incoming, id).unwrap().unwrap();
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(&id.name()) && lines[0].ends_with("  darth@starwars.univ"), "{text}");
    assert_eq!(lines[1].trim_start(), "(Host not found, try again)");
    assert_eq!(lines[2].trim_start(), "luke@starwars.univ");
    let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!((&json["queue_id"], &json["message_size"]), (&id.name().into(), &18.into()));
    assert_eq!(json["recipients"][0]["delay_reason"], "Host not found, try again");
    assert!(report.at_length().contains("user number 1001"));
}

/// As of programs that hand in mail while the mail system is down.
#[test]
fn what_waits_in_maildrop_is_listed() {
    let queue = Fixture::new();
    assert!(dropped(queue.root.path()).unwrap().is_empty());
    let id = queue.message("luke@starwars.univ");
    fs::create_dir(queue.root.path().join("maildrop")).unwrap();
    let (from, to) = (queue.root.path().join("incoming"), queue.root.path().join("maildrop"));
    fs::rename(from.join(id.name()), to.join(id.name())).unwrap();
    fs::write(to.join("half.tmp"), "").unwrap();
    let listed: Vec<String> = dropped(queue.root.path()).unwrap().iter().map(ToString::to_string).collect();
    assert!(listed.len() == 1 && listed[0].starts_with(&id.name()), "{listed:?}");
}
