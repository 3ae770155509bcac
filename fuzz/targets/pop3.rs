//! Both POP3 machines.
#![no_main]

use std::cell::Cell;

use bytes::Bytes;
use fuzz::{Chance, drive};
use libfuzzer_sys::fuzz_target;
use pop3::login::Settings;
use pop3::question::{Answer, Failure, LoggedIn, Question};
use pop3::{Login, Session};

const FAILURES: [Failure; 4] = [Failure::InUse, Failure::Gone, Failure::ReadOnly, Failure::Temporary];

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    if octets.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'u') || *first == b'C') {
        let login = Login::new(Settings {
            greeting: "ready.".into(),
            cleartext_allowed: chance.below(3) != 1,
            tls_available: chance.below(2) == 0,
        });
        return drive(login, octets, chance, |_, chance| {
            [LoggedIn::Admitted, LoggedIn::Refused, LoggedIn::TooMany, LoggedIn::Unavailable][chance.below(4) as usize]
        });
    }
    // Chunks given of the present message: every message ends.
    let given = Cell::new(0);
    drive(Session::new(), octets, chance, |question, chance| {
        let mood = chance.below(12);
        if let Some(failure) = mood.checked_sub(8).and_then(|at| FAILURES.get(at as usize)) {
            return Answer::Failed(*failure);
        }
        match question {
            Question::Open => Answer::Opened(vec![120, 0, u64::from(mood)]),
            Question::Uidls => Answer::Uidls(vec!["a".into(), "b".into(), "c".into()]),
            Question::Fetch(_) => {
                given.set(0);
                Answer::Fetched(30)
            }
            Question::NextChunk if mood < 5 && given.replace(given.get() + 1) < 9 => {
                Answer::Chunk(Bytes::from_static(&b"a: b\r\n\r\n.x\r\ny\r\n"[..7 + 2 * mood as usize]))
            }
            Question::NextChunk => Answer::ChunkEnd,
            Question::Commit { delete, .. } => {
                assert!(delete.windows(2).all(|pair| pair[0] < pair[1]));
                Answer::Committed
            }
        }
    });
});
