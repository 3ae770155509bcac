//! The server machine against `tests/sessions/*.session`; whole lines and one octet at a time.
//!
//! Settings: `in_my_networks`, `submission`, `starttls`, `tls_required`, `auth always|tls`, `no_vrfy`, `early_talker`, `counts_messages`, `old_forms`, `helo_required`,
//! `no_line_feeds`, `forbid_pipelining`, `discard WORDS`, `overshoot N`, `soft N`, `size N`, `recipients N`,
//! `errors N`, `junk N`, `line N`, `client NAME ADDRESS`. Questions are written as in [`question`], answers read by [`answer`].

use std::time::Duration;

use mail::{Domain, QueueId};
use smtp::Reply;
use smtp::server::{Answer, Auth, Client, Limits, Policy, Question, Session, Settings, Transaction};
use testkit::session::{Protocol, Setup, Split, run_folder, run_folder_split};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sessions");

#[test]
fn sessions() {
    run_folder(FOLDER, protocol());
}

#[test]
fn sessions_octet_by_octet() {
    run_folder_split(FOLDER.as_ref(), protocol(), Split::Octets);
}

fn protocol() -> Protocol<Session> {
    Protocol { start, question, answer }
}

fn start(setup: &Setup) -> Session {
    let (name, address) =
        setup.get("client").and_then(|text| text.split_once(' ')).unwrap_or(("localhost", "127.0.0.1"));
    Session::new(Settings {
        hostname: "vm".into(),
        banner: "ESMTP Facteur".into(),
        origin: Domain::parse("m3102.com").expect("a domain"),
        client: Client { name: name.into(), address: address.into() },
        policy: Policy {
            in_my_networks: setup.has("in_my_networks"),
            line_feeds: setup.has("in_my_networks") && !setup.has("no_line_feeds"),
            helo_required: setup.has("helo_required"),
            forbid_pipelining: setup.has("forbid_pipelining"),
            submission: setup.has("submission"),
            tls_available: setup.has("starttls"),
            tls_required: setup.has("tls_required"),
            auth: match setup.get("auth") {
                Some("always") => Auth::Always,
                Some("tls") => Auth::UnderTls,
                Some(other) => panic!("@: auth {other}"),
                None => Auth::Off,
            },
            vrfy: !setup.has("no_vrfy"),
            early_talker: setup.has("early_talker"),
            counts_messages: setup.has("counts_messages"),
            forms: mail::OldForms { bang: setup.has("old_forms"), percent: setup.has("old_forms") },
            transcript: false,
        },
        limits: Limits {
            message_size: setup.number("size", 10_240_000),
            recipients: number(setup, "recipients", 1000),
            overshoot: number(setup, "overshoot", 1000),
            soft_errors: number(setup, "soft", 10),
            error_pause: Duration::from_secs(1),
            hard_errors: number(setup, "errors", 20),
            junk_commands: number(setup, "junk", 100),
            line_length: number(setup, "line", 2048),
        },
        discarded: setup.get("discard").unwrap_or_default().split_whitespace().map(Into::into).collect(),
    })
}

fn number<N: TryFrom<u64>>(setup: &Setup, name: &str, default: u64) -> N {
    N::try_from(setup.number(name, default)).unwrap_or_else(|_| panic!("@: {name}: too large"))
}

fn question(question: &Question) -> String {
    match question {
        Question::Authenticate(it) => {
            format!("authenticate {} {} {}", it.mechanism.name(), it.user, it.password.expose())
        }
        Question::Recipient { sender, recipient, may_relay, user: _ } => {
            let original = recipient.original.as_ref().map(|it| format!(" written {it}")).unwrap_or_default();
            let notify = recipient.notify.map(|it| format!(" notify {it:?}")).unwrap_or_default();
            let orcpt = recipient.orcpt.as_ref().map(|it| format!(" orcpt {it}")).unwrap_or_default();
            let relay = if *may_relay { " may relay" } else { "" };
            format!("recipient {}{original} from <{}>{notify}{orcpt}{relay}", recipient.address, shown(sender.as_ref()))
        }
        Question::Sender => "sender".into(),
        Question::Name => "name".into(),
        Question::Open(transaction) => opened(transaction),
        Question::Write(octets) => format!("write {}", octets.escape_ascii()),
        Question::Commit(octets) => format!("commit {}", octets.escape_ascii()),
        Question::Discard => "discard".into(),
        Question::Verify(address) => format!("verify {address}"),
        Question::Flush(domain) => format!("flush {domain}"),
    }
}

fn opened(it: &Transaction) -> String {
    let recipients: Vec<String> = it.envelope.recipients.iter().map(|it| it.address.to_string()).collect();
    let mut text =
        format!("open {} from <{}> to {}", it.id, shown(it.envelope.reverse_path.as_ref()), recipients.join(","));
    text += &format!(" {:?} with {} helo {}", it.envelope.body, it.received.protocol, it.received.helo);
    if let Some(recipient) = &it.received.recipient {
        text += &format!(" for {recipient}");
    }
    if let Some(user) = &it.user {
        text += &format!(" user {user}");
    }
    if let Some(ret) = it.envelope.ret {
        text += &format!(" ret {ret:?}");
    }
    if let Some(envid) = &it.envelope.envid {
        text += &format!(" envid {envid}");
    }
    text + if it.complete_headers { " complete" } else { "" }
}

fn shown(address: Option<&mail::Address>) -> String {
    address.map(ToString::to_string).unwrap_or_default()
}

fn answer(text: &str) -> Answer {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("yes", "") => Answer::Accepted,
        ("named", id) => Answer::Named(QueueId::parse(id).expect("a queue id")),
        ("unavailable", "") => Answer::Unavailable,
        ("no", reply) => Answer::Refused(read_reply(reply)),
        _ => panic!("answer {text:?}"),
    }
}

/// `550 5.1.1 text`
fn read_reply(text: &str) -> Reply {
    let mut parts = text.splitn(3, ' ');
    let code = parts.next().and_then(|code| code.parse().ok()).expect("a code");
    let status = parts.next().and_then(mail::EnhancedStatus::parse);
    Reply { code, status, text: parts.next().unwrap_or_default().to_owned().into() }
}
