//! The SMTP and LMTP client machine: the input is what the server says, the world has mail of all kinds.
#![no_main]

use std::cell::Cell;

use fuzz::{Chance, drive};
use libfuzzer_sys::fuzz_target;
use mail::{Address, Body, Envelope, Recipient};
use sasl::client::{Login, Mechanism};
use smtp::client::{
    Answer, Authentication, Dialect, Fate, Host, Message, Myself, Question, Session, Settings, TlsWish,
};
use smtp::downgrade::Sealed;
use wire::Secret;

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let mut settings = Settings::new("vm", Host { name: "mx".into(), address: "192.0.2.1".into() });
    if chance.below(3) == 1 {
        settings.dialect = Dialect::Lmtp;
    }
    settings.tls = [TlsWish::Off, TlsWish::May, TlsWish::Must][chance.below(3) as usize];
    settings.login = (chance.below(2) == 1).then(|| Authentication {
        login: Login { user: "user".into(), secret: Secret::new("pencil".into()) },
        mechanisms: Mechanism::ALL.to_vec(),
        in_clear: Mechanism::ALL.to_vec(),
        nonce: "rOprNGfwEbeRWgbNEkqO".into(),
        soft_bounce: chance.below(2) == 0,
    });
    settings.myself = Some(Myself { hostname: "vm".into(), domain: "x.org".into(), best: chance.below(2) == 0 });
    settings.manner.pipelining = chance.below(3) != 1;
    settings.manner.skip_quit_response = chance.below(2) == 0;
    let world = World::default();
    drive(Session::new(settings), octets, chance, |question, chance| world.answer(question, chance));
});

#[derive(Default)]
struct World {
    /// Recipients of the message at hand.
    at_hand: Cell<Option<usize>>,
    /// All of its content was given.
    whole: Cell<bool>,
    pieces: Cell<u32>,
    failed: Cell<bool>,
    given: Cell<u32>,
}

impl World {
    fn answer(&self, question: Question, chance: &mut Chance) -> Answer {
        assert!(!self.failed.get(), "a question after the end");
        match question {
            Question::Secured if chance.below(5) == 1 => Answer::Distrusted("no".into()),
            Question::Secured => Answer::Trusted,
            Question::Next => {
                assert_eq!(self.at_hand.get(), None, "one message at a time");
                self.given.set(self.given.get() + 1);
                match chance.below(6) {
                    1 => Answer::Later,
                    2 => Answer::Finish,
                    _ if self.given.get() > 50 => Answer::Finish,
                    _ => Answer::Message(Box::new(self.message(chance))),
                }
            }
            Question::Content(_) => {
                assert!(self.at_hand.get().is_some());
                if chance.below(30) == 1 {
                    return Answer::Unreadable;
                }
                self.pieces.set(self.pieces.get() + 1);
                self.whole.set(self.pieces.get() % 3 == 0);
                let piece = if self.whole.get() { &b""[..] } else { b"Subject: x\r\n\n.\n.." };
                Answer::Content(piece.to_vec().into())
            }
            Question::Done(report) => {
                assert_eq!(Some(report.recipients.len()), self.at_hand.take(), "one outcome each");
                let sent = report.recipients.iter().any(|outcome| outcome.fate == Fate::Sent);
                assert!(!sent || self.whole.get(), "sent before all was said");
                assert!(
                    report.recipients.iter().all(|it| !it.text.contains(['\n', '\r', '\0']) && it.text.len() < 8192)
                );
                Answer::Noted
            }
            Question::Failed(outcome) => {
                assert_eq!(self.at_hand.get(), None);
                assert!(outcome.fate != Fate::Sent && !self.failed.replace(true));
                Answer::Noted
            }
        }
    }

    fn message(&self, chance: &mut Chance) -> Message {
        let count = 1 + chance.below(4) as usize;
        self.at_hand.set(Some(count));
        self.whole.set(false);
        self.pieces.set(0);
        let address = |text: &str| Address::parse(text).expect("an address");
        let recipients = (0..count).map(|number| Recipient::new(address(&format!("r{number}@x.org")))).collect();
        let envelope = Envelope {
            reverse_path: Some(address("a@b.org")),
            recipients,
            body: [Body::SevenBit, Body::EightBitMime, Body::BinaryMime][chance.below(3) as usize],
            smtputf8: chance.below(4) == 1,
            ..Envelope::default()
        };
        let sealed = [Sealed::Nothing, Sealed::EightBit, Sealed::Binary][chance.below(3) as usize];
        let in_ascii = (chance.below(2) == 1).then(|| Box::new(Envelope { smtputf8: false, ..envelope.clone() }));
        Message { envelope, size: 30, sealed, in_ascii, utf8_headers: chance.below(2) == 1 }
    }
}
