//! A Maildir with what Dovecot, Courier and other programs leave in it, and programs that rename while we look.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use durable::Dir;
use durable::forgetful::Forgetful;
use mail::date::Moment;
use mail::{Flag, Flags, Uid};

use super::folder::{Maildir, Tree};
use super::name::Naming;
use crate::store::MailboxName;
use crate::{Error, FlagChange, NewMessage};

mod cuts;

const MESSAGE: &[u8] = b"Subject: a\r\n\r\nbody\r\n";

fn tree(root: Dir) -> Tree {
    Tree { root, naming: Arc::new(Naming::new("vm")), timeout: Duration::from_secs(5) }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("tempdir");
        for name in ["cur", "new", "tmp"] {
            fs::create_dir(place.path().join(name)).expect("mkdir");
        }
        Self(place)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn put(&self, name: &str, text: &[u8]) {
        fs::write(self.path(name), text).expect("write");
    }
    fn open(&self) -> Maildir {
        tree(Dir::open(self.0.path()).expect("open")).open(&MailboxName::inbox()).expect("inbox")
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("read")
    }
}

fn uids(maildir: &Maildir) -> Vec<u32> {
    maildir.snapshot().messages.iter().map(|message| message.uid.get()).collect()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not zero")
}

fn with(flag: Flag) -> Flags {
    let mut flags = Flags::default();
    flags.set(flag);
    flags
}

fn list(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).expect("list").map(|e| e.expect("entry").file_name().into_string().expect("utf-8")).collect();
    names.sort();
    names
}

#[test]
fn dovecots_maildir_is_taken_over() {
    let place = Place::new();
    place.put(
        "dovecot-uidlist",
        b"3 V1795191091 N26 G8a3b2f0c5d6e7f80123456789abcdef0\n7 W22 Pold :1.M1P1.vm,S=18\n25 :2.M1P1.vm\n",
    );
    place.put("dovecot-keywords", b"0 $Junk\n");
    place.put("cur/1.M1P1.vm,S=18:2,Sa", b"Subject: a\n\nbody\n\n");
    place.put("cur/2.M1P1.vm:2,", b"Subject: b\n\nb\n");
    place.put("new/3.M1P1.vm", b"Subject: c\n\nc\n");
    let mut maildir = place.open();
    assert_eq!(uids(&maildir), [7, 25, 26]);
    assert_eq!(maildir.snapshot().uid_validity.get(), 1_795_191_091);
    assert_eq!(maildir.snapshot().uid_next.get(), 27);
    assert!(maildir.snapshot().messages[0].flags.keywords.contains("$Junk"));
    assert_eq!(maildir.uidl(uid(7)).expect("uidl"), "old");
    assert_eq!(maildir.uidl(uid(25)).expect("uidl"), "000000196b007133");
    assert_eq!(maildir.size(uid(7)).expect("size"), 22);
    assert_eq!(maildir.size(uid(25)).expect("size"), 17);
    assert_eq!(maildir.read(uid(26)).expect("read"), b"Subject: c\r\n\r\nc\r\n");
    assert_eq!(maildir.read_header(uid(26)).expect("read"), b"Subject: c\r\n\r\n");
    assert_eq!(maildir.claim_recent().expect("claim"), [uid(26)]);
    assert_eq!(list(&place.path("cur"))[2], "3.M1P1.vm:2,");
    assert!(place.read("dovecot-uidlist").ends_with("25 :2.M1P1.vm\n26 :3.M1P1.vm\n"));
    drop(maildir);
    assert_eq!(uids(&place.open()), [7, 25, 26]);
}

#[test]
fn couriers_maildir_is_taken_over() {
    let place = Place::new();
    place.put("courierimapuiddb", b"1 1195191091 9\n3 1.M1P1.vm,S=4\n8 2.M1P1.vm\n");
    place.put("cur/1.M1P1.vm,S=4:2,S", b"a\n\nb");
    place.put("cur/2.M1P1.vm:2,", b"a\n\nb");
    let maildir = place.open();
    assert_eq!((uids(&maildir), maildir.snapshot().uid_validity.get()), (vec![3, 8], 1_195_191_091));
    assert!(place.read("dovecot-uidlist").starts_with("3 V1195191091 N9 G"));
}

#[test]
fn old_uids_mean_nothing_under_another_validity() {
    let place = Place::new();
    place.put("dovecot-uidlist", b"3 V1195191091 N3 G8a3b2f0c5d6e7f80123456789abcdef0\n1 :1.a\n2 :2.a\n");
    place.put("cur/1.a:2,", b"a\n\nb");
    place.put("cur/2.a:2,", b"a\n\nb");
    let mut maildir = place.open();
    assert_eq!(maildir.size(uid(1)).expect("size"), 6);
    fs::remove_file(place.path("cur/1.a:2,"))
        .and_then(|()| fs::remove_file(place.path("cur/2.a:2,")))
        .expect("emptied");
    place.put("dovecot-uidlist", b"3 V1195191099 N3 G8a3b2f0c5d6e7f80123456789abcdef1\n1 :3.a\n2 :4.a\n");
    place.put("cur/3.a:2,", b"new\n\n");
    place.put("cur/4.a:2,", b"newer\n\n");
    assert!(matches!(maildir.begin(uid(1)), Err(Error::NoMessage)));
    assert!(matches!(maildir.size(uid(1)), Err(Error::NoMessage)));
    assert_eq!(maildir.set_flags(&[uid(1)], &FlagChange::Add(with(Flag::Seen))).expect("flags"), []);
    assert_eq!(maildir.expunge(&[uid(1), uid(2)]).expect("expunge"), []);
    assert!(maildir.refresh().expect("refresh").renumbered);
    assert_eq!(maildir.expunge(&[uid(1)]).expect("expunge"), [uid(1)]);
    assert_eq!(list(&place.path("cur")), ["4.a:2,"]);
}

#[test]
fn a_new_maildir_gets_a_validity_once() {
    let place = Place::new();
    place.put("new/20.b", b"a\n\nb");
    place.put("new/3.a", b"a\n\nb");
    let first = place.open();
    assert_eq!(uids(&first), [1, 2]);
    assert!(place.read("dovecot-uidlist").lines().nth(1).expect("a record").ends_with(":3.a"), "arrival order");
    let validity = first.snapshot().uid_validity;
    assert_eq!(place.open().snapshot().uid_validity, validity);
    let hex = format!("{:08x}", validity.get());
    assert_eq!(place.read("dovecot-uidvalidity"), hex);
    assert!(place.path(&format!("dovecot-uidvalidity.{hex}")).exists());
}

#[test]
fn a_wrong_size_in_a_name_harms_nobody() {
    let place = Place::new();
    place.put("cur/1.vm,S=999,W=1000:2,", b"a\n\nb");
    place.put("cur/2.vm,S=x:2,", b"a: b\n\nb");
    let mut maildir = place.open();
    assert_eq!(maildir.read(uid(1)).expect("read"), b"a\r\n\r\nb");
    assert_eq!(maildir.size(uid(1)).expect("size"), 6);
    assert_eq!(maildir.size(uid(2)).expect("size"), 9);
}

#[test]
fn what_others_do_is_seen() {
    let place = Place::new();
    for n in 1..=3 {
        place.put(&format!("cur/{n}.vm:2,"), b"a\n\nb");
    }
    let mut maildir = place.open();
    fs::rename(place.path("cur/1.vm:2,"), place.path("cur/1.vm:2,FS")).expect("rename");
    fs::remove_file(place.path("cur/2.vm:2,")).expect("unlink");
    place.put("new/4.vm", b"a\n\nb");
    let changes = maildir.refresh().expect("refresh");
    assert_eq!((changes.flags, changes.vanished, changes.appeared), (vec![uid(1)], vec![uid(2)], vec![uid(4)]));
    assert!(maildir.refresh().expect("refresh").is_empty());
    assert!(maildir.snapshot().get(uid(1)).expect("1").flags.has(Flag::Flagged));
    assert!(matches!(maildir.read(uid(2)), Err(Error::NoMessage)));
}

#[test]
fn what_comes_back_is_a_new_message_for_every_session() {
    let place = Place::new();
    let text = b"Subject: a\n\nb\n";
    for name in ["1.M1P1.vm:2,S", "2.M1P1.vm:2,S"] {
        place.put(&format!("cur/{name}"), text);
    }
    let (inside, outside) = (place.path("cur/1.M1P1.vm:2,S"), place.path("tmp/away"));
    let mut maildir = place.open();
    fs::rename(&inside, &outside).expect("moved away");
    assert_eq!(maildir.refresh().expect("refresh").vanished, [uid(1)]);
    fs::rename(&outside, &inside).expect("moved back");
    assert_eq!(maildir.refresh().expect("refresh").appeared, [uid(3)]);
    assert_eq!((uids(&maildir), uids(&place.open())), (vec![2, 3], vec![2, 3]));
    // Nobody looks when it comes back.
    fs::rename(&inside, &outside).expect("moved away");
    assert_eq!(maildir.refresh().expect("refresh").vanished, [uid(3)]);
    drop(maildir);
    fs::rename(&outside, &inside).expect("moved back");
    assert_eq!(uids(&place.open()), [2, 4]);
    // We removed it ourselves.
    let mut maildir = place.open();
    maildir.expunge(&[uid(4)]).expect("expunged");
    fs::write(&inside, text).expect("restored");
    maildir.refresh().expect("refresh");
    assert_eq!((uids(&maildir), uids(&place.open())), (vec![2, 5], vec![2, 5]));
}

#[test]
fn two_files_of_one_name_are_two_messages() {
    let place = Place::new();
    place.put("cur/1.M1P1.vm,S=14:2,S", b"Subject: a\n\nb\n");
    let mut maildir = place.open();
    place.put("cur/1.M1P1.vm,S=14:2,F", b"Subject: c\n\nd\n");
    maildir.refresh().expect("refresh");
    assert_eq!(uids(&maildir), [1, 2]);
    assert_eq!(maildir.read(uid(1)).expect("read"), b"Subject: a\r\n\r\nb\r\n");
    assert_eq!(maildir.snapshot().messages[1].flags, with(Flag::Flagged));
    maildir.expunge(&[uid(1)]).expect("expunged");
    let mut again = place.open();
    assert_eq!((uids(&again), again.read(uid(2)).expect("read").len()), (vec![2], 17));
    // A program that renames by a second link is not done yet.
    fs::hard_link(place.path("cur").join(&list(&place.path("cur"))[0]), place.path("cur/x")).expect("link");
    let name = list(&place.path("cur"))[0].clone();
    fs::rename(place.path("cur/x"), place.path(&format!("new/{}", name.split(':').next().expect("base")))).expect("x");
    again.refresh().expect("refresh");
    assert_eq!((uids(&again), list(&place.path("cur"))), (vec![2], vec![name]));
}

#[test]
fn a_keyword_is_spelt_as_it_was_first() {
    let place = Place::new();
    place.put("dovecot-keywords", b"0 Foo\n");
    place.put("cur/1.M1P1.vm:2,", b"a\n\nb\n");
    let mut maildir = place.open();
    let mut named = Flags::default();
    named.keywords.insert("FOO".to_owned());
    maildir.set_flags(&[uid(1)], &FlagChange::Add(named)).expect("set");
    assert_eq!(maildir.snapshot().messages[0].flags.keywords, ["Foo".to_owned()].into());
}

#[test]
fn flags_expunge_append_copy() {
    let place = Place::new();
    let mut maildir = place.open();
    let mut flags = with(Flag::Seen);
    flags.keywords.insert("$Label1".into());
    let date = Moment::utc(1_795_191_110);
    let new = [
        NewMessage { content: MESSAGE, flags: flags.clone(), date },
        NewMessage { content: b"x", flags: Flags::default(), date },
    ];
    assert_eq!(maildir.append(&new).expect("append"), [uid(1), uid(2)]);
    assert_eq!(maildir.refresh().expect("refresh").appeared, [uid(1), uid(2)]);
    assert_eq!((maildir.read(uid(1)).expect("read"), maildir.size(uid(1)).expect("size")), (MESSAGE.to_vec(), 20));
    assert_eq!(maildir.date(uid(1)).expect("date"), date);
    assert_eq!(place.read("dovecot-keywords"), "0 $Label1\n");
    assert_eq!(maildir.set_flags(&[uid(1), uid(2)], &FlagChange::Add(with(Flag::Seen))).expect("flags"), [uid(2)]);
    assert_eq!(maildir.set_flags(&[uid(1)], &FlagChange::Replace(with(Flag::Deleted))).expect("flags"), [uid(1)]);
    let found = list(&place.path("cur"));
    // The names' own order is not that of the messages.
    let ends = |end: &str| found.iter().filter(|name| name.ends_with(end)).count();
    assert_eq!((found.len(), ends(",S=17,W=20:2,T"), ends(",S=1,W=1:2,S")), (2, 1, 1), "{found:?}");
    assert_eq!(maildir.copy_here(&[uid(2)]).expect("copy"), [(uid(2), uid(3))]);
    assert_eq!(maildir.expunge(&[uid(1), uid(2), uid(77)]).expect("expunge"), [uid(1), uid(2)]);
    assert_eq!((uids(&maildir), maildir.refresh().expect("refresh").vanished), (vec![3], vec![]));
    let tree = tree(Dir::open(place.0.path()).expect("open"));
    tree.create(&MailboxName("Sent.2026".into())).expect("create");
    let mut sent = tree.open(&MailboxName("Sent.2026".into())).expect("open");
    assert_eq!(maildir.copy(&[uid(3)], &mut sent).expect("copy"), [(uid(3), uid(1))]);
    assert_eq!(sent.read(uid(1)).expect("read"), b"x");
    assert!(sent.snapshot().uid_validity > maildir.snapshot().uid_validity);
    assert!(list(&place.path("tmp")).is_empty());
    assert!(matches!(maildir.copy(&[uid(3), uid(9)], &mut sent), Err(Error::NoMessage)));
    sent.refresh().expect("refresh");
    assert_eq!(uids(&sent), [1], "all or none");
}

#[test]
fn folders() {
    let place = Place::new();
    let tree = tree(Dir::open(place.0.path()).expect("open"));
    let name = |text: &str| MailboxName(text.into());
    let shown = || -> Vec<String> {
        let mark = |f: crate::Folder| {
            format!(
                "{}{}{}",
                f.name,
                if f.selectable { "" } else { "-" },
                if f.children == crate::Children::Some { "+" } else { "" }
            )
        };
        tree.list().expect("list").into_iter().map(mark).collect()
    };
    tree.create(&name("A.B")).expect("create");
    tree.create(&name("Z")).expect("create");
    assert!(matches!(tree.create(&name("Z")), Err(Error::AlreadyExists)));
    assert_eq!(shown(), ["INBOX", "A-+", "A.B", "Z"]);
    assert!(place.path(".A.B/maildirfolder").exists());
    tree.rename(&name("A"), &name("C.D")).expect("rename");
    assert_eq!(shown(), ["INBOX", "C-+", "C.D-+", "C.D.B", "Z"]);
    assert!(matches!(tree.rename(&name("Z"), &name("Z.Z")), Err(Error::BadName)));
    assert!(matches!(tree.rename(&name("Q"), &name("R")), Err(Error::NoMailbox)));
    assert!(matches!(tree.delete(&name("C")), Err(Error::InUse)));
    tree.delete(&name("C.D.B")).expect("delete");
    tree.delete(&name("Z")).expect("delete");
    assert!(matches!(tree.delete(&name("Z")), Err(Error::NoMailbox)));
    assert_eq!(shown(), ["INBOX"]);
    assert_eq!(list(place.0.path()), ["cur", "new", "tmp"]);
    place.put("new/1.vm", b"a\n\nb");
    tree.rename(&MailboxName::inbox(), &name("Old")).expect("rename");
    assert_eq!(uids(&tree.open(&name("Old")).expect("open")), [1]);
    assert!(uids(&place.open()).is_empty());
}

#[test]
fn a_renaming_program_beside_us_costs_no_uid() {
    let place = Place::new();
    for n in 1..=300 {
        place.put(&format!("cur/{n}.vm:2,"), b"a\n\nb");
    }
    let mut maildir = place.open();
    let before = uids(&maildir);
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU32::new(0));
    let (end, cur, done) = (stop.clone(), place.path("cur"), count.clone());
    let renamer = std::thread::spawn(move || {
        let mut rounds = 0_u32;
        while !end.load(Ordering::Relaxed) {
            let (from, to) = if rounds.is_multiple_of(2) { ("", "S") } else { ("S", "") };
            for n in 1..=300 {
                fs::rename(cur.join(format!("{n}.vm:2,{from}")), cur.join(format!("{n}.vm:2,{to}"))).expect("rename");
            }
            rounds += 1;
            done.store(rounds, Ordering::Relaxed);
        }
    });
    let mut vanished = Vec::new();
    while count.load(Ordering::Relaxed) < 60 {
        vanished.extend(maildir.refresh().expect("refresh").vanished);
        let n = uid(1 + vanished.len() as u32 % 300);
        match maildir.read(n) {
            Ok(text) => assert_eq!(text, b"a\r\n\r\nb"),
            Err(Error::NoMessage) => (),
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    renamer.join().expect("renamer");
    assert_eq!(vanished, []);
    maildir.refresh().expect("refresh");
    assert_eq!(uids(&maildir), before);
    assert_eq!(uids(&place.open()), before);
}

#[test]
fn two_processes_agree_on_uids() {
    let place = Place::new();
    let (mut one, mut two) = (place.open(), place.open());
    let new = |n: u8| [n; 3].to_vec();
    for n in 0..10 {
        let content = new(b'a' + n);
        let message = [NewMessage { content: &content, flags: Flags::default(), date: Moment::utc(0) }];
        let writer = if n % 2 == 0 { &mut one } else { &mut two };
        writer.append(&message).expect("append");
    }
    one.refresh().expect("refresh");
    two.refresh().expect("refresh");
    assert_eq!(uids(&one), (1..=10).collect::<Vec<_>>());
    for n in 1..=10 {
        assert_eq!(one.read(uid(n)).expect("read"), two.read(uid(n)).expect("read"));
    }
}

fn inbox(root: &Dir) -> Result<Maildir, Error> {
    // A lock file that a cut left is broken after two minutes.
    for lock in ["dovecot-uidlist.lock", "dovecot-keywords.lock"] {
        let _ = root.unlink(lock);
    }
    tree(root.clone()).open(&MailboxName::inbox())
}

fn with_old_mail(root: &Dir) {
    let mut maildir = inbox(root).expect("open");
    let old =
        [with(Flag::Seen), Flags::default()].map(|flags| NewMessage { content: b"old", flags, date: Moment::utc(0) });
    maildir.append(&old).expect("append");
}

#[test]
fn letters_that_no_message_bears_are_given_again() {
    let place = Place::new();
    place.put("new/1.M1P1.vm", MESSAGE);
    let mut maildir = place.open();
    let flags = |names: &[String]| {
        let mut flags = Flags::default();
        flags.keywords.extend(names.iter().cloned());
        flags
    };
    let all: Vec<String> = (0..26).map(|number| format!("k{number}")).collect();
    let first = maildir.snapshot().messages[0].uid;
    maildir.set_flags(&[first], &FlagChange::Add(flags(&all))).expect("26");
    let more = flags(&["late".to_owned(), "k4".to_owned()]);
    assert!(matches!(maildir.set_flags(&[first], &FlagChange::Add(more.clone())), Err(Error::KeywordLimit)));
    assert_eq!(maildir.keywords().len(), 26);
    maildir.set_flags(&[first], &FlagChange::Remove(flags(&all[3..5]))).expect("two less");
    assert_eq!(maildir.keywords().len(), 24);
    maildir.set_flags(&[first], &FlagChange::Add(more)).expect("room again");
    let table = place.read("dovecot-keywords");
    assert!(table.contains(" late\n") && table.contains(" k4\n") && !table.contains(" k3\n"), "{table}");
    let again = place.open();
    let keywords = &again.snapshot().messages[0].flags.keywords;
    assert!(keywords.len() == 26 && keywords.contains("late") && keywords.contains("k25"), "{keywords:?}");
}

#[test]
fn what_cannot_be_written_says_so() {
    let refused = |change: fn(&mut Maildir) -> Result<Vec<Uid>, Error>| {
        let disk = Forgetful::default();
        let mut maildir = tree(disk.root()).open(&MailboxName::inbox()).expect("open");
        let content = [NewMessage { content: b"x", flags: with(Flag::Seen), date: Moment::utc(0) }];
        maildir.append(&content).expect("append");
        maildir.refresh().expect("refresh");
        disk.fail_at(disk.steps(), nix::libc::EACCES);
        assert!(matches!(change(&mut maildir), Err(Error::ReadOnly(_))));
        assert_eq!(maildir.snapshot().get(uid(1)).expect("still there").flags, with(Flag::Seen));
        assert_eq!(maildir.read(uid(1)).expect("read"), b"x");
    };
    refused(|maildir| maildir.set_flags(&[uid(1)], &FlagChange::Add(with(Flag::Deleted))));
    refused(|maildir| maildir.expunge(&[uid(1)]));
    refused(|maildir| {
        let content = [NewMessage { content: b"y", flags: Flags::default(), date: Moment::utc(0) }];
        maildir.append(&content)
    });
}
