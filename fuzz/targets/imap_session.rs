//! IMAP after login, over a mailbox of three messages.
#![no_main]

use bytes::Bytes;
use fuzz::{Chance, drive};
use imap::question::{Changes, Children, Counts, Data, Folder, FolderKind, Known, Large, Missing, Opened, Trouble};
use imap::session::Settings;
use imap::{Answer, Question, Session};
use libfuzzer_sys::fuzz_target;
use mail::date::Moment;
use mail::header;
use mail::mime::Scanner;
use mail::{Flags, Uid, UidValidity};

fuzz_target!(|data: &[u8]| {
    let (chance, octets) = Chance::split(data);
    let settings = Settings { tag: "a".into(), separator: '.', patience: 9, append_limit: 1000, line_limit: 1024 };
    drive(Session::new(settings), octets, chance, world);
});

fn world(question: Question, chance: &mut Chance) -> Answer {
    match chance.below(16) {
        1 => return Answer::Refused(Trouble::NoMailbox),
        2 => return Answer::Refused(Trouble::Internal),
        3 => return Answer::Done,
        _ => {}
    }
    match question {
        Question::Folders => Answer::Folders(vec![Folder {
            name: "INBOX".into(),
            kind: FolderKind::Mailbox,
            children: Children::None,
            subscribed: true,
            uses: Vec::new(),
        }]),
        Question::Open(..) => Answer::Opened(Opened {
            uid_validity: validity(),
            uid_next: uid(9),
            messages: [2, 5, 8].map(known).to_vec(),
            keywords: Vec::new(),
            most_keywords: (chance.below(2) == 1).then_some(1),
            writable: chance.below(3) != 1,
        }),
        Question::Status(_) => {
            Answer::Status(Counts { messages: 3, recent: 0, unseen: 1, uid_next: uid(9), uid_validity: validity() })
        }
        Question::Sync(_) => Answer::Changes(changes(chance)),
        Question::Read(uids, _) => {
            let one = |_| match chance.below(6) {
                1 => Err(Missing::Gone),
                2 => Err(Missing::Unreadable),
                _ => Ok(message(chance)),
            };
            Answer::Messages(uids.iter().map(one).collect())
        }
        Question::Octets(_, range) => {
            let length = usize::try_from(range.end - range.start).expect("small").min(1 + chance.below(40) as usize);
            Answer::Octets(vec![b'x'; length].into())
        }
        Question::Store(uids, _, flags) => Answer::Stored(uids.into_iter().map(|uid| (uid, flags.clone())).collect()),
        Question::Expunge(uids) => Answer::Expunged(uids),
        Question::Copy(uids, _) | Question::Move(uids, _) => {
            Answer::Copied(validity(), uids.into_iter().map(|uid| (uid, uid)).collect())
        }
        Question::Search(uids, _) => Answer::Found(uids),
        Question::AppendCommit => Answer::Appended(validity(), uid(9)),
        Question::Close
        | Question::Create(..)
        | Question::Delete(_)
        | Question::Rename(..)
        | Question::Subscribe(_)
        | Question::Unsubscribe(_)
        | Question::AppendBegin(_)
        | Question::AppendChunk(_)
        | Question::AppendCancel => Answer::Done,
    }
}

fn changes(chance: &mut Chance) -> Changes {
    match chance.below(6) {
        1 => Changes { vanished: vec![uid(5)], ..Changes::default() },
        2 => Changes { flags: vec![(uid(2), Flags::default()), (uid(77), Flags::default())], ..Changes::default() },
        3 => Changes { appeared: vec![known(100 + chance.below(1000))], ..Changes::default() },
        4 => Changes { lost: chance.below(4) == 0, ..Changes::default() },
        _ => Changes::default(),
    }
}

fn message(chance: &mut Chance) -> Data {
    let texts: [&'static [u8]; 4] = [
        b"From: a <a@b>\r\nSubject: =?utf-8?q?x?=\r\nTo: g: x, y@z;\r\n\r\nbody\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\nz\r\n--x--\r\n",
        b"\r\n",
        b"",
    ];
    let octets = Bytes::from_static(texts[chance.below(4) as usize]);
    let date = Moment::parse_imap(b"20-Nov-2026 16:11:50 +0000").expect("a date");
    if chance.below(4) != 1 {
        return Data { date, size: octets.len() as u64, octets, large: None };
    }
    let mut scanner = Scanner::default();
    scanner.feed(&octets);
    let large = Some(Box::new(Large { scanned: (chance.below(2) == 1).then(|| scanner.finish()) }));
    Data { date, size: octets.len() as u64, octets: octets.slice(..header::length(&octets)), large }
}

fn known(number: u32) -> Known {
    Known { uid: uid(number), flags: Flags::default(), recent: number == 8 }
}

fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not zero")
}

fn validity() -> UidValidity {
    UidValidity::new(7).expect("not zero")
}
