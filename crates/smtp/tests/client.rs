//! The client machine against `tests/client/*.session`; whole lines and one octet at a time.
//!
//! Settings: `lmtp`, `encrypt may|must`, `login USER PASSWORD [in-clear]`, `mechanisms WORDS`, `hard_auth`, `no_pipelining`, `discard WORDS`,
//! `line N`, `no_conversion`, `myself NAME [best]`, `wait_quit`, `hard_greeting`, `no_ehlo`, `maybe_ehlo`.
//! Questions are written as in [`question`], answers read by [`answer`]:
//! `message from=a@b to=c@d to=e@f;NOTIFY size=9 8bit|binary signed|signed-8bit utf8 or-to=c@d utf8-headers envid=x ret=full`.

use mail::{Address, Body, Envelope, Notify, Recipient, Ret};
use sasl::client::{Login, Mechanism};
use smtp::client::{
    Answer, Authentication, Blame, Dialect, Fate, Host, Message, Myself, Outcome, Part, Question, Report, Session,
    Settings, Timeouts, TlsWish,
};
use smtp::downgrade::Sealed;
use testkit::session::{Protocol, Role, Setup, Split, run_folder_as};
use wire::Secret;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client");

#[test]
fn sessions() {
    run_folder_as(Role::Client, FOLDER.as_ref(), protocol(), Split::Lines);
}

#[test]
fn sessions_octet_by_octet() {
    run_folder_as(Role::Client, FOLDER.as_ref(), protocol(), Split::Octets);
}

/// A server may refuse within the content and hang up; what it said then counts for more than the lost connection.
#[test]
fn a_refusal_within_the_content() {
    use wire::{Effect, Input, LineEnd, Machine, Security};
    let host = Host { name: "mx".into(), address: "192.0.2.1".into() };
    let mut session = Session::new(Settings::new("vm", host));
    let mut effects = Vec::new();
    session.handle(Input::Start(Security::Clear), &mut effects);
    for line in ["220 hi", "250 mx"] {
        session.handle(Input::Line(line.as_bytes(), LineEnd::CrLf), &mut effects);
    }
    session.handle(Input::Answer(answer("message from= to=a@example.org")), &mut effects);
    for line in ["250 Ok", "250 Ok", "354 go"] {
        session.handle(Input::Line(line.as_bytes(), LineEnd::CrLf), &mut effects);
    }
    assert!(matches!(effects.pop(), Some(Effect::Ask(Question::Content(Part::First)))));
    session.handle(Input::Line(b"552 5.3.4 too big", LineEnd::CrLf), &mut effects);
    let Some(Effect::Ask(Question::Done(report))) = effects.pop() else { panic!("a report is due") };
    let text = "bounced 5.3.4 message (host mx[192.0.2.1] said: 552 5.3.4 too big (in reply to end of DATA command))";
    assert_eq!(shown(&report.recipients[0]), text);
}

/// Each step has its own time limit.
#[test]
fn how_long_the_peer_may_take() {
    use std::time::Duration;
    use wire::{Input, LineEnd, Machine, Security};
    let mut settings = Settings::new("vm", Host { name: "mx".into(), address: "192.0.2.1".into() });
    settings.tls = TlsWish::May;
    settings.manner.skip_quit_response = false;
    let seconds = Duration::from_secs;
    settings.timeouts = Timeouts {
        helo: seconds(1),
        starttls: seconds(2),
        mail: seconds(3),
        rcpt: seconds(4),
        data_init: seconds(5),
        data_xfer: seconds(6),
        data_done: seconds(7),
        rset: seconds(8),
        quit: seconds(9),
        idle: seconds(10),
    };
    let mut session = Session::new(settings);
    let mut effects = Vec::new();
    session.handle(Input::Start(Security::Clear), &mut effects);
    let mut patience = |step: &str, limit: u64| {
        let input = match step.split_once(' ') {
            Some(("!", text)) => Input::Answer(answer(text)),
            None if step == "tls" => Input::Secured,
            None if step == "notice" => Input::Notice,
            _ => Input::Line(step.as_bytes(), LineEnd::CrLf),
        };
        session.handle(input, &mut effects);
        assert_eq!(session.patience(), Some(seconds(limit)), "after {step}");
    };
    for (step, limit) in
        [("220 hi", 1), ("250-mx", 1), ("250 STARTTLS", 2), ("220 go", 2), ("tls", 2), ("! trusted", 1), ("250 mx", 10)]
    {
        patience(step, limit);
    }
    for (step, limit) in [
        ("! message from= to=a@example.org", 3),
        ("250 Ok", 4),
        ("250 Ok", 5),
        ("354 go", 6),
        ("! content x", 6),
        ("! content", 7),
        ("451 later", 9),
        ("! noted", 8),
        ("250 Ok", 10),
        ("! later", 10),
        ("notice", 10),
        ("! finish", 9),
    ] {
        patience(step, limit);
    }
}

fn protocol() -> Protocol<Session> {
    Protocol { start, question, answer }
}

fn start(setup: &Setup) -> Session {
    let host = Host { name: "mx.example.org".into(), address: "192.0.2.1".into() };
    let mut settings = Settings::new("vm.m3102.com", host);
    if setup.has("lmtp") {
        settings.dialect = Dialect::Lmtp;
    }
    settings.tls = match setup.get("encrypt") {
        None => TlsWish::Off,
        Some("may") => TlsWish::May,
        Some("must") => TlsWish::Must,
        Some(other) => panic!("@: encrypt {other}"),
    };
    settings.login = setup.get("login").map(|text| login(text, setup));
    settings.myself = setup.get("myself").map(|text| Myself {
        hostname: text.split(' ').next().unwrap_or_default().into(),
        domain: "example.org".into(),
        best: text.ends_with(" best"),
    });
    let manner = &mut settings.manner;
    manner.pipelining = !setup.has("no_pipelining");
    manner.discarded = setup.get("discard").unwrap_or_default().split_whitespace().map(Into::into).collect();
    manner.line_length = setup.number("line", 998).try_into().expect("a length");
    manner.convert_8bit = !setup.has("no_conversion");
    manner.skip_quit_response = !setup.has("wait_quit");
    manner.skip_5xx_greeting = !setup.has("hard_greeting");
    manner.never_ehlo = setup.has("no_ehlo");
    manner.always_ehlo = !setup.has("maybe_ehlo");
    Session::new(settings)
}

fn login(text: &str, setup: &Setup) -> Authentication {
    let words: Vec<&str> = text.split(' ').collect();
    let (&[user, password] | &[user, password, "in-clear"]) = &words[..] else { panic!("@: login {text}") };
    let all = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];
    let mechanisms = match setup.get("mechanisms") {
        Some(names) => names.split(' ').map(|name| Mechanism::parse(name).expect(name)).collect(),
        None => all.to_vec(),
    };
    let in_clear = if words.len() == 3 { mechanisms.clone() } else { vec![Mechanism::ScramSha256] };
    Authentication {
        login: Login { user: user.into(), secret: Secret::new(password.into()) },
        mechanisms,
        in_clear,
        nonce: "rOprNGfwEbeRWgbNEkqO".into(),
        soft_bounce: !setup.has("hard_auth"),
    }
}

fn question(question: &Question) -> String {
    match question {
        Question::Secured => "secured".into(),
        Question::Next => "next".into(),
        Question::Content(Part::First) => "content first".into(),
        Question::Content(Part::Next) => "content next".into(),
        Question::Done(report) => done(report),
        Question::Failed(outcome) => format!("failed {}", shown(outcome)),
    }
}

fn done(report: &Report) -> String {
    let outcomes: Vec<String> = report.recipients.iter().map(shown).collect();
    let dsn = if report.dsn { " dsn" } else { "" };
    let stale = if report.stale { " stale" } else { "" };
    let uses = if report.uses > 1 { format!(" use {}", report.uses) } else { String::new() };
    format!("done{dsn}{stale}{uses}: {}", outcomes.join(" | "))
}

fn shown(outcome: &Outcome) -> String {
    let fate = match outcome.fate {
        Fate::Sent => "sent",
        Fate::Deferred => "deferred",
        Fate::Bounced => "bounced",
    };
    let blame = match outcome.blame {
        None => "",
        Some(Blame::Host) => " host",
        Some(Blame::Session) => " session",
        Some(Blame::Message) => " message",
        Some(Blame::Lacking) => " lacking",
        Some(Blame::Recipient) => " recipient",
        Some(Blame::Ourselves) => " ourselves",
    };
    format!("{fate} {}{blame} ({})", outcome.status, outcome.text)
}

fn answer(text: &str) -> Answer {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("trusted", "") => Answer::Trusted,
        ("distrusted", why) => Answer::Distrusted(why.into()),
        ("message", words) => Answer::Message(Box::new(message(words))),
        ("later", "") => Answer::Later,
        ("finish", "") => Answer::Finish,
        ("content", text) => Answer::Content(text.replace("\\r", "\r").replace("\\n", "\n").into_bytes().into()),
        ("unreadable", "") => Answer::Unreadable,
        ("noted", "") => Answer::Noted,
        _ => panic!("answer {text:?}"),
    }
}

fn message(words: &str) -> Message {
    let mut message = Message {
        envelope: Envelope::default(),
        size: 100,
        sealed: Sealed::Nothing,
        in_ascii: None,
        utf8_headers: false,
    };
    let envelope = &mut message.envelope;
    for word in words.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("from", "") => envelope.reverse_path = None,
            ("from", address) => envelope.reverse_path = Some(address_of(address)),
            ("to", text) => envelope.recipients.push(recipient(text)),
            ("size", size) => message.size = size.parse().expect("a size"),
            ("8bit", _) => envelope.body = Body::EightBitMime,
            ("binary", _) => envelope.body = Body::BinaryMime,
            ("utf8", _) => envelope.smtputf8 = true,
            ("utf8-headers", _) => message.utf8_headers = true,
            ("signed", _) => message.sealed = Sealed::Binary,
            ("signed-8bit", _) => message.sealed = Sealed::EightBit,
            ("or-to", text) => {
                let recipients = vec![recipient(text)];
                let ascii = Envelope { recipients, smtputf8: false, ..envelope.clone() };
                message.in_ascii = Some(Box::new(ascii));
            }
            ("envid", id) => envelope.envid = Some(id.into()),
            ("ret", "full") => envelope.ret = Some(Ret::Full),
            ("ret", "hdrs") => envelope.ret = Some(Ret::Headers),
            _ => panic!("message … {word}"),
        }
    }
    message
}

/// `a@b`, `a@b;never`, `a@b;success,delay;ORCPT`
fn recipient(text: &str) -> Recipient {
    let mut parts = text.splitn(3, ';');
    let mut recipient = Recipient::new(address_of(parts.next().expect("an address")));
    recipient.notify = parts.next().filter(|words| !words.is_empty()).map(|words| Notify {
        success: words.contains("success"),
        failure: words.contains("failure"),
        delay: words.contains("delay"),
    });
    recipient.orcpt = parts.next().map(Into::into);
    recipient
}

fn address_of(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|_| panic!("address {text}"))
}
