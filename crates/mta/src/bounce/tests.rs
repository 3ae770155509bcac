use config::Config;
use durable::Dir;
use durable::forgetful::Forgetful;
use handover::relay::DsnSupport;
use mail::{Envelope, Ret};
use spool::{Origin, Queue};

use super::*;

pub(crate) fn sender(settings: &str) -> Sender {
    let dir = tempfile::tempdir().expect("a directory");
    let base = "myhostname: vm.m3102.com\nmyorigin: m3102.com\n";
    std::fs::write(dir.path().join("facteur.yaml"), format!("{base}{settings}")).expect("written");
    Sender::new(&Config::load(dir.path()).expect("a configuration"))
}

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

fn failed(to: Recipient, text: &str) -> Fate {
    Fate::here(to, Action::Failed, (EnhancedStatus::new(5, 1, 1), text.into()))
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
    let mut octets = vec![0; usize::try_from(file.size()).expect("short")];
    file.file.read_exact_at(&mut octets, file.content.start).expect("read");
    let from = file.envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
    let to = &file.envelope.recipients[0].address;
    format!("MAIL FROM:<{from}> RCPT TO:<{to}>\n{}", String::from_utf8(octets).expect("text"))
}

/// Tells of a message to `kevin@m3102.com`'s recipients; the notices' texts, each with its sender and recipient in front.
fn told(settings: &str, envelope: &Envelope, (kind, fates): (Kind, &[Fate])) -> Vec<String> {
    let spool = spool();
    let about = message(&spool, envelope);
    let sender_of = envelope.reverse_path.as_ref();
    let notice = Notice { id: about.id, about: &about, sender: sender_of, kind, fates };
    let list = sender(settings).tell(&spool, notice).expect("entered");
    list.into_iter().map(|id| text(&spool, id)).collect()
}

fn from_kevin(recipients: Vec<Recipient>) -> Envelope {
    Envelope { reverse_path: Some(address("kevin@m3102.com")), recipients, ..Envelope::default() }
}

#[test]
fn a_failure_returns_the_message() {
    let gone = Recipient { orcpt: Some("rfc822;nobody".into()), ..Recipient::new(address("nobodyx@m3102.com")) };
    let envelope = Envelope { envid: Some("e1".into()), ..from_kevin(vec![gone.clone()]) };
    let [text] = &told("", &envelope, (Kind::Failed, &[failed(gone, "unknown user: \"nobodyx\"")]))[..] else {
        panic!("not one notice")
    };
    for line in [
        "MAIL FROM:<> RCPT TO:<kevin@m3102.com>\n",
        "To: kevin@m3102.com\n",
        "Subject: Undelivered Mail Returned to Sender\n",
        "<nobodyx@m3102.com>: unknown user: \"nobodyx\"\n",
        "Final-Recipient: rfc822; nobodyx@m3102.com\nOriginal-Recipient: rfc822;nobody\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: X-Facteur; unknown user: \"nobodyx\"\n",
        "Original-Envelope-Id: e1\n",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nReceived: x\nSubject: été\n\nThe body.\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
    assert_eq!(text.matches("\n--").count(), 4);
}

#[test]
fn another_host_is_quoted_in_its_own_words() {
    let to = Recipient::new(address("luke@starwars.univ"));
    let words = "550 5.1.1 <luke@starwars.univ>: no such user".to_owned();
    let remote = Remote { name: "mx.starwars.univ".into(), words, dsn: DsnSupport::Lacking };
    let fate =
        Fate { remote: Some(remote), ..failed(to.clone(), "host mx.starwars.univ[192.0.2.1] said: 550 5.1.1 …") };
    let texts = told("", &from_kevin(vec![to.clone()]), (Kind::Failed, std::slice::from_ref(&fate)));
    let group =
        "Remote-MTA: dns; mx.starwars.univ\nDiagnostic-Code: smtp; 550 5.1.1 <luke@starwars.univ>: no such user\n";
    assert!(texts[0].contains(group), "{}", texts[0]);
    let asked = Recipient { notify: Some(mail::Notify { success: true, ..mail::Notify::default() }), ..to };
    let fate = Fate { action: Action::Relayed, recipient: asked, status: EnhancedStatus::OK, ..fate };
    let texts = told("", &from_kevin(vec![]), (Kind::Delivered, &[fate]));
    assert!(texts[0].contains("\nAction: relayed\nStatus: 2.0.0\n") && texts[0].contains("does not report deliveries"));
}

#[test]
fn headers_only_when_asked_or_for_a_delay() {
    let to = Recipient::new(address("kevin"));
    let mut envelope = Envelope { ret: Some(Ret::Headers), ..from_kevin(vec![to.clone()]) };
    let fate = failed(to, "later\r\nInjected: yes");
    let text = told("", &envelope, (Kind::Failed, std::slice::from_ref(&fate))).remove(0);
    assert!(text.contains("text/rfc822-headers") && !text.contains("The body."));
    envelope.ret = Some(Ret::Full);
    let late = Fate { action: Action::Delayed, ..fate.clone() };
    let text = told("", &envelope, (Kind::Delayed, &[late])).remove(0);
    assert!(text.contains("Will-Retry-Until: ") && !text.contains("The body.") && !text.contains("\nInjected:"));
    let text = told("bounce_size_limit: 10", &envelope, (Kind::Failed, &[fate])).remove(0);
    assert!(text.contains("text/rfc822-headers") && !text.contains("The body."));
}

#[test]
fn addresses_beyond_ascii_have_a_type_of_their_own() {
    let to = Recipient { original: Some(address("été+a@x.fr")), ..Recipient::new(address("é@x.fr")) };
    let report = |smtputf8| {
        let envelope = Envelope { smtputf8, ..from_kevin(vec![to.clone()]) };
        told("", &envelope, (Kind::Failed, &[failed(to.clone(), "gone")])).remove(0)
    };
    let global = report(true);
    let group = "Final-Recipient: utf-8; é@x.fr\nOriginal-Recipient: utf-8;été\\x{2B}a@x.fr\n";
    assert!(global.contains(group) && global.contains("message/global-delivery-status"), "{global}");
    let group = "Final-Recipient: utf-8; \\x{E9}@x.fr\nOriginal-Recipient: utf-8;\\x{E9}t\\x{E9}\\x{2B}a@x.fr\n";
    assert!(report(false).contains(group), "{}", report(false));
}

#[test]
fn only_a_failure_speaks_of_an_undelivered_message() {
    let success = mail::Notify { success: true, failure: true, delay: true };
    let to = Recipient { notify: Some(success), ..Recipient::new(address("kevin@m3102.com")) };
    for (kind, action, described) in [
        (Kind::Failed, Action::Failed, "Undelivered Message"),
        (Kind::Delayed, Action::Delayed, "Message Headers"),
        (Kind::Delivered, Action::Delivered, "Message Headers"),
    ] {
        let fate = Fate { action, ..failed(to.clone(), "x") };
        let text = told("", &from_kevin(vec![to.clone()]), (kind, &[fate])).remove(0);
        assert!(text.contains(&format!("\nContent-Description: {described}\n")), "{text}");
    }
}

/// Classes, the sender, what happened; who is told, and as whom.
#[test]
fn each_is_told_once_and_nobody_of_a_notice_about_a_notice() {
    const KEVIN: &str = "MAIL FROM:<> RCPT TO:<kevin@m3102.com>";
    const POSTMASTER: &str = "MAIL FROM:<double-bounce@m3102.com> RCPT TO:<postmaster@m3102.com>";
    let kevin = Some("kevin@m3102.com");
    let table: &[(&str, Option<&str>, Kind, &[&str])] = &[
        ("", kevin, Kind::Failed, &[KEVIN]),
        ("", kevin, Kind::Delayed, &[KEVIN]),
        ("notify_classes: bounce", kevin, Kind::Failed, &[KEVIN, POSTMASTER]),
        ("notify_classes: delay", kevin, Kind::Delayed, &[KEVIN, POSTMASTER]),
        ("", None, Kind::Failed, &[POSTMASTER]),
        ("notify_classes: bounce", None, Kind::Failed, &[]),
        (
            "2bounce_notice_recipient: foo",
            None,
            Kind::Failed,
            &["MAIL FROM:<double-bounce@m3102.com> RCPT TO:<foo@m3102.com>"],
        ),
        ("", None, Kind::Delayed, &[]),
        ("", Some("double-bounce@m3102.com"), Kind::Failed, &[]),
        ("notify_classes: bounce", Some("double-bounce@m3102.com"), Kind::Failed, &[]),
    ];
    for (settings, from, kind, expected) in table {
        let to = Recipient::new(address("gone@m3102.com"));
        let envelope = Envelope { reverse_path: from.map(address), ..from_kevin(vec![to.clone()]) };
        let texts = told(settings, &envelope, (*kind, &[failed(to, "gone")]));
        let heads: Vec<_> = texts.iter().map(|text| text.lines().next().unwrap_or_default()).collect();
        assert_eq!(heads, *expected, "{settings} {from:?} {kind:?}");
    }
}

#[test]
fn french_is_spoken_when_asked() {
    let to = Recipient::new(address("gone@m3102.com"));
    let text = told("notice_language: fr", &from_kevin(vec![to.clone()]), (Kind::Failed, &[failed(to, "x")])).remove(0);
    assert!(text.contains("Subject: =?utf-8?Q?Message_non_distribu=C3=A9=2C_retourn=C3=A9_=C3=A0_son_exp?=\n =?utf-8?Q?=C3=A9diteur?=\n"), "{text}");
    assert!(text.contains("Votre message n'a pas pu être remis"));
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

#[test]
fn a_sender_whose_aliases_lead_in_a_circle_is_told_all_the_same() {
    let to = Recipient::new(address("gone@m3102.com"));
    let settings = "virtual_alias_maps: 'inline:{kevin@m3102.com=foo@m3102.com, foo@m3102.com=kevin@m3102.com}'";
    let told = told(settings, &from_kevin(vec![to.clone()]), (Kind::Failed, &[failed(to, "x")]));
    assert!(told[..].iter().any(|text| text.contains("RCPT TO:<kevin@m3102.com>")), "{told:?}");
}
