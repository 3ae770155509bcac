//! POP3 after login: the TRANSACTION and UPDATE states of RFC 1939 §5 and §6.
//!
//! The mailbox is looked at once, at the start; message numbers keep their meaning to the end. Only QUIT removes anything,
//! and only once the world says that it is on disk is it called done; a lost or silent client removes nothing.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use mail::Seq;
use wire::{Effect, Input, Machine};

use crate::content::{Content, More, Part};
use crate::grammar::{Command, Number, lines, number};
use crate::question::{Answer, Failure, Question};
use crate::{IDLE, MOST_ERRORS, STOPPING, TOO_LONG, TOO_MANY_ERRORS, say, say_text};

/// The machine.
#[derive(Debug, Default)]
pub struct Session {
    messages: Vec<Message>,
    uidls: Option<Vec<String>>,
    state: State,
    errors: u32,
    counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    size: u64,
    deleted: bool,
    read: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Opening,
    Commands,
    /// UIDL waits for the ids: of one message, or of all.
    Listing(Option<Seq>),
    /// RETR or TOP waits for the message.
    Fetching(Seq, Part),
    Sending(Seq, Part, Content),
    Committing,
    Over,
}

/// For the log.
#[derive(Debug, Default)]
struct Counts {
    top: Count,
    retr: Count,
    deleted: usize,
}

#[derive(Debug, Default)]
struct Count {
    messages: u64,
    octets: u64,
}

type Effects = Vec<Effect<Question>>;

impl Session {
    /// For a user who has just logged in and waits for the reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn command(&mut self, command: Command<'_>, effects: &mut Effects) {
        match command {
            Command::Capa => capabilities(effects),
            Command::Dele(text) => self.dele(text, effects),
            Command::List(None) => self.list(effects),
            Command::List(Some(text)) => {
                if let Some(seq) = self.wanted(text, effects) {
                    say_text(effects, format!("+OK {seq} {}", self.size(seq)));
                }
            }
            Command::Noop => say(effects, "+OK"),
            Command::Quit => self.quit(effects),
            Command::Retr(text) => self.fetch(text, Part::Whole, effects),
            Command::Rset => {
                self.messages.iter_mut().for_each(|message| message.deleted = false);
                say(effects, "+OK");
            }
            Command::Stat => {
                let (count, size) = self.total();
                say_text(effects, format!("+OK {count} {size}"));
            }
            Command::Top(text, count) => match lines(count) {
                Some(count) => self.fetch(text, Part::Top(count), effects),
                None => self.error(format!("-ERR Invalid number of lines: {}", shown(count)), effects),
            },
            Command::Uidl(None) => self.uidl(None, effects),
            Command::Uidl(Some(text)) => {
                if let Some(seq) = self.wanted(text, effects) {
                    self.uidl(Some(seq), effects);
                }
            }
            Command::Utf8 => say(effects, "+OK UTF8 enabled"),
            Command::Auth { .. } => self.unknown("AUTH", effects),
            Command::Pass(_) => self.unknown("PASS", effects),
            Command::Stls => self.unknown("STLS", effects),
            Command::User(_) => self.unknown("USER", effects),
            Command::Unknown(verb) => self.unknown(&shown(verb).to_uppercase(), effects),
        }
    }

    fn unknown(&mut self, verb: &str, effects: &mut Effects) {
        self.error(format!("-ERR Unknown command: {verb}"), effects);
    }

    fn error(&mut self, line: String, effects: &mut Effects) {
        self.errors += 1;
        say_text(effects, line);
        if self.errors >= MOST_ERRORS {
            say(effects, TOO_MANY_ERRORS);
            self.close("Too many bad commands", effects);
        }
    }

    /// The message a client names, if it is there and not deleted; otherwise it has been told.
    fn wanted(&mut self, text: &[u8], effects: &mut Effects) -> Option<Seq> {
        let Number::Message(seq) = number(text) else {
            let line = match number(text) {
                Number::Impossible => format!("-ERR There's no message {}.", shown(text)),
                Number::Invalid | Number::Message(_) => format!("-ERR Invalid message number: {}", shown(text)),
            };
            self.error(line, effects);
            return None;
        };
        match self.messages.get(seq.index()) {
            Some(message) if !message.deleted => return Some(seq),
            Some(_) => self.error("-ERR Message is deleted.".into(), effects),
            None => self.error(format!("-ERR There's no message {seq}."), effects),
        }
        None
    }

    fn size(&self, seq: Seq) -> u64 {
        self.messages.get(seq.index()).map_or(0, |message| message.size)
    }

    /// The messages not deleted, with their numbers.
    fn present(&self) -> impl Iterator<Item = (Seq, &Message)> {
        let numbered = self.messages.iter().enumerate().filter(|(_, message)| !message.deleted);
        numbered.filter_map(|(index, message)| Seq::from_index(index).map(|seq| (seq, message)))
    }

    fn total(&self) -> (usize, u64) {
        self.present().fold((0, 0), |(count, size), (_, message)| (count + 1, size + message.size))
    }

    fn dele(&mut self, text: &[u8], effects: &mut Effects) {
        let Some(seq) = self.wanted(text, effects) else { return };
        if let Some(message) = self.messages.get_mut(seq.index()) {
            message.deleted = true;
        }
        say(effects, "+OK Marked to be deleted.");
    }

    fn list(&self, effects: &mut Effects) {
        let mut text = format!("+OK {} messages:\r\n", self.total().0);
        for (seq, message) in self.present() {
            text.push_str(&format!("{seq} {}\r\n", message.size));
        }
        text.push_str(".\r\n");
        effects.push(Effect::Send(text.into()));
    }

    fn uidl(&mut self, one: Option<Seq>, effects: &mut Effects) {
        match (&self.uidls, one) {
            (None, one) => self.ask(State::Listing(one), Question::Uidls, effects),
            (Some(uidls), Some(seq)) => {
                let id = uidls.get(seq.index()).map_or("", String::as_str);
                say_text(effects, format!("+OK {seq} {id}"));
            }
            (Some(uidls), None) => {
                let mut text = "+OK\r\n".to_string();
                for (seq, _) in self.present() {
                    let id = uidls.get(seq.index()).map_or("", String::as_str);
                    text.push_str(&format!("{seq} {id}\r\n"));
                }
                text.push_str(".\r\n");
                effects.push(Effect::Send(text.into()));
            }
        }
    }

    fn fetch(&mut self, text: &[u8], part: Part, effects: &mut Effects) {
        if let Some(seq) = self.wanted(text, effects) {
            self.ask(State::Fetching(seq, part), Question::Fetch(seq), effects);
        }
    }

    fn ask(&mut self, state: State, question: Question, effects: &mut Effects) {
        self.state = state;
        effects.push(Effect::Ask(question));
    }

    /// RFC 1939 §6: the UPDATE state.
    fn quit(&mut self, effects: &mut Effects) {
        let which = |wanted: fn(&Message) -> bool| {
            let found = self.messages.iter().enumerate().filter(|(_, message)| wanted(message));
            found.filter_map(|(index, _)| Seq::from_index(index)).collect::<Vec<Seq>>()
        };
        let (delete, seen) = (which(|message| message.deleted), which(|message| message.read && !message.deleted));
        if delete.is_empty() && seen.is_empty() {
            say(effects, "+OK Logging out.");
            return self.close("Logged out", effects);
        }
        self.counts.deleted = delete.len();
        self.ask(State::Committing, Question::Commit { delete, seen }, effects);
    }

    fn close(&mut self, reason: impl fmt::Display, effects: &mut Effects) {
        self.note_end(reason, effects);
        effects.push(Effect::Close);
    }

    fn note_end(&mut self, reason: impl fmt::Display, effects: &mut Effects) {
        if matches!(self.state, State::Over) {
            return;
        }
        self.state = State::Over;
        let Counts { top, retr, deleted } = &self.counts;
        let size: u64 = self.messages.iter().map(|message| message.size).sum();
        let line = format!(
            "Disconnected: {reason} top={top}, retr={retr}, del={deleted}/{}, size={size}",
            self.messages.len()
        );
        effects.push(Effect::Log(mail::Event::Line(line)));
    }

    fn answer(&mut self, answer: Answer, effects: &mut Effects) {
        match (core::mem::replace(&mut self.state, State::Commands), answer) {
            (State::Opening, Answer::Opened(sizes)) => {
                let message = |size| Message { size, deleted: false, read: false };
                self.messages = sizes.into_iter().map(message).collect();
                say(effects, "+OK Logged in.");
            }
            (State::Opening, answer) => {
                say(effects, refusal(&answer, "-ERR [SYS/TEMP] Mailbox cannot be opened now."));
                self.close("Mailbox cannot be opened", effects);
            }
            (State::Listing(one), Answer::Uidls(uidls)) => {
                self.uidls = Some(uidls);
                self.uidl(one, effects);
            }
            (State::Fetching(seq, part), Answer::Fetched(size)) => self.begin((seq, part), size, effects),
            (State::Listing(_) | State::Fetching(..), answer) => {
                say(effects, refusal(&answer, "-ERR [SYS/TEMP] Message cannot be read now."));
            }
            (State::Sending(seq, part, content), answer) => self.send((seq, part, content), answer, effects),
            (State::Committing, Answer::Committed) => {
                let deleted = self.counts.deleted > 0;
                say(effects, if deleted { "+OK Logging out, messages deleted." } else { "+OK Logging out." });
                self.close("Logged out", effects);
            }
            (State::Committing, answer) => self.not_committed(&answer, effects),
            // No question is open in these states.
            (state @ (State::Commands | State::Over), _) => self.state = state,
        }
    }

    /// Nothing was removed, or perhaps some: in any case the client must not believe that all is done.
    fn not_committed(&mut self, answer: &Answer, effects: &mut Effects) {
        if self.counts.deleted == 0 {
            say(effects, "+OK Logging out.");
            return self.close("Logged out", effects);
        }
        self.counts.deleted = 0;
        say(effects, refusal(answer, "-ERR [SYS/TEMP] Some deleted messages not removed."));
        self.close("Logged out, deletion failed", effects);
    }

    fn begin(&mut self, (seq, part): (Seq, Part), size: u64, effects: &mut Effects) {
        let reply = match part {
            Part::Whole => format!("+OK {size} octets\r\n"),
            Part::Top(_) => "+OK\r\n".into(),
        };
        let mut content = Content::new(part);
        content.sent = reply.len() as u64;
        effects.push(Effect::Send(reply.into()));
        self.ask(State::Sending(seq, part, content), Question::NextChunk, effects);
    }

    fn send(&mut self, (seq, part, mut content): (Seq, Part, Content), answer: Answer, effects: &mut Effects) {
        let more = match answer {
            Answer::Chunk(chunk) => content.chunk(chunk, effects),
            Answer::ChunkEnd => More::Enough,
            // The reply has begun: the only honest end is to break it off.
            Answer::Failed(_) | Answer::Opened(_) | Answer::Uidls(_) | Answer::Fetched(_) | Answer::Committed => {
                return self.close("Message cannot be read", effects);
            }
        };
        if more == More::Wanted {
            return self.ask(State::Sending(seq, part, content), Question::NextChunk, effects);
        }
        content.end(effects);
        let count = match part {
            Part::Whole => &mut self.counts.retr,
            Part::Top(_) => &mut self.counts.top,
        };
        count.messages += 1;
        count.octets += content.sent;
        if let (Part::Whole, Some(message)) = (part, self.messages.get_mut(seq.index())) {
            message.read = true;
        }
    }
}

impl Machine for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle(&mut self, input: Input<'_, Answer>, effects: &mut Effects) {
        match input {
            Input::Start(_) => effects.push(Effect::Ask(Question::Open)),
            Input::Line(line, _) => {
                if matches!(self.state, State::Commands) {
                    self.command(Command::parse(line), effects);
                }
            }
            Input::LineTooLong => self.error(TOO_LONG.into(), effects),
            Input::Answer(answer) => self.answer(answer, effects),
            Input::TimedOut => {
                say(effects, IDLE);
                self.close("Disconnected for inactivity", effects);
            }
            Input::Shutdown => {
                say(effects, STOPPING);
                self.close("Server shutting down.", effects);
            }
            Input::End => self.note_end("Connection closed", effects),
            Input::Chunk(_) | Input::ChunkEnd(_) | Input::Notice | Input::Secured => {}
        }
    }
}

/// RFC 2449 §5 in the TRANSACTION state.
fn capabilities(effects: &mut Effects) {
    for line in ["+OK", "CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "UTF8 USER", "."] {
        say(effects, line);
    }
}

/// A failure in the words of RFC 2449 §8.1.2 and RFC 3206.
fn refusal(answer: &Answer, otherwise: &'static str) -> &'static str {
    match answer {
        Answer::Failed(Failure::InUse) => "-ERR [IN-USE] Mailbox is locked by another program.",
        Answer::Failed(Failure::Gone) => "-ERR [SYS/TEMP] Message is gone: another program removed it.",
        Answer::Failed(Failure::ReadOnly) => "-ERR [SYS/PERM] Mailbox is read-only, nothing was removed.",
        Answer::Failed(Failure::Temporary)
        | Answer::Opened(_)
        | Answer::Uidls(_)
        | Answer::Fetched(_)
        | Answer::Chunk(_)
        | Answer::ChunkEnd
        | Answer::Committed => otherwise,
    }
}

/// What a client wrote, fit to be sent back.
fn shown(text: &[u8]) -> String {
    let text = &text[..text.len().min(LONGEST_ECHO)];
    String::from_utf8_lossy(text).into_owned()
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.messages, self.octets)
    }
}

const LONGEST_ECHO: usize = 40;
