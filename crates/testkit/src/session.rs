//! Golden dialogues: text files that drive a [`Machine`] with no socket, clock or runtime.
//!
//! One file `tests/sessions/<behaviour>.session` is one dialogue. Each line is a prefix, a blank, a text:
//!
//! | prefix | meaning |
//! |---|---|
//! | `# ` or an empty line | a comment |
//! | `@: name value` | a setting, before anything else; read by the test through [`Setup`]. `@: tls` starts under TLS; `@: unsplit` keeps segments whole in every run |
//! | `C: ` | the client sends this line, CR LF added |
//! | `C\n: ` | the client sends this line with a bare LF |
//! | `C\b: ` | the client sends raw octets: `\r \n \t \0 \xHH \\` are escapes, no line end is added, one segment |
//! | `S: ` | the server sends exactly this line (control characters shown as `\xHH`) |
//! | `?: ` | the machine asks this, as the test's `question` writes it |
//! | `!: ` | the world's answer, as the test's `answer` reads it |
//! | `L: ` | this is logged, now or since the last `L:`; other log lines in between are passed over |
//! | `~: ` | an input: `notice`, `idle-timeout`, `shutdown`, `eof`, `tls` (the handshake is done) |
//! | `=: ` | an effect: `closed`, `starttls`, `detached`, `pause 1s` |
//!
//! For a machine that is the client ([`Role::Client`]) `C` and `S` change places: `S: `, `S\n: ` and `S\b: ` are what the server
//! sends, `C: ` is what the machine must send.
//!
//! `Input::Start` comes first by itself. What the server does must be expected in order and completely before the
//! client goes on; but client lines that follow one another are pipelined: all are sent, then the replies are compared.
//! A file ends with nothing left unexpected. As in the pump, while a question is open the machine gets only its
//! answer, and octets buffered when TLS starts close the session.
//!
//! A failed file is reported as `file:line`, what was expected, what came, and the dialogue up to there.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wire::{Effect, Framing, Input, Machine, Piece, Reader, Security};

mod script;

pub use script::Role;
use script::{What, parse};

/// How one protocol's dialogues are read and written.
pub struct Protocol<M: Machine> {
    /// A fresh machine for the file's settings.
    pub start: fn(&Setup) -> M,
    /// A question as the text after `?: `.
    pub question: fn(&M::Question) -> String,
    /// The answer in the text after `!: `. May panic on nonsense.
    pub answer: fn(&str) -> M::Answer,
}

impl<M: Machine> Clone for Protocol<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Protocol<M> {}

/// The `@:` lines of a file.
#[derive(Clone, Debug, Default)]
pub struct Setup(Vec<(String, String)>);

/// How the client's octets reach the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// A line at a time.
    Lines,
    /// One octet at a time.
    Octets,
}

impl Setup {
    /// The value of a setting; empty text for one without value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a setting is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A number, or `default` where the file does not say.
    ///
    /// # Panics
    /// When the value is no number.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.get(name)
            .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("@: {name} {value}: not a number")))
    }
}

/// Runs every `.session` file of a folder, a line at a time.
///
/// # Panics
/// When a dialogue differs, or there is none.
pub fn run_folder<M: Machine>(folder: impl AsRef<Path>, protocol: Protocol<M>) {
    run_folder_split(folder.as_ref(), protocol, Split::Lines);
}

/// Runs every `.session` file of a folder with the client's octets split as told.
///
/// # Panics
/// When a dialogue differs, or there is none.
pub fn run_folder_split<M: Machine>(folder: &Path, protocol: Protocol<M>, split: Split) {
    run_folder_as(Role::Server, folder, protocol, split);
}

/// Runs every `.session` file of a folder for a machine of this role.
///
/// # Panics
/// When a dialogue differs, or there is none.
pub fn run_folder_as<M: Machine>(role: Role, folder: &Path, protocol: Protocol<M>, split: Split) {
    let files = session_files(folder);
    assert!(!files.is_empty(), "no .session file in {}", folder.display());
    let mut failures = String::new();
    let mut failed = 0;
    for file in &files {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(failure) = run_text(&text, role, protocol, split) {
            failed += 1;
            let _ = writeln!(failures, "{}:{failure}", file.display());
        }
    }
    assert!(failed == 0, "{failed} of {} dialogues differ (split: {split:?})\n\n{failures}", files.len());
}

fn session_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "session"))
        .collect();
    files.sort();
    files
}

/// Runs one dialogue.
///
/// # Errors
/// `LINE: what differs`, with the dialogue up to there.
pub fn run_text<M: Machine>(text: &str, role: Role, protocol: Protocol<M>, split: Split) -> Result<(), String> {
    let steps = parse(text, role)?;
    let settings = steps.iter().filter_map(|step| match &step.what {
        What::Setting(name, value) => Some((name.clone(), value.clone())),
        _ => None,
    });
    let setup = Setup(settings.collect());
    let split = if setup.has("unsplit") { Split::Lines } else { split };
    let mut run = Run::new((protocol.start)(&setup), role, protocol);
    run.give(Input::Start(if setup.has("tls") { Security::Tls } else { Security::Clear }));
    let mut previous_was_peer = true;
    for (index, step) in steps.iter().enumerate() {
        let is_peer = matches!(step.what, What::Peer(_));
        let result = if is_peer && previous_was_peer && index > 0 && run.told_anything {
            Ok(())
        } else {
            run.before(&step.what)
        };
        result.and_then(|()| run.step(&step.what, split)).map_err(|error| report(text, step.line, &error, &run))?;
        previous_was_peer = is_peer;
    }
    run.nothing_left().map_err(|error| report(text, text.lines().count(), &error, &run))
}

fn report<M: Machine>(text: &str, line: usize, error: &str, run: &Run<M>) -> String {
    let from = line.saturating_sub(8);
    let mut report = format!("{line}: {error}\n");
    for (number, shown) in text.lines().enumerate().skip(from).take(line - from) {
        let _ = writeln!(report, "    {:>3} {shown}", number + 1);
    }
    for came in run.events.iter().take(8) {
        let _ = writeln!(report, "      → {came}");
    }
    for logged in run.all_logs.iter().rev().take(4).rev() {
        let _ = writeln!(report, "    log {logged}");
    }
    report
}

struct Run<M: Machine> {
    machine: M,
    role: Role,
    protocol: Protocol<M>,
    reader: Reader,
    /// What the machine did and the file has not yet expected.
    events: VecDeque<String>,
    /// Octets sent after the last CR LF.
    unfinished: Vec<u8>,
    logs: VecDeque<String>,
    all_logs: Vec<String>,
    asking: bool,
    closed: bool,
    told_anything: bool,
}

impl<M: Machine> Run<M> {
    fn new(machine: M, role: Role, protocol: Protocol<M>) -> Self {
        Self {
            machine,
            role,
            protocol,
            reader: Reader::default(),
            events: VecDeque::new(),
            unfinished: Vec::new(),
            logs: VecDeque::new(),
            all_logs: Vec::new(),
            asking: false,
            closed: false,
            told_anything: false,
        }
    }

    /// Checks that the file is not behind when it hands the machine something.
    fn before(&self, what: &What) -> Result<(), String> {
        match what {
            What::Peer(_) | What::Answer(_) | What::Input(_) => self.nothing_left(),
            What::Setting(..) | What::Expect(_) | What::Log(_) => Ok(()),
        }
    }

    fn nothing_left(&self) -> Result<(), String> {
        if let Some(event) = self.events.front() {
            return Err(format!("came unexpected: {event}"));
        }
        if self.unfinished.is_empty() {
            Ok(())
        } else {
            Err(format!("sent without line end: {}", shown(&self.unfinished)))
        }
    }

    fn step(&mut self, what: &What, split: Split) -> Result<(), String> {
        self.told_anything |= !matches!(what, What::Setting(..));
        match what {
            What::Setting(..) => Ok(()),
            What::Peer(octets) => {
                self.send(octets, split);
                Ok(())
            }
            What::Expect(expected) => self.expect(expected),
            What::Log(expected) => self.expect_log(expected),
            What::Answer(text) => self.answer(text),
            What::Input(name) => self.input(name),
        }
    }

    fn send(&mut self, octets: &[u8], split: Split) {
        let size = if split == Split::Lines { octets.len().max(1) } else { 1 };
        for part in octets.chunks(size) {
            self.reader.feed(part);
            self.advance();
        }
    }

    fn expect(&mut self, expected: &str) -> Result<(), String> {
        match self.events.pop_front() {
            Some(came) if came.trim_end() == expected => Ok(()),
            Some(came) => Err(format!("expected {expected}\n         came {came}")),
            None if self.unfinished.is_empty() => Err(format!("expected {expected}, nothing came")),
            None => Err(format!("expected {expected}, only came (no line end): {}", shown(&self.unfinished))),
        }
    }

    fn expect_log(&mut self, expected: &str) -> Result<(), String> {
        while let Some(logged) = self.logs.pop_front() {
            if logged == expected {
                return Ok(());
            }
        }
        Err(format!("expected in the log: {expected}"))
    }

    fn answer(&mut self, text: &str) -> Result<(), String> {
        if !self.asking {
            return Err("an answer, but nothing was asked".into());
        }
        self.asking = false;
        self.give(Input::Answer((self.protocol.answer)(text)));
        self.advance();
        Ok(())
    }

    fn input(&mut self, name: &str) -> Result<(), String> {
        self.give(match name {
            "notice" => Input::Notice,
            "idle-timeout" => Input::TimedOut,
            "shutdown" => Input::Shutdown,
            "eof" => Input::End,
            "tls" => Input::Secured,
            _ => return Err(format!("unknown input {name:?}")),
        });
        self.advance();
        Ok(())
    }

    /// Gives the machine whatever the reader has, as the pump does.
    fn advance(&mut self) {
        let mut effects = Vec::new();
        while !self.asking && !self.closed {
            if let Some(octets) = self.reader.behind_line() {
                self.machine.ahead(octets);
            }
            let input = match self.reader.next() {
                None => return,
                Some(Piece::Line(line, end)) => Input::Line(line, end),
                Some(Piece::LineTooLong) => Input::LineTooLong,
                Some(Piece::Chunk(octets)) => Input::Chunk(octets),
                Some(Piece::ChunkEnd(odd)) => Input::ChunkEnd(odd),
            };
            self.machine.handle(input, &mut effects);
            self.carry_out(&mut effects);
        }
    }

    fn give(&mut self, input: Input<'_, M::Answer>) {
        let mut effects = Vec::new();
        self.machine.handle(input, &mut effects);
        self.carry_out(&mut effects);
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect<M::Question>>) {
        for effect in effects.drain(..) {
            assert!(!self.asking, "an effect after a question");
            match effect {
                Effect::Send(octets) => self.sent(&octets),
                Effect::Ask(question) => {
                    self.asking = true;
                    self.events.push_back(format!("?: {}", (self.protocol.question)(&question)));
                }
                Effect::Pause(time) => self.events.push_back(format!("=: pause {time:?}")),
                Effect::Frame(framing) => self.frame(framing),
                Effect::StartTls => {
                    self.events.push_back("=: starttls".into());
                    if !self.reader.take_buffered().is_empty() {
                        self.close();
                    }
                }
                Effect::Log(event) => {
                    self.logs.push_back(event.to_string());
                    self.all_logs.push(event.to_string());
                }
                Effect::Close => self.close(),
                Effect::Detach => {
                    self.closed = true;
                    self.events.push_back("=: detached".into());
                }
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.events.push_back("=: closed".into());
    }

    fn frame(&mut self, framing: Framing) {
        self.reader.set_framing(framing);
    }

    fn sent(&mut self, octets: &[u8]) {
        self.unfinished.extend_from_slice(octets);
        while let Some(at) = self.unfinished.windows(2).position(|pair| pair == b"\r\n") {
            let line: Vec<u8> = self.unfinished.drain(..at + 2).collect();
            self.events.push_back(format!("{}: {}", self.role.prefixes().1, shown(&line[..at])));
        }
    }
}

/// Text as it is; control characters and what is not UTF-8 as `\xHH`.
fn shown(octets: &[u8]) -> String {
    let mut text = String::new();
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            } else {
                text.push(c);
            }
        }
        for octet in chunk.invalid() {
            let _ = write!(text, "\\x{octet:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says each line back; asks about `ask`.
    struct Echo;
    impl Machine for Echo {
        type Question = String;
        type Answer = String;
        fn handle(&mut self, input: Input<'_, String>, effects: &mut Vec<Effect<String>>) {
            match input {
                Input::Start(_) => effects.push(Effect::Send("hello\r\n".into())),
                Input::Line(b"quit", _) => effects.push(Effect::Close),
                Input::Line(b"ask", _) => effects.push(Effect::Ask("what".into())),
                Input::Line(line, _) => effects.push(Effect::Send([line, b"\r\n"].concat().into())),
                Input::Answer(text) => effects.push(Effect::Send(format!("{text}\r\n").into())),
                Input::LineTooLong | Input::Chunk(_) | Input::ChunkEnd(_) | Input::Notice | Input::Secured => {}
                Input::TimedOut | Input::End | Input::Shutdown => effects.push(Effect::Close),
            }
        }
    }

    fn run(text: &str) -> Result<(), String> {
        let protocol: Protocol<Echo> = Protocol { start: |_| Echo, question: Clone::clone, answer: ToOwned::to_owned };
        run_text(text, Role::Server, protocol, Split::Lines)?;
        run_text(text, Role::Server, protocol, Split::Octets)
    }

    #[test]
    fn a_right_dialogue_passes() {
        assert_eq!(
            run(
                "# a comment\n@: x\nS: hello\nC: a\nC\\b: b\\n\nS: a\nS: b\nC: ask\n?: what\n!: that\nS: that\n~: eof\n=: closed\n"
            ),
            Ok(())
        );
    }

    #[test]
    fn for_a_client_the_letters_change_places() {
        let protocol: Protocol<Echo> = Protocol { start: |_| Echo, question: Clone::clone, answer: ToOwned::to_owned };
        let text = "C: hello\nS: a\nS\\b: b\\n\nC: a\nC: b\n";
        assert_eq!(run_text(text, Role::Client, protocol, Split::Octets), Ok(()));
        assert!(run_text(text, Role::Server, protocol, Split::Octets).is_err());
    }

    #[test]
    fn differences_are_found() {
        for text in [
            "S: hallo\n",
            "C: a\n",
            "S: hello\nC: a\n",
            "S: hello\nC: a\nS: a\nS: b\n",
            "S: hello\n!: x\n",
            "S: hello\nC: quit\n",
            "S: hello\nL: x\n",
            "X: y\n",
        ] {
            assert!(run(text).is_err(), "{text}");
        }
    }
}
