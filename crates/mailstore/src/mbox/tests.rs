//! mbox files as Dovecot, c-client, mailutils and deliverers leave them; changes, and cuts in their middle.

use std::path::Path;
use std::time::Duration;

use durable::Dir;
use durable::forgetful::{Cut, Forgetful, content};
use mail::date::Moment;
use mail::{Flag, Flags, Uid};
use proptest::prelude::*;

use super::folder::Mbox;
use super::lock::Place;
use crate::{Error, FlagChange, NewMessage};

mod cuts;

const PLAIN: &str = "From root@vm  Fri Nov 20 16:11:07 2026\nSubject: one\n\nfirst\n\nFrom kevin@vm  Fri Nov 20 16:11:08 2026\nSubject: two\n\n>From me\nFrom you\n\n";

const DOVECOT: &str = "From root@vm  Fri Nov 20 16:11:07 2026\nSubject: one\nX-IMAPbase: 1795191091 0000000009 $Junk\nX-UID: 3\nStatus: RO\n\
    X-Keywords: $Junk                                                               \nContent-Length: 6\n\nfirst\n\n\
    From kevin@vm  Fri Nov 20 16:11:08 2026\nX-UID: 9\nStatus: O\nX-Status: AF\nSubject: two\n\nsecond\n";

fn dir_with(text: &str) -> Dir {
    let dir = Forgetful::default().root();
    put(&dir, text);
    dir
}

fn put(dir: &Dir, text: &str) {
    let file = dir.create("kevin", 0o600).expect("create");
    file.append(text.as_bytes()).expect("append");
    file.sync().expect("sync");
    dir.sync().expect("sync");
}

fn open(dir: &Dir) -> Mbox {
    try_open(dir).expect("open")
}

fn try_open(dir: &Dir) -> Result<Mbox, Error> {
    Mbox::open(
        Place { dir: dir.clone(), name: "kevin".into(), privileged: None, timeout: Duration::ZERO },
        Path::new("/nonexistent"),
        60,
    )
}

fn text(dir: &Dir) -> String {
    String::from_utf8(content(dir, "kevin").expect("read")).expect("utf-8")
}

fn uids(mbox: &Mbox) -> Vec<u32> {
    mbox.snapshot().messages.iter().map(|message| message.uid.get()).collect()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not zero")
}

fn with(flag: Flag) -> Flags {
    let mut flags = Flags::default();
    flags.set(flag);
    flags
}

#[test]
fn mail_without_notes_gets_them_once() {
    let dir = dir_with(PLAIN);
    let mut mbox = open(&dir);
    assert_eq!(uids(&mbox), [1, 2]);
    assert_eq!(mbox.read(uid(1)).expect("read"), b"Subject: one\r\n\r\nfirst\r\n");
    assert_eq!(mbox.read(uid(2)).expect("read"), b"Subject: two\r\n\r\n>From me\r\nFrom you\r\n");
    assert_eq!(mbox.read_header(uid(2)).expect("read"), b"Subject: two\r\n\r\n");
    assert_eq!((mbox.size(uid(1)).expect("size"), mbox.size(uid(2)).expect("size")), (23, 36));
    assert_eq!(mbox.date(uid(1)).expect("date"), Moment::utc(1_795_191_067 - 3600));
    let written = text(&dir);
    assert!(written.contains("\nX-IMAPbase: ") && written.contains("\nX-UID: 2\nStatus:   \n"), "{written}");
    let validity = mbox.snapshot().uid_validity;
    assert_eq!(mbox.uidl(uid(2)).expect("uidl"), format!("00000002{:08x}", validity.get()));
    let again = open(&dir);
    assert_eq!((uids(&again), again.snapshot().uid_validity), (vec![1, 2], validity));
    assert_eq!(text(&dir), written, "nothing is written a second time");
}

#[test]
fn dovecots_notes_are_read_and_hidden() {
    let dir = dir_with(DOVECOT);
    let mut mbox = open(&dir);
    assert_eq!((uids(&mbox), mbox.snapshot().uid_validity.get()), (vec![3, 9], 1_795_191_091));
    assert_eq!(text(&dir), DOVECOT, "reading writes nothing");
    let flags = |mbox: &Mbox, n| mbox.snapshot().get(uid(n)).expect("there").flags.clone();
    assert!(flags(&mbox, 3).has(Flag::Seen) && flags(&mbox, 3).keywords.contains("$Junk"));
    assert!(
        flags(&mbox, 9).has(Flag::Answered) && flags(&mbox, 9).has(Flag::Flagged) && !flags(&mbox, 9).has(Flag::Seen)
    );
    assert_eq!(mbox.read(uid(9)).expect("read"), b"Subject: two\r\n\r\nsecond\r\n");
    assert_eq!(mbox.set_flags(&[uid(9)], &FlagChange::Add(with(Flag::Seen))).expect("flags"), [uid(9)]);
    assert_eq!(mbox.read(uid(9)).expect("read"), b"Subject: two\r\n\r\nsecond\r\n");
    let before = text(&dir).len();
    mbox.set_flags(&[uid(9)], &FlagChange::Replace(with(Flag::Deleted))).expect("flags");
    assert_eq!(text(&dir).len(), before, "fits where it stands");
    assert_eq!(uids(&open(&dir)), [3, 9]);
    assert!(flags(&open(&dir), 9).has(Flag::Deleted));
}

#[test]
fn expunge_append_and_new_mail() {
    let dir = dir_with(PLAIN);
    let mut mbox = open(&dir);
    assert_eq!(mbox.claim_recent().expect("claim"), [uid(1), uid(2)]);
    assert_eq!(mbox.expunge(&[uid(1), uid(7)]).expect("expunge"), [uid(1)]);
    assert_eq!(uids(&mbox), [2]);
    let late = dir.open_file("kevin", durable::Access::Append).expect("open");
    late.append(b"From x@y  Fri Nov 20 16:12:00 2026\nSubject: late\n\nlate\n\n").expect("append");
    assert_eq!(mbox.refresh().expect("refresh").appeared, [uid(3)]);
    let date = Moment::utc(1_795_191_110);
    let mut flags = with(Flag::Draft);
    flags.keywords.insert("work".into());
    let new = [NewMessage { content: b"Status: D\r\nSubject: n\r\n\r\nFrom here", flags: flags.clone(), date }];
    assert_eq!(mbox.append(&new).expect("append"), [uid(4)]);
    assert_eq!(mbox.read(uid(4)).expect("read"), b"Subject: n\r\n\r\n>From here\r\n");
    let mut again = open(&dir);
    assert_eq!((uids(&again), again.date(uid(4)).expect("date")), (vec![2, 3, 4], date));
    assert_eq!(
        (again.snapshot().get(uid(4)).expect("4").flags.clone(), again.keywords()),
        (flags, vec!["work".to_owned()])
    );
    let validity = again.snapshot().uid_validity;
    again.expunge(&[uid(2), uid(3), uid(4)]).expect("expunge");
    assert_eq!(text(&dir), "");
    assert_eq!(again.append(&new).expect("append"), [uid(5)]);
    assert_eq!((uids(&open(&dir)), open(&dir).snapshot().uid_validity), (vec![5], validity));
}

#[test]
fn c_clients_pseudo_message_is_hidden() {
    let pseudo = "From MAILER-DAEMON Fri Nov 20 16:11:07 2026\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\
        X-IMAP: 1195191091 0000000004\nStatus: RO\n\ntext\n\n";
    let dir =
        dir_with(&format!("{pseudo}From a@b Fri Nov 20 16:11:07 2026\nX-UID: 4\nSubject: x\n\ny\n\n{}", &PLAIN[..59]));
    let mbox = open(&dir);
    assert_eq!((uids(&mbox), mbox.snapshot().uid_validity.get()), (vec![4, 5], 1_195_191_091));
    assert_eq!((uids(&open(&dir)), open(&dir).snapshot().uid_validity.get()), (vec![4, 5], 1_195_191_091));
}

#[test]
fn removing_the_first_message_beside_us_costs_no_uid() {
    let dir = dir_with(DOVECOT);
    let mut mbox = open(&dir);
    let second = DOVECOT.find("From kevin").expect("the second");
    let file = dir.open_file("kevin", durable::Access::ReadWrite).expect("open");
    file.set_len(0).and_then(|()| file.append(&DOVECOT.as_bytes()[second..])).expect("rewrite");
    let changes = mbox.refresh().expect("refresh");
    assert_eq!((changes.vanished, changes.appeared, changes.renumbered), (vec![uid(3)], vec![], false));
    let again = open(&dir);
    assert_eq!((uids(&again), again.snapshot().uid_validity.get()), (vec![9], 1_795_191_091));
}

/// As a message brings it in that a program appended: it must not keep its owner out.
#[test]
fn a_base_that_leaves_no_uids_is_none() {
    for last in ["4294967295", "4294967294", "99999999999"] {
        let dir = dir_with(&format!(
            "From a@b Fri Nov 20 16:11:07 2026\nX-IMAPbase: 1 {last}\nX-UID: 7\nSubject: x\n\ny\n\n{PLAIN}"
        ));
        let mbox = open(&dir);
        assert_eq!(uids(&mbox), [8, 9, 10], "{last}");
        assert!(mbox.snapshot().uid_validity.get() > 1);
        let again = open(&dir);
        assert_eq!((uids(&again), again.snapshot().uid_validity), (vec![8, 9, 10], mbox.snapshot().uid_validity));
    }
}

/// All within a second: no uid under a UIDVALIDITY may ever name two messages.
#[test]
fn uids_of_a_base_that_others_removed_are_not_given_again() {
    let dir = dir_with(&PLAIN.repeat(2));
    let before = open(&dir);
    let (known, validity) = (uids(&before), before.snapshot().uid_validity);
    let kept = text(&dir);
    let second = kept.find("From kevin").expect("the second");
    let file = dir.open_file("kevin", durable::Access::ReadWrite).expect("open");
    file.set_len(0).and_then(|()| file.append(&kept.as_bytes()[second..])).expect("rewrite");
    let mut after = open(&dir);
    assert!(after.snapshot().uid_validity != validity && uids(&after).iter().all(|uid| !known.contains(uid)));
    let (validity, all) = (after.snapshot().uid_validity, after.snapshot().messages.clone());
    after.expunge(&all.iter().map(|message| message.uid).collect::<Vec<_>>()).expect("emptied");
    dir.open_file("kevin", durable::Access::Append).and_then(|file| file.append(PLAIN.as_bytes())).expect("new mail");
    assert!(open(&dir).snapshot().uid_validity > validity);
}

/// Another session emptied the mailbox and left; a third one has numbered what came then.
#[test]
fn old_uids_mean_nothing_under_another_validity() {
    let dir = dir_with(DOVECOT);
    let mut mbox = open(&dir);
    let mut reading = mbox.begin(uid(3)).expect("begin");
    assert!(!mbox.read_from(&mut reading, 0, 10).expect("read").is_empty());
    open(&dir).expunge(&[uid(3), uid(9)]).expect("emptied");
    let new = DOVECOT.replace("1795191091", "1795191099").replace("first", "new").replace("second", "newer");
    dir.open_file("kevin", durable::Access::Append).and_then(|file| file.append(new.as_bytes())).expect("new mail");
    assert!(matches!(mbox.read_from(&mut reading, 10, 10), Err(Error::NoMessage)));
    assert!(matches!(mbox.begin(uid(3)), Err(Error::NoMessage)));
    assert!(matches!(mbox.read(uid(3)), Err(Error::NoMessage)));
    assert!(matches!(mbox.size(uid(3)), Err(Error::NoMessage)));
    assert_eq!(mbox.set_flags(&[uid(3)], &FlagChange::Add(with(Flag::Deleted))).expect("flags"), []);
    assert_eq!(mbox.expunge(&[uid(3), uid(9)]).expect("expunge"), []);
    assert_eq!(text(&dir), new);
    assert!(mbox.refresh().expect("refresh").renumbered);
    assert_eq!(mbox.expunge(&[uid(3)]).expect("expunge"), [uid(3)]);
}

#[test]
fn content_length_is_believed_only_where_it_fits() {
    let inner = "x\n\nFrom a@b Fri Nov 20 16:11:07 2026\nnot a message\n";
    let mail =
        |length: usize| format!("From a@b Fri Nov 20 16:11:07 2026\nContent-Length: {length}\n\n{inner}\n{PLAIN}");
    let mut right = open(&dir_with(&mail(inner.len())));
    assert_eq!(uids(&right), [1, 2, 3]);
    assert_eq!(right.read(uid(1)).expect("read"), format!("\n{inner}").replace('\n', "\r\n").as_bytes());
    assert_eq!(right.size(uid(1)).expect("size"), right.read(uid(1)).expect("read").len() as u64);
    assert_eq!(uids(&open(&dir_with(&mail(7)))), [1, 2, 3, 4]);
    assert_eq!(uids(&open(&dir_with(&mail(99_999)))), [1, 2, 3, 4]);
}

#[test]
fn what_the_end_of_the_file_cut_off_is_read_the_same_after_a_change() {
    let inner = "x\n\nFrom a@b Fri Nov 20 16:11:07 2026\nnot a message";
    let counted = format!("From a@b Fri Nov 20 16:11:07 2026\nContent-Length: {}\n\n{inner}", inner.len());
    for mail in [
        "From a@b Fri Nov 20 16:11:07 2026\nSubject: x\n\nbody".to_owned(),
        "From a@b Fri Nov 20 16:11:07 2026\nSubject: x\n\nbody\r".to_owned(),
        "From a@b Fri Nov 20 16:11:07 2026\nSubject: x\n\r".to_owned(),
        "From a@b Fri Nov 20 16:11:07 2026\nSubject: x\r".to_owned(),
        counted,
    ] {
        let dir = dir_with(&mail);
        let mut before = open(&dir);
        let read = before.read(uid(1)).expect("read");
        assert!(read.ends_with(b"\r\n"), "{mail:?}");
        assert_eq!(before.size(uid(1)).expect("size"), read.len() as u64, "{mail:?}");
        before.set_flags(&[uid(1)], &FlagChange::Add(with(Flag::Flagged))).expect("flag");
        let mut after = open(&dir);
        assert_eq!(uids(&after), [1], "{:?}", text(&dir));
        assert_eq!(after.read(uid(1)).expect("read"), read, "{mail:?}");
    }
}

#[test]
fn a_counted_message_without_line_end_stays_one_when_others_append() {
    let inner = "x\n\nFrom a@b Fri Nov 20 16:11:07 2026\nnot a message";
    let counted = format!("From a@b Fri Nov 20 16:11:07 2026\nContent-Length: {}\n\n{inner}", inner.len());
    assert_eq!(uids(&open(&dir_with(&format!("{counted}\n\n{PLAIN}")))), [1, 2, 3]);
}

#[test]
fn what_cannot_be_written_says_so() {
    let place = tempfile::tempdir().expect("tempdir");
    let dir = Dir::open(place.path()).expect("open");
    put(&dir, PLAIN);
    dir.link("kevin", &dir, "second name").expect("link");
    let mut mbox = open(&dir);
    assert_eq!((uids(&mbox), mbox.snapshot().uid_validity.get()), (vec![1, 2], 1_795_191_067));
    assert!(mbox.writable().is_err());
    assert!(matches!(mbox.set_flags(&[uid(1)], &FlagChange::Add(with(Flag::Seen))), Err(Error::Unsafe(_))));
    assert!(matches!(mbox.expunge(&[uid(1)]), Err(Error::Unsafe(_))));
    assert_eq!(mbox.read(uid(1)).expect("read"), b"Subject: one\r\n\r\nfirst\r\n");
    assert_eq!(text(&dir), PLAIN);
    assert_eq!(uids(&open(&dir)), [1, 2]);
}

/// The bodies of all messages, in order.
fn bodies(dir: &Dir) -> Vec<String> {
    let _ = dir.unlink("kevin.lock");
    let mut mbox = open(dir);
    let all = mbox.snapshot().messages.clone();
    all.iter().map(|message| String::from_utf8(mbox.read(message.uid).expect("read")).expect("utf-8")).collect()
}

/// What is shown of all messages, in order: the bodies and flags.
fn shown(dir: &Dir) -> Vec<(String, Flags)> {
    let bodies = bodies(dir);
    let mbox = open(dir);
    bodies.into_iter().zip(mbox.snapshot().messages.iter().map(|message| message.flags.clone())).collect()
}

type Change<'a> = &'a dyn Fn(&mut Mbox) -> Result<(), Error>;

fn flag(which: u32, flag: Flag) -> impl Fn(&mut Mbox) -> Result<(), Error> {
    move |mbox| mbox.set_flags(&[uid(which)], &FlagChange::Add(with(flag))).map(drop)
}

fn expunge(which: u32) -> impl Fn(&mut Mbox) -> Result<(), Error> {
    move |mbox| mbox.expunge(&[uid(which)]).map(drop)
}

/// What there is at first, and after each of these changes.
fn stages(changes: &[Change<'_>]) -> Vec<Vec<(String, Flags)>> {
    let upto = |count: &usize| {
        let dir = dir_with(DOVECOT);
        let mut mbox = open(&dir);
        changes[..*count].iter().for_each(|change| change(&mut mbox).expect("change"));
        shown(&dir)
    };
    (0..=changes.len()).map(|count| upto(&count)).collect()
}

/// How many of these changes are promised.
fn change(dir: &Dir, changes: &[Change<'_>]) -> usize {
    let Ok(mut mbox) = try_open(dir) else { return 0 };
    changes.iter().take_while(|change| change(&mut mbox).is_ok()).count()
}

fn none_is_lost(cut: Cut, promised: usize, stages: &[Vec<(String, Flags)>], dir: &Dir) {
    let found = shown(dir);
    assert!(stages[promised..].iter().take(2).any(|stage| *stage == found), "{cut:?}: {found:?}");
    assert!(dir.stat(".kevin.facteur-journal").is_err(), "{cut:?}");
}

/// As the layout says, and as it was written by the first that wrote any.
#[test]
fn a_journal_is_read_as_it_always_was() {
    let (old, new) =
        ("From a@b  Fri Nov 20 16:11:07 2026\n\nold\n\n", "From a@b  Fri Nov 20 16:11:07 2026\n\nnewer\n\n");
    let fnv = |parts: &[&[u8]]| {
        parts.concat().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    let before = PLAIN.len() as u64;
    let numbers = [before, before + old.len() as u64, fnv(&[old.as_bytes()]), fnv(&[]), new.len() as u64];
    let mut journal = b"facteur-mbox-journal 1\n".to_vec();
    numbers.iter().for_each(|number| journal.extend(number.to_le_bytes()));
    let hash = fnv(&[&journal, new.as_bytes()]);
    journal.extend(hash.to_le_bytes());
    journal.extend_from_slice(new.as_bytes());
    for torn in [old, &new[..old.len()], new] {
        let dir = dir_with(&format!("{PLAIN}{torn}"));
        dir.create(".kevin.facteur-journal", 0o600).and_then(|file| file.append(&journal)).expect("written");
        let place = Place { dir: dir.clone(), name: "kevin".into(), privileged: None, timeout: Duration::ZERO };
        let file = dir.open_file("kevin", durable::Access::ReadWrite).expect("open");
        super::journal::recover(&place, &file).expect("recovered");
        let end = if torn == old { old } else { new };
        assert_eq!(text(&dir), format!("{PLAIN}{end}"), "{torn:?}");
    }
}

/// A writer whose power failed; its holder is gone, whoever has its number now.
#[test]
fn a_reader_does_not_show_a_torn_message() {
    let message = "\nFrom x@y  Fri Nov 20 16:12:00 2026\nSubject: new\n\nnew\n\n";
    for torn in [message, &message[..5], &message[..message.len() - 9]] {
        let dir = dir_with(DOVECOT);
        let file = dir.open_file("kevin", durable::Access::Append).expect("open");
        let (inode, began) = (file.meta().expect("meta").inode, DOVECOT.len());
        let numbers = format!("append {inode} {began} {began} {} last", message.len());
        let lock = dir.create("kevin.lock", 0o644).expect("create");
        lock.append(format!("1\nanother boot\n\n{numbers:<96}\n{message}").as_bytes()).expect("write");
        file.append(torn.as_bytes()).expect("write");
        let place = Place { dir: dir.clone(), name: "kevin".into(), privileged: None, timeout: Duration::from_secs(5) };
        let mut mbox = Mbox::open(place, Path::new("/nonexistent"), 60).expect("open");
        assert_eq!(uids(&mbox).len(), if torn == message { 3 } else { 2 });
        assert_eq!(mbox.read(uid(9)).expect("read"), b"Subject: two\r\n\r\nsecond\r\n");
        assert!(dir.stat("kevin.lock").is_err());
    }
}

#[test]
fn a_header_cut_off_by_the_end_of_the_file_has_the_size_that_is_read() {
    for text in [
        "Subject: a",
        "Subject: a\n",
        "Subject: a\nStatus: RO",
        "Status: RO",
        "",
        "Subject: a\r",
        "Subject: a\n\n",
        "Subject: a\n\nb",
    ] {
        let dir = dir_with(&format!("From a@b  Fri Nov 20 16:11:07 2026\n{text}"));
        let mut mbox = open(&dir);
        for message in mbox.snapshot().messages.clone() {
            assert_eq!(
                mbox.read(message.uid).expect("read").len() as u64,
                mbox.size(message.uid).expect("size"),
                "{text:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn written_then_read(messages in proptest::collection::vec(("[a-zA-Z ]{0,20}", "([a-zA-Z> ]{0,12}\n|From \n|\n){0,6}[a-z]{0,5}"), 1..6)) {
        let dir = Forgetful::default().root();
        let contents: Vec<String> = messages.iter().map(|(subject, body)| format!("Subject: {subject}\n\n{body}")).collect();
        let new: Vec<NewMessage<'_>> = contents
            .iter()
            .map(|content| NewMessage { content: content.as_bytes(), flags: Flags::default(), date: Moment::utc(0) })
            .collect();
        let mut mbox = open(&dir);
        let given = mbox.append(&new).expect("append");
        let mut again = open(&dir);
        prop_assert_eq!(again.snapshot().messages.len(), contents.len());
        for (uid, content) in given.iter().zip(&contents) {
            let mut want = content.replace("\nFrom ", "\n>From ");
            if !want.ends_with('\n') {
                want.push('\n');
            }
            let read = again.read(*uid).expect("read");
            prop_assert_eq!(String::from_utf8_lossy(&read).replace("\r\n", "\n"), want);
            prop_assert_eq!(again.size(*uid).expect("size"), read.len() as u64);
        }
    }

    #[test]
    fn any_file_can_be_read(lines in proptest::collection::vec(prop_oneof![
        Just("From a@b Fri Nov 20 16:11:07 2026".to_owned()),
        Just(String::new()),
        Just("X-IMAPbase: 5 9 a".to_owned()),
        "(X-UID|Status|Content-Length|Subject): [0-9ROa-z]{0,4}",
        "[ -~]{0,20}",
    ], 0..40)) {
        let dir = dir_with(&lines.join("\n"));
        let mut mbox = open(&dir);
        for message in mbox.snapshot().messages.clone() {
            let read = mbox.read(message.uid).expect("read");
            let mut reading = mbox.begin(message.uid).expect("begin");
            let mut pieces = Vec::new();
            while let Some(piece) = Some(mbox.read_from(&mut reading, pieces.len() as u64, 7).expect("read")).filter(|piece| !piece.is_empty()) {
                pieces.extend(piece);
            }
            prop_assert_eq!(&pieces, &read);
            prop_assert_eq!(read.len() as u64, mbox.size(message.uid).expect("size"), "{:?}", lines);
        }
        prop_assert_eq!(uids(&open(&dir)), uids(&mbox));
    }
}
