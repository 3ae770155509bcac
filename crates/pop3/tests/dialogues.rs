//! The golden dialogues of `tests/sessions`, with the client's octets whole and split.

use bytes::Bytes;
use pop3::login::Settings;
use pop3::question::{Answer, Failure, LogIn, LoggedIn, Question};
use pop3::{Login, Session};
use testkit::Protocol;
use testkit::session::{Split, run_folder, run_folder_split};

const LOGIN: Protocol<Login> = Protocol {
    start: |setup| {
        Login::new(Settings {
            greeting: "Facteur ready.".into(),
            cleartext_allowed: setup.has("cleartext"),
            tls_available: !setup.has("no-tls"),
        })
    },
    question: |LogIn { user, password }| format!("log in {user} \"{}\"", String::from_utf8_lossy(password.expose())),
    answer: |text| match text {
        "admitted" => LoggedIn::Admitted,
        "refused" => LoggedIn::Refused,
        "too-many" => LoggedIn::TooMany,
        "unavailable" => LoggedIn::Unavailable,
        other => panic!("no such answer: {other}"),
    },
};

const MAILBOX: Protocol<Session> = Protocol {
    start: |_| Session::new(),
    question: |question| {
        let numbers = |seqs: &[mail::Seq]| seqs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match question {
            Question::Open => "open".into(),
            Question::Uidls => "uidls".into(),
            Question::Fetch(seq) => format!("fetch {seq}"),
            Question::NextChunk => "next".into(),
            Question::Commit { delete, seen } => format!("commit delete={} seen={}", numbers(delete), numbers(seen)),
        }
    },
    answer: |text| {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        match kind {
            "sizes" => Answer::Opened(rest.split_whitespace().map(|size| size.parse().expect("a size")).collect()),
            "uidls" => Answer::Uidls(rest.split_whitespace().map(ToOwned::to_owned).collect()),
            "fetched" => Answer::Fetched(rest.parse().expect("a size")),
            "chunk" => Answer::Chunk(Bytes::from(rest.replace("\\r", "\r").replace("\\n", "\n"))),
            "end" => Answer::ChunkEnd,
            "committed" => Answer::Committed,
            "failed" => Answer::Failed(match rest {
                "in-use" => Failure::InUse,
                "gone" => Failure::Gone,
                "read-only" => Failure::ReadOnly,
                "temporary" => Failure::Temporary,
                other => panic!("no such failure: {other}"),
            }),
            other => panic!("no such answer: {other}"),
        }
    },
};

#[test]
fn login() {
    run_folder(folder("login"), LOGIN);
}

#[test]
fn login_an_octet_at_a_time() {
    run_folder_split(folder("login").as_ref(), LOGIN, Split::Octets);
}

#[test]
fn mailbox() {
    run_folder(folder("mailbox"), MAILBOX);
}

#[test]
fn mailbox_an_octet_at_a_time() {
    run_folder_split(folder("mailbox").as_ref(), MAILBOX, Split::Octets);
}

fn folder(name: &str) -> String {
    format!("{}/tests/sessions/{name}", env!("CARGO_MANIFEST_DIR"))
}
