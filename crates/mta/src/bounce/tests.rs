use durable::Dir;
use durable::forgetful::Forgetful;
use spool::Queue;

use super::*;

fn sender() -> Sender {
    Sender {
        host: "vm.m3102.com".into(),
        mail_name: "Facteur".into(),
        origin: "m3102.com".into(),
        size_limit: 50_000,
        lifetime: Duration::from_secs(5 * 86_400),
    }
}

fn spool() -> Spool {
    let disk = Forgetful::new();
    let root: Dir = disk.root();
    Spool::create(&root).expect("a spool")
}

fn message(spool: &Spool, envelope: &Envelope) -> QueueFile {
    let mut incoming = spool.enter(envelope, &Origin::Local { uid: 0 });
    incoming.write("Received: x\nSubject: été\n\nThe body.\n".as_bytes()).expect("written");
    let id = incoming.commit().expect("committed");
    spool.read(Queue::Incoming, id).expect("readable")
}

fn text(spool: &Spool, id: QueueId) -> String {
    let file = spool.read(Queue::Incoming, id).expect("the notice");
    assert_eq!(file.envelope.reverse_path, None);
    let mut octets = vec![0; usize::try_from(file.size()).expect("short")];
    file.file.read_exact_at(&mut octets, file.content.start).expect("read");
    String::from_utf8(octets).expect("text")
}

#[test]
fn a_failure_returns_the_message() {
    let spool = spool();
    let kevin = Address::parse("kevin@m3102.com").expect("an address");
    let gone = Recipient {
        orcpt: Some("rfc822;nobody".into()),
        ..Recipient::new(Address::parse("nobodyx@m3102.com").expect("an address"))
    };
    let envelope = Envelope {
        reverse_path: Some(kevin),
        recipients: vec![gone.clone()],
        envid: Some("e1".into()),
        ..Envelope::default()
    };
    let about = message(&spool, &envelope);
    let fate = Fate { recipient: gone, status: EnhancedStatus::new(5, 1, 1), text: "unknown user: \"nobodyx\"".into() };
    let id = sender()
        .send(&spool, Notice { about: &about, kind: Kind::Failed, fates: std::slice::from_ref(&fate) })
        .expect("entered")
        .expect("a sender to tell");
    let text = text(&spool, id);
    for line in [
        "To: kevin@m3102.com\n",
        "Subject: Undelivered Mail Returned to Sender\n",
        "<nobodyx@m3102.com>: unknown user: \"nobodyx\"\n",
        "Final-Recipient: rfc822; nobodyx@m3102.com\nOriginal-Recipient: rfc822;nobody\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: X-Facteur; unknown user: \"nobodyx\"\n",
        "Original-Envelope-Id: e1\n",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nReceived: x\nSubject: été\n\nThe body.\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert_eq!(text.matches(&format!("--{id}/vm.m3102.com")).count(), 4);
}

#[test]
fn headers_only_when_asked_or_for_a_delay() {
    let spool = spool();
    let to = Recipient::new(Address::parse("kevin").expect("an address"));
    let mut envelope = Envelope {
        reverse_path: Some(to.address.clone()),
        recipients: vec![to.clone()],
        ret: Some(Ret::Headers),
        ..Envelope::default()
    };
    let fate = Fate { recipient: to, status: EnhancedStatus::new(4, 3, 0), text: "later\r\nInjected: yes".into() };
    let id = sender()
        .send(
            &spool,
            Notice { about: &message(&spool, &envelope), kind: Kind::Failed, fates: std::slice::from_ref(&fate) },
        )
        .expect("entered")
        .expect("told");
    assert!(text(&spool, id).contains("text/rfc822-headers") && !text(&spool, id).contains("The body."));
    envelope.ret = Some(Ret::Full);
    let id = sender()
        .send(
            &spool,
            Notice { about: &message(&spool, &envelope), kind: Kind::Delayed, fates: std::slice::from_ref(&fate) },
        )
        .expect("entered")
        .expect("told");
    let text = text(&spool, id);
    assert!(text.contains("Will-Retry-Until: ") && !text.contains("The body.") && !text.contains("\nInjected:"));
}

#[test]
fn nobody_is_told_of_a_notice() {
    let spool = spool();
    let to = Recipient::new(Address::parse("kevin").expect("an address"));
    let about = message(&spool, &Envelope { recipients: vec![to], ..Envelope::default() });
    assert_eq!(
        sender().send(&spool, Notice { about: &about, kind: Kind::Failed, fates: &[] }).expect("no trouble"),
        None
    );
}

#[test]
fn notify_decides() {
    let mut to = Recipient::new(Address::parse("kevin").expect("an address"));
    assert!(Kind::Failed.is_wanted(&to) && Kind::Delayed.is_wanted(&to) && !Kind::Delivered.is_wanted(&to));
    to.notify = Some(mail::Notify::default());
    assert!([Kind::Failed, Kind::Delayed, Kind::Delivered].iter().all(|kind| !kind.is_wanted(&to)));
    to.notify = Some(mail::Notify { success: true, ..mail::Notify::default() });
    assert!(Kind::Delivered.is_wanted(&to));
}
