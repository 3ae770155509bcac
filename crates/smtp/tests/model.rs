//! Random dialogues: a refused command is as if it had not been given, and a message refused on its way in as if it had been
//! ended by RSET. So each dialogue is played twice, whole and without what was refused, and both sessions must then reply to
//! the same probes alike and ask the same. On the way, the rules of the seam are checked.

use mail::{Domain, QueueId};
use proptest::prelude::*;
use smtp::Reply;
use smtp::server::{Answer, Auth, Client, Limits, Policy, Question, Session, Settings};
use wire::{Effect, Input, Machine, Piece, Reader, Security};

/// What a client sends, and what the world says to whatever is asked because of it.
type Move = (&'static str, World);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    Agrees,
    Refuses,
    Unavailable,
    /// Gives answers that fit no question.
    Confused,
}

const TEXTS: [&str; 26] = [
    "EHLO x\r\n",
    "HELO x\r\n",
    "EHLO\r\n",
    "MAIL FROM:<a@b.c>\r\n",
    "MAIL FROM:<a@b.c>\r\nRCPT TO:<k>\r\n",
    "MAIL FROM:<a@b.c> BODY=BINARYMIME\r\n",
    "MAIL FROM:<a@b.c> SIZE=99999999\r\n",
    "MAIL FROM:<a b>\r\n",
    "RCPT TO:<k>\r\n",
    "RCPT TO:<k@m3102.com> NOTIFY=NEVER\r\n",
    "RCPT TO:<>\r\n",
    "DATA\r\nSubject: x\r\n\r\n..\r\n.\r\n",
    "DATA x\r\n",
    "BDAT 5\r\nab\r\nc",
    "BDAT 3 LAST\r\nNO\r",
    "BDAT 90\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "BDAT x\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY k\r\n",
    "ETRN m3102.com\r\n",
    "AUTH PLAIN AGZvbwBmb28=\r\n",
    "AUTH LOGIN\r\nZm9v\r\nZm9v\r\n",
    "AUTH PLAIN\r\n*\r\n",
    "STARTTLS\r\n",
    "foo\r\n",
];

const PROBES: [&str; 9] = [
    "RCPT TO:<probe>\r\n",
    "BDAT 1\r\nx",
    "DATA\r\nx\r\n.\r\n",
    "RSET\r\n",
    "MAIL FROM:<a@b.c>\r\n",
    "RCPT TO:<probe>\r\n",
    "DATA\r\nx\r\n.\r\n",
    "EHLO y\r\n",
    "AUTH PLAIN AGZvbwBmb28=\r\n",
];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let world = prop_oneof![6 => Just(World::Agrees), 1 => Just(World::Refuses), 1 => Just(World::Unavailable), 1 => Just(World::Confused)];
    prop::collection::vec((prop::sample::select(&TEXTS[..]), world), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn refused_is_as_not_given(moves in moves()) {
        let mut whole = Dialogue::new();
        let mut without = Dialogue::new();
        for (text, world) in moves {
            let seen = whole.play(text, world);
            if !seen.refused() {
                prop_assert_eq!(without.play(text, world), seen, "{} {:?}", text, world);
            } else if seen.content {
                without.play("RSET\r\n", World::Agrees);
            } else if let Some(begun) = seen.begun(text) {
                without.play(begun, World::Agrees);
            }
        }
        for probe in PROBES {
            prop_assert_eq!(whole.play(probe, World::Agrees), without.play(probe, World::Agrees), "probe {}", probe);
        }
    }
}

/// What a move led to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    replies: Vec<String>,
    questions: Vec<String>,
    /// The content of a message was at stake.
    content: bool,
}

impl Seen {
    fn refused(&self) -> bool {
        self.replies.last().is_some_and(|reply| reply.starts_with(['4', '5']))
    }

    /// Of two commands in one move only the second was refused.
    fn begun(&self, text: &'static str) -> Option<&'static str> {
        let first = text.split_inclusive("\r\n").next()?;
        (self.replies.len() > 1 && self.replies[0].starts_with('2')).then_some(first)
    }
}

struct Dialogue {
    session: Session,
    reader: Reader,
    seen: Seen,
    asked: Option<Question>,
    closed: bool,
}

impl Dialogue {
    fn new() -> Self {
        let session = Session::new(Settings {
            hostname: "vm".into(),
            banner: "ESMTP".into(),
            origin: Domain::parse("m3102.com").expect("a domain"),
            client: Client { name: "localhost".into(), address: "::1".into() },
            policy: Policy { auth: Auth::Always, in_my_networks: true, line_feeds: true, ..Policy::default() },
            limits: Limits {
                message_size: 150,
                recipients: 3,
                hard_errors: 1000,
                junk_commands: 1000,
                line_length: 100,
                ..Limits::default()
            },
            discarded: Vec::new(),
        });
        let mut dialogue =
            Self { session, reader: Reader::default(), seen: Seen::default(), asked: None, closed: false };
        let mut effects = Vec::new();
        dialogue.session.handle(Input::Start(Security::Clear), &mut effects);
        dialogue.carry_out(effects);
        dialogue.seen = Seen::default();
        dialogue
    }

    fn play(&mut self, text: &str, world: World) -> Seen {
        self.reader.feed(text.as_bytes());
        loop {
            let mut effects = Vec::new();
            if let Some(question) = self.asked.take() {
                self.session.handle(Input::Answer(answer(&question, world)), &mut effects);
            } else {
                match self.reader.next() {
                    None => break,
                    Some(piece) => self.session.handle(input(piece), &mut effects),
                }
            }
            self.carry_out(effects);
        }
        assert!(!self.closed, "nothing here ends the session");
        std::mem::take(&mut self.seen)
    }

    fn carry_out(&mut self, effects: Vec<Effect<Question>>) {
        for effect in effects {
            assert!(self.asked.is_none(), "an effect after a question");
            assert!(!self.closed, "an effect after the end");
            match effect {
                Effect::Send(octets) => {
                    let text = String::from_utf8(octets.to_vec()).expect("replies are UTF-8");
                    assert!(text.ends_with("\r\n"), "{text:?}");
                    self.seen.replies.push(text);
                }
                Effect::Ask(question) => {
                    self.seen.content |= matches!(
                        question,
                        Question::Open(_) | Question::Write(_) | Question::Commit(_) | Question::Discard
                    );
                    self.seen.questions.push(format!("{question:?}"));
                    self.asked = Some(question);
                }
                Effect::Frame(framing) => self.reader.set_framing(framing),
                Effect::Log(_) | Effect::Pause(_) => {}
                Effect::Close => self.closed = true,
                Effect::StartTls | Effect::Detach => panic!("not offered"),
            }
        }
    }
}

fn input<'a>(piece: Piece<'a>) -> Input<'a, Answer> {
    match piece {
        Piece::Line(line, end) => Input::Line(line, end),
        Piece::LineTooLong => Input::LineTooLong,
        Piece::Chunk(octets) => Input::Chunk(octets),
        Piece::ChunkEnd(odd) => Input::ChunkEnd(odd),
    }
}

fn answer(question: &Question, world: World) -> Answer {
    let names = matches!(question, Question::Name);
    match world {
        World::Agrees if names => Answer::Named(QueueId::new(1, 2)),
        World::Agrees => Answer::Accepted,
        World::Refuses => Answer::Refused(Reply::no_space()),
        World::Unavailable => Answer::Unavailable,
        World::Confused if names => Answer::Accepted,
        World::Confused => Answer::Named(QueueId::new(3, 4)),
    }
}
