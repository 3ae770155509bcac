//! Files that Dovecot 2.3.19.1 wrote, read after it: uids, validity, flags and keywords as it showed them.

use std::fs;

use mail::{Flag, Uid};
use mailstore::{Location, Mailbox, MailboxName, Options, Store};

const MBOX: &str = include_str!("samples/dovecot-2.3.19.mbox");
const UIDLIST: &str = include_str!("samples/dovecot-2.3.19.uidlist");

fn inbox(location: Location) -> Mailbox {
    Store::open(location, Options::default()).and_then(|store| store.mailbox(&MailboxName::inbox())).expect("open")
}

fn uids(mailbox: &Mailbox) -> Vec<u32> {
    mailbox.snapshot().messages.iter().map(|message| message.uid.get()).collect()
}

#[test]
fn its_mbox() {
    let home = tempfile::tempdir().expect("tempdir");
    let file = home.path().join("kevin");
    fs::write(&file, MBOX).expect("write");
    let mut mailbox = inbox(Location::Mbox { inbox: file.clone(), folders: home.path().join("mail") });
    assert_eq!(uids(&mailbox), [3, 4, 5, 6]);
    let snapshot = mailbox.snapshot().clone();
    assert_eq!((snapshot.uid_validity.get(), snapshot.uid_next.get()), (1_795_203_325, 7));
    let flags = &snapshot.messages[1].flags;
    assert!(flags.has(Flag::Flagged) && !flags.has(Flag::Seen) && flags.keywords.contains("$Other"));
    assert!(snapshot.messages[0].flags.has(Flag::Seen));
    let last = Uid::new(6).expect("not zero");
    assert_eq!(mailbox.read(last).expect("read"), b"Subject: saved\r\n\r\nby dovecot\r\n");
    assert_eq!(mailbox.size(last).expect("size"), 30);
    assert_eq!(fs::read_to_string(&file).expect("read"), MBOX, "reading writes nothing");
}

#[test]
fn its_maildir() {
    let home = tempfile::tempdir().expect("tempdir");
    let root = home.path().join("Maildir");
    fs::create_dir_all(root.join("cur")).expect("mkdir");
    fs::write(root.join("dovecot-uidlist"), UIDLIST).expect("write");
    fs::write(root.join("dovecot-keywords"), "0 $Label1\n1 $Other\n").expect("write");
    for (line, flags) in UIDLIST.lines().skip(1).zip(["Sa", "Fb", "Sa", ""]) {
        let name = line.split_once(':').expect("a record").1;
        fs::write(root.join("cur").join(format!("{name}:2,{flags}")), "Subject: x\n\nx\n").expect("write");
    }
    let mailbox = inbox(Location::Maildir { root: root.clone() });
    assert_eq!((uids(&mailbox), mailbox.snapshot().uid_next.get()), (vec![3, 4, 5, 6], 7));
    assert_eq!(mailbox.uidl(Uid::new(6).expect("not zero")).expect("uidl"), "000000066b00a0df");
    assert!(mailbox.snapshot().messages[1].flags.keywords.contains("$Other"));
    assert_eq!(fs::read_to_string(root.join("dovecot-uidlist")).expect("read"), UIDLIST, "reading writes nothing");
}
