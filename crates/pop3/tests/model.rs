//! Random commands against a small mailbox: the session machine must give what the model says, however its input is
//! split, and must remove exactly what was marked, at QUIT only.

use bytes::Bytes;
use mail::Seq;
use pop3::question::{Answer, LogIn, LoggedIn, Question};
use pop3::{Login, Session};
use proptest::prelude::*;
use wire::{Effect, Input, Machine, Piece, Reader, Security};

#[derive(Clone, Debug)]
enum Command {
    Dele(u32),
    List,
    ListOne(u32),
    Noise(String),
    Quit,
    Retr(u32),
    Rset,
    Stat,
    Top(u32, usize),
    Uidl,
}

impl Command {
    fn line(&self) -> String {
        match self {
            Self::Dele(n) => format!("DELE {n}"),
            Self::List => "LIST".into(),
            Self::ListOne(n) => format!("LIST {n}"),
            Self::Noise(text) => text.clone(),
            Self::Quit => "QUIT".into(),
            Self::Retr(n) => format!("retr {n}"),
            Self::Rset => "RSET".into(),
            Self::Stat => "STAT".into(),
            Self::Top(n, lines) => format!("TOP {n} {lines}"),
            Self::Uidl => "UIDL".into(),
        }
    }
}

/// The mailbox as RFC 1939 tells it, written the plain way.
struct Model {
    messages: Vec<Vec<String>>,
    deleted: Vec<bool>,
    read: Vec<bool>,
}

impl Model {
    fn size(&self, index: usize) -> usize {
        self.messages[index].iter().map(|line| line.len() + 2).sum()
    }

    fn present(&self) -> Vec<usize> {
        (0..self.messages.len()).filter(|index| !self.deleted[*index]).collect()
    }

    fn find(&self, number: u32) -> Result<usize, String> {
        match (number as usize).checked_sub(1).filter(|index| *index < self.messages.len()) {
            None => Err(format!("-ERR There's no message {number}.\r\n")),
            Some(index) if self.deleted[index] => Err("-ERR Message is deleted.\r\n".into()),
            Some(index) => Ok(index),
        }
    }

    fn multi(first: &str, lines: impl Iterator<Item = String>) -> String {
        lines.fold(format!("{first}\r\n"), |text, line| text + &line + "\r\n") + ".\r\n"
    }

    fn message(&self, index: usize, body_lines: usize, first: &str) -> String {
        let blank = self.messages[index].iter().position(String::is_empty).map_or(usize::MAX, |at| at + 1);
        let lines = self.messages[index].iter().take(blank.saturating_add(body_lines));
        Self::multi(first, lines.map(|line| if line.starts_with('.') { format!(".{line}") } else { line.clone() }))
    }

    fn reply(&mut self, command: &Command) -> String {
        let result = match command {
            Command::Dele(n) => self.find(*n).map(|index| {
                self.deleted[index] = true;
                "+OK Marked to be deleted.\r\n".into()
            }),
            Command::List => {
                let present = self.present();
                let first = format!("+OK {} messages:", present.len());
                Ok(Self::multi(&first, present.iter().map(|index| format!("{} {}", index + 1, self.size(*index)))))
            }
            Command::ListOne(n) => self.find(*n).map(|index| format!("+OK {n} {}\r\n", self.size(index))),
            Command::Noise(text) => Err(format!("-ERR Unknown command: {}\r\n", text.to_uppercase())),
            Command::Quit if self.deleted.contains(&true) => Ok("+OK Logging out, messages deleted.\r\n".into()),
            Command::Quit => Ok("+OK Logging out.\r\n".into()),
            Command::Retr(n) => self.find(*n).map(|index| {
                self.read[index] = true;
                self.message(index, usize::MAX, &format!("+OK {} octets", self.size(index)))
            }),
            Command::Rset => {
                self.deleted.fill(false);
                Ok("+OK\r\n".into())
            }
            Command::Stat => {
                let present = self.present();
                let size: usize = present.iter().map(|index| self.size(*index)).sum();
                Ok(format!("+OK {} {size}\r\n", present.len()))
            }
            Command::Top(n, lines) => self.find(*n).map(|index| self.message(index, *lines, "+OK")),
            Command::Uidl => Ok(Self::multi("+OK", self.present().iter().map(|index| format!("{0} id{0}", index + 1)))),
        };
        result.unwrap_or_else(|error| error)
    }
}

/// Runs the machine as the pump does, the world being the messages.
struct Rig {
    session: Session,
    messages: Vec<Vec<u8>>,
    sending: Vec<Bytes>,
    chunk: usize,
    output: Vec<u8>,
    closed: bool,
    committed: Option<(Vec<Seq>, Vec<Seq>)>,
}

impl Rig {
    fn give(&mut self, input: Input<'_, Answer>) {
        let mut effects = Vec::new();
        self.session.handle(input, &mut effects);
        let count = effects.len();
        for (index, effect) in effects.into_iter().enumerate() {
            match effect {
                Effect::Send(octets) => self.output.extend_from_slice(&octets),
                Effect::Ask(question) => {
                    assert_eq!(index + 1, count, "a question is the last effect");
                    let answer = self.answer(question);
                    self.give(Input::Answer(answer));
                }
                Effect::Close => self.closed = true,
                Effect::Log(_) | Effect::Pause(_) => {}
                Effect::Frame(_) | Effect::StartTls | Effect::Detach => panic!("not in a session"),
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Open => Answer::Opened(self.messages.iter().map(|message| message.len() as u64).collect()),
            Question::Uidls => Answer::Uidls((1..=self.messages.len()).map(|number| format!("id{number}")).collect()),
            Question::Fetch(seq) => {
                let message = &self.messages[seq.index()];
                self.sending = message.chunks(self.chunk).rev().map(Bytes::copy_from_slice).collect();
                Answer::Fetched(message.len() as u64)
            }
            Question::NextChunk => self.sending.pop().map_or(Answer::ChunkEnd, Answer::Chunk),
            Question::Commit { delete, seen } => {
                self.committed = Some((delete, seen));
                Answer::Committed
            }
        }
    }
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let number = || 0u32..6;
    let command = prop_oneof![
        number().prop_map(Command::Dele),
        Just(Command::List),
        number().prop_map(Command::ListOne),
        "X[a-z]{0,4}".prop_map(Command::Noise),
        Just(Command::Quit),
        number().prop_map(Command::Retr),
        Just(Command::Rset),
        Just(Command::Stat),
        (number(), 0usize..4).prop_map(|(number, lines)| Command::Top(number, lines)),
        Just(Command::Uidl),
    ];
    prop::collection::vec(command, 0..19)
}

fn mailbox() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec("[.a]{0,4}", 0..8), 0..5)
}

proptest! {
    #[test]
    fn the_machine_does_what_the_model_says(
        messages in mailbox(), commands in commands(), chunk in 1usize..20, splits in prop::collection::vec(1usize..40, 1..20)
    ) {
        let octets = |message: &Vec<String>| message.iter().fold(String::new(), |text, line| text + line + "\r\n").into_bytes();
        let mut model = Model { deleted: vec![false; messages.len()], read: vec![false; messages.len()], messages };
        let mut rig = Rig {
            session: Session::new(),
            messages: model.messages.iter().map(octets).collect(),
            sending: vec![],
            chunk,
            output: vec![],
            closed: false,
            committed: None,
        };
        let mut expected = "+OK Logged in.\r\n".to_owned();
        let mut input = Vec::new();
        let mut quit = false;
        for (index, command) in commands.iter().enumerate() {
            let end = if index % 3 == 0 { "\n" } else { "\r\n" };
            input.extend_from_slice((command.line() + end).as_bytes());
            if !quit {
                expected += &model.reply(command);
            }
            quit |= matches!(command, Command::Quit);
        }
        rig.give(Input::Start(Security::Clear));
        let mut reader = Reader::new(pop3::LINE_LIMIT);
        let mut rest = &input[..];
        for size in splits.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*size).min(rest.len()));
            rest = later;
            reader.feed(now);
            while !rig.closed && let Some(Piece::Line(line, end)) = reader.next() {
                rig.give(Input::Line(line, end));
            }
        }
        prop_assert_eq!(String::from_utf8_lossy(&rig.output).into_owned(), expected);
        prop_assert_eq!(rig.closed, quit);
        let marked = |wanted: &dyn Fn(usize) -> bool| (0..model.messages.len()).filter(|i| wanted(*i)).filter_map(Seq::from_index).collect::<Vec<_>>();
        let (delete, seen) = (marked(&|i| model.deleted[i]), marked(&|i| model.read[i] && !model.deleted[i]));
        let nothing = !quit || (delete.is_empty() && seen.is_empty());
        prop_assert_eq!(rig.committed, if nothing { None } else { Some((delete, seen)) });
    }

    #[test]
    fn before_login_nothing_but_a_right_password_detaches(lines in prop::collection::vec("(?i)(user|pass|auth|auth plain|stat|dele|stls|capa|retr|utf8)? ?[a-z =*]{0,8}", 0..30)) {
        let settings = pop3::login::Settings { greeting: "x".into(), cleartext_allowed: true, tls_available: true };
        let mut login = Login::new(settings);
        let mut effects: Vec<Effect<LogIn>> = vec![];
        login.handle(Input::Start(Security::Clear), &mut effects);
        for line in lines {
            effects.clear();
            login.handle(Input::Line(line.as_bytes(), wire::LineEnd::Lf), &mut effects);
            if matches!(effects.last(), Some(Effect::Ask(_))) {
                effects.clear();
                login.handle(Input::Answer(LoggedIn::Refused), &mut effects);
            }
            prop_assert!(!effects.iter().any(|effect| matches!(effect, Effect::Detach)));
            if effects.iter().any(|effect| matches!(effect, Effect::Close)) {
                return Ok(());
            }
        }
    }
}
