//! Encode and parse agree; no octets, however odd or split, make a machine panic or answer differently.

use imap::grammar::mailbox::{decode, encode};
use imap::grammar::set::{Ranges, sequence_set};
use imap::grammar::{Cursor, Syntax};
use imap::session::Settings;
use imap::{Answer, Login, LoginAnswer, Session, login};
use mail::{Uid, UidValidity};
use proptest::prelude::*;
use wire::{Effect, Input, Machine, Piece, Reader, Security};

proptest! {
    #[test]
    fn mailbox_names(name in "[a-zé&日😀 ./-]{0,30}") {
        prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
    }

    #[test]
    fn a_mailbox_name_has_one_form(wire in proptest::collection::vec(prop_oneof![Just(b'&'), Just(b'-'), b'A'..=b'Z', any::<u8>()], 0..20)) {
        if let Some(name) = decode(&wire) {
            let again = encode(&name);
            prop_assert_eq!(again.as_bytes(), wire);
        }
    }

    #[test]
    fn sets(numbers in proptest::collection::btree_set(1_u32..300, 1..50)) {
        let written = Ranges::from_numbers(numbers.iter().copied()).to_string();
        let set = sequence_set(&mut Cursor::new(written.as_bytes())).expect("what we wrote");
        let read = set.resolve(1);
        prop_assert_eq!(read.to_string(), written);
        for number in 1..300 {
            prop_assert_eq!(read.contains(number), numbers.contains(&number));
        }
    }

    #[test]
    fn a_set_is_written_as_read(text in "[0-9*:,]{1,20}") {
        match sequence_set(&mut Cursor::new(text.as_bytes())) {
            Ok(set) => {
                let again = set.to_string();
                prop_assert_eq!(sequence_set(&mut Cursor::new(again.as_bytes())), Ok(set));
            }
            Err(error) => prop_assert_eq!(error, Syntax::MessageSet),
        }
    }

    #[test]
    fn any_split_gives_the_same_session(octets in dialogue(), cuts in proptest::collection::vec(1_usize..40, 1..20)) {
        prop_assert_eq!(after_login(&octets, &[octets.len().max(1)]), after_login(&octets, &cuts));
    }

    #[test]
    fn any_split_gives_the_same_login(octets in dialogue(), cuts in proptest::collection::vec(1_usize..40, 1..20)) {
        prop_assert_eq!(before_login(&octets, &[octets.len().max(1)]), before_login(&octets, &cuts));
    }
}

/// Lines that are mostly IMAP, with noise between.
fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("a "),
        Just("SELECT inbox"),
        Just("FETCH 1:* (FLAGS BODY[1.HEADER]<0.5> BODYSTRUCTURE ENVELOPE)"),
        Just("FETCH "),
        Just("STORE 1 "),
        Just("+FLAGS (\\Deleted)"),
        Just("EXPUNGE"),
        Just("SEARCH "),
        Just("OR SEEN "),
        Just("("),
        Just(")"),
        Just("APPEND x {3+}\r\nabc"),
        Just("IDLE"),
        Just("DONE"),
        Just("{3}"),
        Just("{2+}"),
        Just("\""),
        Just("\\"),
        Just("LOGIN "),
        Just("kevin "),
        Just("AUTHENTICATE PLAIN "),
        Just("LIST \"\" *"),
        Just("UID "),
        Just("COPY 1 x"),
        Just("MOVE 1 x"),
        Just("1:2,* "),
        Just("\r\n"),
        Just("\r\n"),
        Just("\n"),
        Just("CLOSE"),
        Just("STATUS x (UNSEEN)"),
    ];
    let noise = proptest::collection::vec(any::<u8>(), 0..3);
    proptest::collection::vec((word, prop_oneof![4 => Just(Vec::new()), 1 => noise]), 0..40).prop_map(|parts| {
        parts.into_iter().flat_map(|(word, noise)| [word.as_bytes().to_vec(), noise].concat()).collect()
    })
}

fn before_login(octets: &[u8], cuts: &[usize]) -> Vec<u8> {
    let settings = login::Settings {
        greeting: "Facteur ready.".into(),
        passwords_in_clear: login::Permission::Granted,
        start_tls: login::Permission::Denied,
    };
    run(Login::new(settings), octets, cuts, |_| LoginAnswer::Refused)
}

fn after_login(octets: &[u8], cuts: &[usize]) -> Vec<u8> {
    let settings = Settings { tag: "a".into(), separator: '.', patience: 9, append_limit: 100, line_limit: 8192 };
    run(Session::new(settings), octets, cuts, |question| world(&question))
}

/// A world in which all is well, and INBOX holds two messages.
fn world(question: &imap::Question) -> Answer {
    use imap::question::{Changes, Counts, Data, Known, Opened, Question};
    let uid = |number| Uid::new(number).expect("not zero");
    let (validity, flags) = (UidValidity::new(7).expect("not zero"), mail::Flags::default());
    match question {
        Question::Folders => Answer::Folders(Vec::new()),
        Question::Open(..) => Answer::Opened(Opened {
            uid_validity: validity,
            uid_next: uid(3),
            messages: [1, 2].map(|n| Known { uid: uid(n), flags: flags.clone(), recent: false }).to_vec(),
            keywords: Vec::new(),
            most_keywords: None,
            writable: true,
        }),
        Question::Status(_) => {
            Answer::Status(Counts { messages: 2, recent: 0, unseen: 2, uid_next: uid(3), uid_validity: validity })
        }
        Question::Sync(_) => Answer::Changes(Changes::default()),
        Question::Read(uids, _) => {
            let octets =
                bytes::Bytes::from_static(b"From: a\r\nContent-Type: message/rfc822\r\n\r\nTo: b\r\n\r\nc\r\n");
            let data = Data { date: mail::date::Moment::utc(0), size: 50, octets, large: None };
            Answer::Messages(uids.iter().map(|_| Ok(data.clone())).collect())
        }
        Question::Octets(..) => Answer::Refused(imap::question::Trouble::Internal),
        Question::Store(uids, _, flags) => Answer::Stored(uids.iter().map(|uid| (*uid, flags.clone())).collect()),
        Question::Expunge(uids) => Answer::Expunged(uids.clone()),
        Question::Copy(uids, _) | Question::Move(uids, _) => {
            Answer::Copied(validity, uids.iter().map(|uid| (*uid, *uid)).collect())
        }
        Question::Search(uids, _) => Answer::Found(uids.clone()),
        Question::AppendCommit => Answer::Appended(validity, uid(3)),
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

/// All that the machine sends for these octets, cut at these lengths in turn.
fn run<M: Machine>(
    mut machine: M,
    octets: &[u8],
    cuts: &[usize],
    answer: impl Fn(M::Question) -> M::Answer,
) -> Vec<u8> {
    let mut reader = Reader::new(8192);
    let (mut sent, mut closed) = (Vec::new(), false);
    let mut give = |machine: &mut M, reader: &mut Reader, input: Input<'_, M::Answer>, closed: &mut bool| {
        let mut effects = Vec::new();
        machine.handle(input, &mut effects);
        loop {
            let mut asked = None;
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send(octets) => sent.extend_from_slice(&octets),
                    Effect::Ask(question) => asked = Some(question),
                    Effect::Frame(framing) => reader.set_framing(framing),
                    Effect::Close | Effect::Detach | Effect::StartTls => *closed = true,
                    Effect::Log(_) | Effect::Pause(_) => {}
                }
            }
            match asked {
                Some(question) => machine.handle(Input::Answer(answer(question)), &mut effects),
                None => return,
            }
        }
    };
    give(&mut machine, &mut reader, Input::Start(Security::Clear), &mut closed);
    let (mut rest, mut cuts) = (octets, cuts.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*cuts.next().expect("cycle")).min(rest.len()));
        rest = later;
        reader.feed(now);
        while !closed {
            let mut waiting = core::mem::take(&mut reader);
            let piece = match waiting.next() {
                None => {
                    reader = waiting;
                    break;
                }
                Some(Piece::Line(line, end)) => Owned::Line(line.to_vec(), end),
                Some(Piece::LineTooLong) => Owned::TooLong,
                Some(Piece::Chunk(octets)) => Owned::Chunk(octets.to_vec()),
                Some(Piece::ChunkEnd(odd)) => Owned::End(odd),
            };
            reader = waiting;
            let input = match &piece {
                Owned::Line(line, end) => Input::Line(line, *end),
                Owned::TooLong => Input::LineTooLong,
                Owned::Chunk(octets) => Input::Chunk(octets),
                Owned::End(odd) => Input::ChunkEnd(*odd),
            };
            give(&mut machine, &mut reader, input, &mut closed);
        }
    }
    sent
}

enum Owned {
    Line(Vec<u8>, wire::LineEnd),
    TooLong,
    Chunk(Vec<u8>),
    End(wire::Oddities),
}
