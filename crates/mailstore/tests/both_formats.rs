//! The same story told by a Maildir and by mbox files: what a reader sees must not depend on the format.

use std::path::Path;

use mail::date::Moment;
use mail::{Flag, Flags};
use mailstore::{Error, FlagChange, Location, MailboxName, NewMessage, Options, Store};

fn stores(home: &Path) -> [Store; 2] {
    std::fs::create_dir(home.join("spool")).expect("mkdir");
    let places = [
        Location::Maildir { root: home.join("Maildir") },
        Location::Mbox { inbox: home.join("spool/kevin"), folders: home.join("mail") },
    ];
    places.map(|place| Store::open(place, Options::default()).expect("open"))
}

fn message(content: &str) -> NewMessage<'_> {
    NewMessage { content: content.as_bytes(), flags: Flags::default(), date: Moment::utc(1_795_191_110) }
}

fn names(store: &Store) -> Vec<String> {
    store.list().expect("list").into_iter().filter(|f| f.selectable).map(|f| f.name.to_string()).collect()
}

#[test]
fn a_readers_session() {
    let home = tempfile::tempdir().expect("tempdir");
    for store in stores(home.path()) {
        assert_eq!(names(&store), ["INBOX"]);
        let sent = store.name("Sent").expect("a name");
        store.create(&sent).expect("create");
        assert!(matches!(store.create(&sent), Err(Error::AlreadyExists)));
        let mut inbox = store.mailbox(&MailboxName::inbox()).expect("inbox");
        let mut target = store.mailbox(&sent).expect("sent");
        inbox.writable().expect("writable");
        let new = [message("Subject: a\r\n\r\none\r\n"), message("Subject: b\r\n\r\ntwo\r\n")];
        let uids = inbox.append(&new).expect("append");
        assert_eq!(inbox.refresh().expect("refresh").appeared, uids);
        assert_eq!(inbox.claim_recent().expect("claim"), uids);
        let mut seen = Flags::default();
        seen.set(Flag::Seen);
        seen.keywords.insert("$Junk".into());
        assert_eq!(inbox.set_flags(&uids[..1], &FlagChange::Add(seen.clone())).expect("flags"), uids[..1]);
        assert_eq!(inbox.keywords(), ["$Junk"]);
        let pairs = inbox.mv(&uids[..1], &mut target).expect("move");
        assert_eq!(inbox.snapshot().messages.len(), 1);
        let copy = pairs[0].1;
        assert_eq!(target.read(copy).expect("read"), b"Subject: a\r\n\r\none\r\n");
        assert_eq!(target.read_header(copy).expect("read"), b"Subject: a\r\n\r\n");
        assert_eq!(target.size(copy).expect("size"), 19);
        assert_eq!(target.date(copy).expect("date"), Moment::utc(1_795_191_110));
        assert_eq!(target.flags(copy), Some(&seen));
        assert_eq!(target.copy_here(&[copy]).expect("copy").len(), 1);
        assert_eq!(target.uidl(copy).expect("uidl").len(), 16);
        assert!(!inbox.watch().is_empty());
        drop((inbox, target));

        let mut again = store.mailbox(&sent).expect("sent");
        assert_eq!(again.snapshot().messages.len(), 2);
        assert_eq!(again.flags(copy), Some(&seen));
        assert_eq!(again.expunge(&[copy]).expect("expunge"), [copy]);
        let archive = store.name(&format!("Old{}2026", store.separator())).expect("a name");
        store.rename(&sent, &archive).expect("rename");
        assert_eq!(names(&store), ["INBOX", archive.as_str()]);
        store.subscribe(&archive).expect("subscribe");
        assert_eq!(store.subscriptions().expect("list"), std::slice::from_ref(&archive));
        store.unsubscribe(&archive).expect("unsubscribe");
        assert_eq!(store.subscriptions().expect("list"), []);
        store.rename(&MailboxName::inbox(), &sent).expect("rename INBOX");
        assert_eq!(store.mailbox(&sent).expect("sent").snapshot().messages.len(), 1);
        assert!(store.mailbox(&MailboxName::inbox()).expect("inbox").snapshot().messages.is_empty());
        store.delete(&archive).expect("delete");
        assert!(matches!(store.mailbox(&archive), Err(Error::NoMailbox)));
        assert!(matches!(store.delete(&MailboxName::inbox()), Err(Error::InUse)));
    }
}

#[test]
fn a_large_message_is_read_piece_by_piece_while_the_mailbox_changes() {
    let home = tempfile::tempdir().expect("tempdir");
    for store in stores(home.path()) {
        let mut inbox = store.mailbox(&MailboxName::inbox()).expect("inbox");
        let large = format!("Subject: large\r\n\r\n{}", "From here to there\r\n".repeat(20_000));
        let uids = inbox.append(&[message("Subject: a\r\n\r\none\r\n"), message(&large)]).expect("append");
        let whole = inbox.read(uids[1]).expect("read");
        assert_eq!(inbox.exact_size(uids[1]).expect("size"), whole.len() as u64);
        let (mut reading, mut pieces) = (inbox.begin(uids[1]).expect("begin"), Vec::new());
        for round in 0.. {
            let piece = inbox.read_from(&mut reading, pieces.len() as u64, 100_000).expect("read");
            assert!(piece.len() <= 100_000);
            if piece.is_empty() {
                break;
            }
            pieces.extend(piece);
            let mut other = store.mailbox(&MailboxName::inbox()).expect("inbox");
            match round {
                0 => drop(other.append(&[message("Subject: b\r\n\r\nthree\r\n")]).expect("append")),
                1 => drop(other.expunge(&uids[..1]).expect("expunge")),
                _ => (),
            }
        }
        assert!(pieces == whole);
        assert_eq!(inbox.read_from(&mut reading, 20, 10).expect("back"), whole[20..30]);
    }
}

#[test]
fn messages_come_piece_by_piece() {
    let home = tempfile::tempdir().expect("tempdir");
    let date = Moment::utc(1_795_191_110);
    let mut flags = Flags::default();
    flags.set(Flag::Flagged);
    flags.keywords.insert("work".into());
    for store in stores(home.path()) {
        let mut inbox = store.mailbox(&MailboxName::inbox()).expect("inbox");
        let long = |head: &str| format!("{head}{}", "From here to there\r\n".repeat(100_000));
        let given_up = inbox.begin_append().expect("begin");
        drop(given_up);
        for text in ["Subject: a\r\n\r\none\r\n", &long("Subject: b\r\n\r\n"), &long("\r\n"), &long("X: header\r\n ")] {
            let mut incoming = inbox.begin_append().expect("begin");
            for piece in text.as_bytes().chunks(70_001) {
                incoming.write(piece).expect("write");
            }
            let uid = inbox.store(incoming, &flags, date).expect("store");
            assert_eq!(inbox.refresh().expect("refresh").appeared, [uid]);
            let read = String::from_utf8(inbox.read(uid).expect("read")).expect("text");
            let header_only = text.starts_with("X:");
            assert!(
                read.replace("\r\n>From ", "\r\nFrom ").trim_end() == text.trim_end() || header_only,
                "{}",
                &read[..200]
            );
            assert_eq!(inbox.size(uid).expect("size"), read.len() as u64);
            assert_eq!(inbox.date(uid).expect("date"), date);
            assert_eq!(inbox.flags(uid), Some(&flags));
        }
        let again = store.mailbox(&MailboxName::inbox()).expect("inbox");
        assert_eq!(again.snapshot().messages, inbox.snapshot().messages);
        assert_eq!(again.snapshot().messages.len(), 4);
    }
    let left = |place: &str| std::fs::read_dir(home.path().join(place)).expect("dir").count();
    assert_eq!((left("Maildir/tmp"), left("mail"), left("spool")), (0, 0, 1));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let home = tempfile::tempdir().expect("tempdir");
    for store in stores(home.path()) {
        for bad in ["", ".", "..", "../x", "a/../b", "~root", "a\nb", ".hidden", "a//b", "a..b/", "/etc/passwd"] {
            assert!(matches!(store.name(bad), Err(Error::BadName)), "{bad:?}");
        }
        assert_eq!(store.name("inbox").expect("a name"), MailboxName::inbox());
    }
}

/// Deliverers and a reader that flags and expunges work on one mailbox at the same time: every message is there or was
/// expunged, none twice, whatever the format.
#[test]
fn deliveries_beside_a_reader() {
    const WRITERS: u32 = 3;
    const EACH: u32 = 25;
    let home = tempfile::tempdir().expect("tempdir");
    for (which, store) in stores(home.path()).into_iter().enumerate() {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let home = home.path().to_owned();
                std::thread::spawn(move || (0..EACH).for_each(|n| deliver(&home, which, writer * EACH + n)))
            })
            .collect();
        let mut inbox = store.mailbox(&MailboxName::inbox()).expect("inbox");
        let mut deleted = Vec::new();
        while deleted.len() < 20 {
            inbox.refresh().expect("refresh");
            let Some(first) = inbox.snapshot().messages.first().map(|message| message.uid) else { continue };
            let mut seen = Flags::default();
            seen.set(Flag::Seen);
            inbox.set_flags(&[first], &FlagChange::Add(seen)).expect("flags");
            let text = inbox.read(first).expect("read");
            assert_eq!(inbox.expunge(&[first]).expect("expunge"), [first]);
            deleted.push(text);
        }
        for writer in writers {
            writer.join().expect("writer");
        }
        inbox.refresh().expect("refresh");
        let left: Vec<_> = inbox.snapshot().messages.iter().map(|message| message.uid).collect();
        deleted.extend(left.iter().map(|uid| inbox.read(*uid).expect("read")));
        deleted.sort();
        let mut wanted: Vec<_> =
            (0..WRITERS * EACH).map(|n| format!("Subject: {n}\r\n\r\nbody {n}\r\n").into_bytes()).collect();
        wanted.sort();
        assert!(deleted == wanted, "{which}: {} of {}", deleted.len(), wanted.len());
    }
}

fn deliver(home: &Path, which: usize, number: u32) {
    let dir = durable::Dir::open(home).expect("home");
    let name = format!("queued{which}-{number}");
    let file = dir.create(&name, 0o600).expect("create");
    let text = format!("Subject: {number}\n\nbody {number}\n");
    file.append(text.as_bytes()).expect("write");
    let content = mailstore::Content { prefix: b"", file: &file, range: 0..text.len() as u64 };
    if which == 0 {
        let delivery = mailstore::maildir::Delivery::open(&dir, "Maildir/", "vm").expect("open");
        delivery.deliver(&content).expect("deliver");
    } else {
        let how = mailstore::mbox::Append {
            sender: "a@b",
            date: Moment::utc(0),
            size_limit: 0,
            privileged: None,
            lock_timeout: std::time::Duration::from_secs(60),
        };
        mailstore::mbox::append(&dir.subdir("spool").expect("spool"), "kevin", &content, &how).expect("append");
    }
}

/// RFC 9051 §2.3.1.1: whoever comes after has other uids, be it in the same second.
#[test]
fn a_name_that_is_used_again_has_a_later_uidvalidity() {
    let home = tempfile::tempdir().expect("tempdir");
    for store in stores(home.path()) {
        let [trash, aside] = ["Trash", "Aside"].map(|name| store.name(name).expect("a name"));
        let mut last = 0;
        for round in 0..4 {
            store.create(&trash).expect("create");
            let mut mailbox = store.mailbox(&trash).expect("open");
            mailbox.append(&[message("Subject: a\r\n\r\none\r\n")]).expect("append");
            let validity = mailbox.snapshot().uid_validity.get();
            assert!(validity > last, "{validity} after {last}");
            last = validity;
            drop(mailbox);
            if round == 2 {
                store.rename(&trash, &aside).expect("rename");
            } else {
                store.delete(&trash).expect("delete");
            }
        }
    }
}
