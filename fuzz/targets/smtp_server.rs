//! The SMTP server machine with a world of any mood.
#![no_main]

use fuzz::{Chance, drive};
use libfuzzer_sys::fuzz_target;
use mail::{Domain, QueueId};
use smtp::Reply;
use smtp::server::{Answer, Auth, Client, Limits, Policy, Question, Session, Settings};

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let policy = Policy {
        in_my_networks: chance.below(2) == 0,
        submission: chance.below(3) == 1,
        tls_available: chance.below(2) == 0,
        tls_required: chance.below(8) == 1,
        auth: [Auth::Always, Auth::UnderTls, Auth::Off][chance.below(3) as usize],
        vrfy: chance.below(4) != 1,
        early_talker: chance.below(50) == 1,
        counts_messages: chance.below(4) == 1,
        forms: mail::OldForms { bang: chance.below(2) == 1, percent: chance.below(2) == 1 },
        transcript: chance.below(4) == 1,
        line_feeds: chance.below(2) == 0,
        helo_required: chance.below(4) == 1,
        forbid_pipelining: chance.below(2) == 0,
    };
    let session = Session::new(Settings {
        hostname: "vm".into(),
        banner: "ESMTP".into(),
        origin: Domain::parse("m3102.com").expect("a domain"),
        client: Client { name: "localhost".into(), address: "::1".into() },
        policy,
        limits: Limits {
            message_size: 4096,
            recipients: 4,
            hard_errors: 200,
            junk_commands: 50,
            line_length: 512,
            ..Limits::default()
        },
        discarded: Vec::new(),
    });
    drive(session, octets, chance, |question, chance| match (question, chance.below(8)) {
        (_, 1) => Answer::Refused(Reply::no_space()),
        (_, 2) => Answer::Unavailable,
        (Question::Name, _) => Answer::Named(QueueId::new(1, 2)),
        (Question::Open(transaction), _) => {
            assert!(!transaction.envelope.recipients.is_empty());
            assert_eq!(
                transaction.received.field("D").lines().filter(|line| !line.starts_with('\t')).count(),
                1,
                "one field"
            );
            Answer::Accepted
        }
        (Question::Write(octets) | Question::Commit(octets), _) => {
            assert!(octets.len() <= 128 * 1024);
            Answer::Accepted
        }
        (_, _) => Answer::Accepted,
    });
});
