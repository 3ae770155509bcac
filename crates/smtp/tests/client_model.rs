//! The client machine against a server that does what it likes, cut off wherever it hurts.
//!
//! A small server answers the machine's real commands with replies drawn at random. Its stream is cut into pieces of any size
//! and may end at any octet. Whatever happens: each recipient of each message gets exactly one outcome; `Sent` only if the
//! server's last yes for it came through whole; and where nothing was cut, whoever the server took was reported as sent, and
//! has the content as it was.

use std::collections::{BTreeMap, VecDeque};

use mail::{Address, Envelope, Recipient};
use proptest::prelude::*;
use smtp::client::{Answer, Dialect, Fate, Host, Message, Outcome, Part, Question, Report, Session, Settings};
use smtp::downgrade::Sealed;
use wire::{Effect, Input, Machine, Piece, Reader, Security};

const CONTENT: &[u8] = b"Subject: x\n\n.\n..a\nthe end\n";
const ON_THE_WIRE: &[u8] = b"Subject: x\r\n\r\n..\r\n...a\r\nthe end\r\n";

/// What may happen in one dialogue.
#[derive(Clone, Debug)]
struct Case {
    dialect: Dialect,
    pipelining: bool,
    /// Recipients of each message.
    messages: Vec<usize>,
    /// What the server does at each of its turns.
    moods: Vec<Mood>,
    /// Octets at a time.
    split: usize,
    /// The server's stream ends after so many octets.
    cut: Option<usize>,
    timed_out: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Yes,
    ManyLines,
    Later,
    No,
    Full,
    /// 421 and gone.
    Leaves,
    /// No reply at all.
    Nonsense,
    /// A reply that does not fit: 354 for RCPT, 250 for DATA.
    Odd,
    Silent,
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        30 => Just(Mood::Yes),
        3 => Just(Mood::ManyLines),
        3 => Just(Mood::Later),
        3 => Just(Mood::No),
        3 => Just(Mood::Full),
        1 => Just(Mood::Leaves),
        1 => Just(Mood::Nonsense),
        1 => Just(Mood::Odd),
        1 => Just(Mood::Silent),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let dialect = prop_oneof![Just(Dialect::Smtp), Just(Dialect::Lmtp)];
    let messages = prop::collection::vec(1..6_usize, 1..4);
    let cut = prop_oneof![1 => Just(None), 3 => (0..1500_usize).prop_map(Some)];
    (dialect, any::<bool>(), messages, prop::collection::vec(mood(), 60), 1..60_usize, cut, any::<bool>()).prop_map(
        |(dialect, pipelining, messages, moods, split, cut, timed_out)| Case {
            dialect,
            pipelining,
            messages,
            moods,
            split,
            cut,
            timed_out,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn one_outcome_each_and_sent_only_when_it_was(case in case()) {
        check(&case)?;
    }

    #[test]
    fn any_split_gives_the_same(case in case(), other in 1..60_usize) {
        let one = play(&case);
        let two = play(&Case { split: other, ..case });
        prop_assert_eq!(one.reports, two.reports);
        prop_assert_eq!(one.failed, two.failed);
    }
}

/// Every octet of a plain dialogue as the last one.
#[test]
fn every_cut() {
    for dialect in [Dialect::Smtp, Dialect::Lmtp] {
        for (pipelining, moods) in [
            (true, vec![Mood::Yes; 60]),
            (false, vec![Mood::ManyLines; 60]),
            (true, [Mood::Yes, Mood::Yes, Mood::Yes, Mood::Yes, Mood::Full, Mood::No].repeat(10)),
        ] {
            let mut case =
                Case { dialect, pipelining, messages: vec![3, 2], moods, split: 7, cut: None, timed_out: false };
            let whole = play(&case).server.sent;
            assert!(whole > 100, "a whole dialogue, not {whole} octets");
            for cut in 0..=whole {
                for timed_out in [false, true] {
                    case = Case { cut: Some(cut), timed_out, ..case };
                    check(&case).unwrap_or_else(|error| panic!("{case:?}: {error}"));
                }
            }
        }
    }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let played = play(case);
    prop_assert_eq!(played.given, played.reports.len(), "one report for each message");
    for (number, report) in played.reports.iter().enumerate() {
        prop_assert_eq!(report.recipients.len(), case.messages[number]);
        for (place, outcome) in report.recipients.iter().enumerate() {
            let taken = played.server.taken.get(&address(number, place));
            let heard = taken.is_some_and(|at| case.cut.is_none_or(|cut| *at <= cut));
            let sent = outcome.fate == Fate::Sent;
            prop_assert!(!sent || heard, "sent without the last yes: {:?}", outcome);
            prop_assert!(sent || !heard || played.server.confused, "taken, but: {:?}", outcome);
            prop_assert_eq!(sent, outcome.blame.is_none());
            prop_assert_eq!(outcome.fate == Fate::Bounced, outcome.status.class == 5);
        }
    }
    prop_assert!(played.failed.is_none() || played.given == 0);
    for content in &played.server.contents {
        prop_assert_eq!(content.as_slice(), ON_THE_WIRE);
    }
    Ok(())
}

fn address(message: usize, place: usize) -> String {
    format!("r{place}@m{message}.org")
}

struct Played {
    /// Messages handed over.
    given: usize,
    reports: Vec<Report>,
    failed: Option<Outcome>,
    server: Server,
}

fn play(case: &Case) -> Played {
    let mut run = Run::new(case);
    run.give(Input::Start(Security::Clear));
    let mut heard = 0;
    while !run.closed {
        let end = case.cut.unwrap_or(usize::MAX);
        let now: Vec<u8> = run.played.server.out.iter().copied().take(case.split.min(end - heard)).collect();
        if now.is_empty() {
            let gone = run.played.server.gone || !case.timed_out;
            run.give(if gone { Input::End } else { Input::TimedOut });
            // After the end only reports are due; a machine that was idle says goodbye.
            assert!(run.closed, "it ends");
            break;
        }
        run.played.server.out.drain(..now.len());
        heard += now.len();
        run.hear(&now);
    }
    run.played
}

struct Run<'a> {
    case: &'a Case,
    machine: Session,
    reader: Reader,
    closed: bool,
    content_at: usize,
    played: Played,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case) -> Self {
        let mut settings = Settings::new("vm", Host { name: "mx".into(), address: "192.0.2.1".into() });
        settings.dialect = case.dialect;
        let server = Server::new(case);
        let played = Played { given: 0, reports: Vec::new(), failed: None, server };
        Self { case, machine: Session::new(settings), reader: Reader::default(), closed: false, content_at: 0, played }
    }

    fn hear(&mut self, octets: &[u8]) {
        self.reader.feed(octets);
        while !self.closed {
            let mut effects = Vec::new();
            if let Some(behind) = self.reader.behind_line() {
                self.machine.ahead(behind);
            }
            match self.reader.next() {
                None => return,
                Some(Piece::Line(line, end)) => self.machine.handle(Input::Line(line, end), &mut effects),
                Some(other) => panic!("{other:?}"),
            }
            self.carry_out(effects);
        }
    }

    fn give(&mut self, input: Input<'_, Answer>) {
        let mut effects = Vec::new();
        self.machine.handle(input, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect<Question>>) {
        let alone = effects.len() == 1;
        let mut asked = None;
        for effect in effects {
            assert!(asked.is_none(), "an effect after a question");
            assert!(!self.closed, "an effect after the end");
            match effect {
                Effect::Send(octets) => self.played.server.hear(&octets),
                Effect::Ask(question) => asked = Some(question),
                Effect::Close => self.closed = true,
                Effect::Frame(framing) => self.reader.set_framing(framing),
                other => panic!("{other:?}"),
            }
        }
        if let Some(question) = asked {
            let reporting = matches!(question, Question::Done(_) | Question::Failed(_) | Question::Next);
            assert!(alone || !reporting, "a report or a wish that something before it could hold up");
            let answer = self.answer(question);
            self.give(Input::Answer(answer));
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Next => match self.case.messages.get(self.played.given) {
                None => Answer::Finish,
                Some(count) => {
                    self.played.given += 1;
                    Answer::Message(Box::new(message(self.played.given - 1, *count)))
                }
            },
            Question::Content(part) => {
                if part == Part::First {
                    self.content_at = 0;
                }
                let piece = &CONTENT[self.content_at..CONTENT.len().min(self.content_at + 10)];
                self.content_at += piece.len();
                Answer::Content(piece.to_vec().into())
            }
            Question::Done(report) => {
                self.played.reports.push(*report);
                assert_eq!(self.played.reports.len(), self.played.given);
                Answer::Noted
            }
            Question::Failed(outcome) => {
                assert!(self.played.failed.replace(*outcome).is_none());
                Answer::Noted
            }
            Question::Secured => panic!("no TLS here"),
        }
    }
}

fn message(number: usize, count: usize) -> Message {
    let recipients = (0..count).map(|place| Recipient::new(parse(&address(number, place)))).collect();
    let reverse_path = Some(parse("a@b.org"));
    Message {
        envelope: Envelope { reverse_path, recipients, ..Envelope::default() },
        size: 100,
        sealed: Sealed::Nothing,
        in_ascii: None,
        utf8_headers: false,
    }
}

fn parse(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// The other side.
struct Server {
    dialect: Dialect,
    pipelining: bool,
    moods: VecDeque<Mood>,
    line: Vec<u8>,
    /// Content is coming.
    content: Option<Vec<u8>>,
    sender: bool,
    accepted: Vec<String>,
    /// Who was taken, and at which octet of our stream that was told whole.
    taken: BTreeMap<String, usize>,
    contents: Vec<Vec<u8>>,
    out: VecDeque<u8>,
    /// Octets said in all.
    sent: usize,
    gone: bool,
    /// Something was said that no client can make sense of.
    confused: bool,
}

impl Server {
    fn new(case: &Case) -> Self {
        let mut server = Self {
            dialect: case.dialect,
            pipelining: case.pipelining,
            moods: case.moods.iter().copied().collect(),
            line: Vec::new(),
            content: None,
            sender: false,
            accepted: Vec::new(),
            taken: BTreeMap::new(),
            contents: Vec::new(),
            out: VecDeque::new(),
            sent: 0,
            gone: false,
            confused: false,
        };
        server.say("220 mx");
        server
    }

    fn say(&mut self, line: &str) {
        if !self.gone {
            self.out.extend(line.bytes().chain(*b"\r\n"));
            self.sent += line.len() + 2;
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.line.push(octet);
            if self.line.ends_with(b"\r\n") {
                let line = std::mem::take(&mut self.line);
                match self.content.take() {
                    Some(content) if line == b".\r\n" => self.end(content),
                    Some(mut content) => {
                        content.extend_from_slice(&line);
                        self.content = Some(content);
                    }
                    None => self.command(std::str::from_utf8(&line).expect("commands are text").trim_end()),
                }
            }
        }
    }

    fn command(&mut self, line: &str) {
        match line.split(' ').next().unwrap_or_default() {
            "EHLO" | "LHLO" => {
                self.say("250-mx");
                self.say(if self.pipelining { "250 PIPELINING" } else { "250 SIZE" });
            }
            "MAIL" => {
                self.accepted.clear();
                self.sender = self.reply("250 2.1.0 Ok", "354 what");
            }
            "RCPT" | "DATA" if !self.sender => self.say("503 5.5.1 MAIL first"),
            "RCPT" => {
                if self.reply("250 2.1.5 Ok", "354 what") {
                    let address = line.trim_start_matches("RCPT TO:<").trim_end_matches('>');
                    self.accepted.push(address.into());
                }
            }
            "DATA" => {
                if self.reply("354 go", "250 Ok") {
                    self.content = Some(Vec::new());
                }
            }
            "RSET" => {
                self.reply("250 Ok", "354 what");
            }
            "QUIT" => self.gone = true,
            other => panic!("{other}"),
        }
    }

    fn end(&mut self, content: Vec<u8>) {
        let accepted = std::mem::take(&mut self.accepted);
        if accepted.is_empty() {
            assert!(content.is_empty(), "content for nobody");
            return self.say("554 no recipients");
        }
        self.contents.push(content);
        match self.dialect {
            Dialect::Smtp => {
                if self.reply("250 2.0.0 Ok: queued", "354 what") {
                    let at = self.sent;
                    self.taken.extend(accepted.into_iter().map(|address| (address, at)));
                }
            }
            Dialect::Lmtp => {
                for address in accepted {
                    if self.reply("250 2.0.0 Ok: saved", "354 what") {
                        self.taken.insert(address, self.sent);
                    }
                }
            }
        }
    }

    /// Replies in the mood of the moment; says whether it was yes.
    fn reply(&mut self, yes: &str, odd: &str) -> bool {
        let mood = if self.gone { Mood::Silent } else { self.moods.pop_front().unwrap_or(Mood::Yes) };
        match mood {
            Mood::Yes => self.say(yes),
            Mood::ManyLines => {
                let (code, text) = yes.split_at(3);
                self.say(&format!("{code}-one"));
                self.say(&format!("{code}{text}"));
            }
            Mood::Later => self.say("451 4.3.0 later"),
            Mood::No => self.say("550 5.1.1 no"),
            Mood::Full => self.say("452 4.5.3 too many"),
            Mood::Leaves => {
                self.say("421 4.3.2 going");
                self.gone = true;
            }
            Mood::Nonsense => {
                self.say("hello");
                self.confused = true;
            }
            Mood::Odd => self.say(odd),
            // Whoever is silent once stays so.
            Mood::Silent => self.gone = true,
        }
        matches!(mood, Mood::Yes | Mood::ManyLines)
    }
}
