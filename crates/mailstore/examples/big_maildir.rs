//! Makes a Maildir of N messages (default 50,000) in a directory of its own and times what a reader does first:
//! open without control files, open with them, an unchanged and a changed refresh, all sizes, all headers, a search.

use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use mailstore::search::Body;
use mailstore::{Location, MailboxName, Options, Store};

fn main() {
    let count: u32 = env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(50_000);
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("Maildir");
    make(&root, count);
    let store = Store::open(Location::Maildir { root: root.clone() }, Options::default()).expect("open");
    let inbox = MailboxName::inbox();
    timed("first open, uids assigned", || drop(store.mailbox(&inbox).expect("inbox")));
    let mut mailbox = timed("open again", || store.mailbox(&inbox).expect("inbox"));
    assert_eq!(mailbox.snapshot().messages.len(), count as usize);
    timed("refresh, nothing changed", || assert!(mailbox.refresh().expect("refresh").is_empty()));
    fs::write(root.join("new/9999999999.M1P1.vm"), "Subject: x\n\nx\n").expect("write");
    timed("refresh, one more message", || assert_eq!(mailbox.refresh().expect("refresh").appeared.len(), 1));
    let uids: Vec<_> = mailbox.snapshot().messages.iter().map(|message| message.uid).collect();
    timed("all sizes", || uids.iter().map(|uid| mailbox.size(*uid).expect("size")).sum::<u64>());
    timed("all headers", || uids.iter().map(|uid| mailbox.read_header(*uid).expect("header").len()).sum::<usize>());
    timed("search all bodies", || {
        let mut found = |uid| Body::open(&mut mailbox, uid)?.contains(&mut mailbox, "nowhere");
        uids.iter().filter(|uid| found(**uid).expect("read")).count()
    });
}

fn make(root: &Path, count: u32) {
    for name in ["cur", "new", "tmp"] {
        fs::create_dir_all(root.join(name)).expect("mkdir");
    }
    let body = "All work and no play makes a dull message.\n".repeat(90);
    for n in 0..count {
        let text = format!("From: a{n}@b.org\nTo: kevin\nSubject: number {n}\nMessage-ID: <{n}@b.org>\n\n{body}");
        let wide = text.len() + text.matches('\n').count();
        let name = format!("{}.M{n}P7.vm,S={},W={wide}:2,S", 1_700_000_000 + n, text.len());
        fs::write(root.join("cur").join(name), text).expect("write");
    }
}

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = action();
    println!("{what:<28} {:>9.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    result
}
