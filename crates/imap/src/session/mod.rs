//! The session after login (RFC 9051 §3.2–3.4): one client, the mailboxes of one user.
//!
//! [`Session`] is the [`Machine`]: it puts commands together, finds them in the table, and hands each to the function of
//! its name in the modules below. A command that must ask leaves a [`Job`] behind, which takes the answer. Before a
//! command is completed the session asks what others did to the mailbox and tells it.
//! Every refusal leaves the session as it was; what cannot be (an answer of the wrong kind) is told as `[SERVERBUG]`.

mod append;
mod fetch;
mod folders;
mod job;
mod messages;
mod out;
mod pattern;
mod search;
mod select;
mod view;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use wire::{Effect, Framing, Input, LineEnd, Machine};

use crate::assemble::{Assembler, Step};
use crate::command::{self, Allowed, Command, Head};
use crate::grammar::string::{Announced, Waits};
use crate::grammar::{Cursor, Syntax};
use crate::question::{Answer, Look, Question};
use crate::reply::fetch::Read;
use crate::reply::text;

use append::Appending;
use job::{Completing, Job};
use out::Out;
use view::{Expunges, View};

/// The longest command, literals included (not the message of APPEND).
const MAX_COMMAND: usize = 1024 * 1024;

/// What a session can do beyond IMAP4rev1; told after login.
pub const CAPABILITIES: &str = "IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+ NAMESPACE CHILDREN UIDPLUS MOVE UNSELECT \
                                SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS";

/// What is fixed for a session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tag of the command that logged in; empty: the session begins with PREAUTH.
    pub tag: String,
    /// What divides levels of mailbox names.
    pub separator: char,
    /// How many times [`Input::TimedOut`] may come in a row before a session that is not idling ends.
    pub patience: u32,
    /// The largest message APPEND takes.
    pub append_limit: u64,
    /// Octets of the longest command line, literals not counted.
    pub line_limit: usize,
}

/// The machine of a session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    assembler: Assembler,
    state: State,
    view: Option<View>,
    silences: u32,
    counts: Counts,
}

/// What the session waits for.
#[derive(Debug)]
enum State {
    /// The next line of a command.
    Command,
    /// Octets of a literal of the command under way.
    Literal,
    /// Octets of a literal, then the rest of the line, which nobody wants; then this is said.
    Discard(String),
    /// The message of an APPEND.
    Append(Appending),
    /// `DONE`, after this IDLE.
    Idle { tag: String },
    /// The answer to a question.
    Answer(Job),
    /// Nothing.
    Closed,
}

/// What is told in the log at the end.
#[derive(Debug, Default)]
struct Counts {
    octets_in: u64,
    octets_out: u64,
    deleted: u64,
    expunged: u64,
    read: Read,
}

/// How a handler leaves the session.
enum Next {
    /// Wait for the next command.
    Ready,
    /// Complete the command `tag` with this text, once changes by others have been told.
    Complete { tag: String, text: String, expunges: Expunges, look: Look },
    /// Ask this; the job takes the answer.
    Ask(Question, Job),
    /// Wait in this state.
    Wait(State),
    /// Say goodbye and close, for this reason in the log.
    Close(&'static str),
}

impl Next {
    /// Completes a command that changes no numbers.
    fn ok(tag: String, text: &str) -> Self {
        Self::Complete { tag, text: format!("OK {text}"), expunges: Expunges::Told, look: Look::Memory }
    }

    fn no(tag: String, text: &str) -> Self {
        Self::Complete { tag, text: format!("NO {text}"), expunges: Expunges::Told, look: Look::Memory }
    }

    fn bad(tag: String, text: &str) -> Self {
        Self::Complete { tag, text: format!("BAD {text}"), expunges: Expunges::Held, look: Look::Memory }
    }

    /// A command of that name whose arguments are wrong.
    fn wrong(tag: String, name: &str, error: &Syntax) -> Self {
        Self::bad(tag, &format!("Error in IMAP command {name}: {}", text::syntax(error)))
    }
}

impl Session {
    /// A session that has not said anything yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            assembler: Assembler::new(MAX_COMMAND),
            state: State::Command,
            view: None,
            silences: 0,
            counts: Counts::default(),
        }
    }

    fn input(&mut self, input: Input<'_, Answer>, out: &mut Out<'_>) -> Next {
        if !matches!(input, Input::TimedOut | Input::Notice) {
            self.silences = 0;
        }
        match input {
            Input::Start(_) => self.start(out),
            Input::Line(line, end) => self.line(line, end, out),
            Input::LineTooLong => {
                // What follows could be the literal of the lost line: nothing of it may be taken for a command.
                out.line("* BYE Input buffer full, aborting.");
                Next::Close("Input buffer full")
            }
            Input::Chunk(octets) => self.chunk(octets),
            Input::ChunkEnd(_) => self.chunk_end(),
            Input::Answer(answer) => self.answer(answer, out),
            Input::Notice => self.notice(),
            Input::Secured => Next::Ready,
            Input::TimedOut => self.timed_out(out),
            Input::End => Next::Close("Connection closed"),
            Input::Shutdown => {
                out.line("* BYE Server shutting down.");
                Next::Close("Server shutting down")
            }
        }
    }

    fn start(&self, out: &mut Out<'_>) -> Next {
        out.frame(Framing::Line { limit: self.settings.line_limit });
        let tag = &self.settings.tag;
        if tag.is_empty() {
            out.line(&format!("* PREAUTH [CAPABILITY {CAPABILITIES}] Logged in"));
        } else {
            out.line(&format!("{tag} OK [CAPABILITY {CAPABILITIES}] Logged in"));
        }
        Next::Ready
    }

    fn line(&mut self, line: &[u8], end: LineEnd, out: &mut Out<'_>) -> Next {
        self.counts.octets_in += line.len() as u64 + if end == LineEnd::CrLf { 2 } else { 1 };
        match core::mem::replace(&mut self.state, State::Command) {
            State::Command => self.command_line(line, out),
            State::Discard(reply) => Self::discarded_line(line, reply, out),
            State::Append(appending) => self.append_line(line, appending, out),
            State::Idle { tag } if line.trim_ascii().eq_ignore_ascii_case(b"DONE") => Next::ok(tag, "Idle completed."),
            State::Idle { tag } => Next::bad(tag, "Expected DONE."),
            // The pump gives no line while a question or a literal is open.
            state @ (State::Answer(_) | State::Literal | State::Closed) => Next::Wait(state),
        }
    }

    fn command_line(&mut self, line: &[u8], out: &mut Out<'_>) -> Next {
        match self.assembler.line(line) {
            Step::Complete(command) if command.trim_ascii().is_empty() => Next::Ready,
            Step::Complete(command) => self.command(&command, out),
            Step::Literal(literal) => self.literal(literal, out),
            Step::TooLong(None) => {
                out.line("* BAD Error in IMAP command received by server.");
                Next::Ready
            }
            Step::TooLong(Some(_)) => {
                out.line("* BYE Input buffer full, aborting.");
                Next::Close("Input buffer full")
            }
        }
    }

    /// A line of a command ends in a literal: a message for APPEND, or a part of the command.
    fn literal(&mut self, literal: Announced, out: &mut Out<'_>) -> Next {
        if let Some(next) = self.append_literal(literal, out) {
            return next;
        }
        if self.assembler.fits(literal.octets) {
            return self.take_literal(literal, out);
        }
        let head = command::head(&mut Cursor::new(self.assembler.so_far()));
        self.assembler.forget();
        let tag = head.map_or_else(|_| "*".into(), |head| head.tag);
        self.refuse_literal(literal, format!("{tag} BAD Error in IMAP command: Too long argument."), out)
    }

    fn take_literal(&mut self, literal: Announced, out: &mut Out<'_>) -> Next {
        if literal.waits == Waits::ForContinuation {
            out.line("+ OK");
        }
        out.frame(Framing::Octets(literal.octets));
        Next::Wait(State::Literal)
    }

    /// Refuses a literal: one that waits is never sent; one that does not is read and thrown away, with the rest of its
    /// line, before `reply` is said.
    fn refuse_literal(&self, literal: Announced, reply: String, out: &mut Out<'_>) -> Next {
        match literal.waits {
            Waits::ForContinuation => {
                out.line(&reply);
                Next::Ready
            }
            Waits::ForNothing => {
                out.frame(Framing::Octets(literal.octets));
                Next::Wait(State::Discard(reply))
            }
        }
    }

    /// The line after a literal that was thrown away may announce another one.
    fn discarded_line(line: &[u8], reply: String, out: &mut Out<'_>) -> Next {
        match crate::grammar::string::announced(line) {
            Some(literal) if literal.waits == Waits::ForNothing => {
                out.frame(Framing::Octets(literal.octets));
                Next::Wait(State::Discard(reply))
            }
            Some(_) | None => {
                out.line(&reply);
                Next::Ready
            }
        }
    }

    fn chunk(&mut self, octets: &[u8]) -> Next {
        self.counts.octets_in += octets.len() as u64;
        match core::mem::replace(&mut self.state, State::Command) {
            State::Literal => {
                self.assembler.literal(octets);
                Next::Wait(State::Literal)
            }
            State::Append(appending) => appending.chunk(octets),
            state => Next::Wait(state),
        }
    }

    fn chunk_end(&mut self) -> Next {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Literal => Next::Ready,
            state => Next::Wait(state),
        }
    }

    fn command(&mut self, octets: &[u8], out: &mut Out<'_>) -> Next {
        let mut cursor = Cursor::new(octets);
        let Ok(Head { tag, name }) = command::head(&mut cursor) else {
            out.line("* BAD Error in IMAP command: Invalid tag.");
            return Next::Ready;
        };
        let Some(row) = command::find(&name).filter(|row| row.allowed != Allowed::BeforeLogin) else {
            return Next::bad(tag, &format!("Error in IMAP command {}: Unknown command.", shown(&name)));
        };
        if row.allowed == Allowed::Selected && self.view.is_none() {
            return Next::bad(tag, &format!("Error in IMAP command {name}: No mailbox selected."));
        }
        match row.parse(&mut cursor) {
            Ok(command) => self.run(tag, command, out),
            Err(error) => Next::wrong(tag, &name, &error),
        }
    }

    fn run(&mut self, tag: String, command: Command, out: &mut Out<'_>) -> Next {
        match command {
            Command::Capability => {
                out.line(&format!("* CAPABILITY {CAPABILITIES}"));
                Next::ok(tag, "Capability completed.")
            }
            Command::Noop => Self::look(tag, "NOOP completed."),
            Command::Check => Self::look(tag, "Check completed."),
            Command::Logout => {
                out.line("* BYE Logging out");
                out.line(&format!("{tag} OK Logout completed."));
                Next::Close("Logged out")
            }
            Command::Id => {
                out.line("* ID (\"name\" \"Facteur\")");
                Next::ok(tag, "ID completed.")
            }
            Command::Enable(_) => {
                out.line("* ENABLED");
                Next::ok(tag, "Enabled.")
            }
            Command::Namespace => {
                out.line(&format!("* NAMESPACE ((\"\" \"{}\")) NIL NIL", self.settings.separator));
                Next::ok(tag, "Namespace completed.")
            }
            Command::Idle => {
                out.line("+ idling");
                Next::Ask(Question::Sync(Look::Disk), Job::Idle { tag })
            }
            // The table keeps these from coming here.
            Command::StartTls | Command::Authenticate { .. } | Command::Login { .. } => {
                Next::bad(tag, "Already logged in.")
            }
            Command::Append(_) => Next::wrong(tag, "APPEND", &Syntax::Arguments),
            Command::List(list) => self.list(tag, list, out),
            Command::Search(numbers, program) => self.search(tag, (numbers, program), out),
            Command::Fetch(numbers, set, items) => self.fetch(tag, ((numbers, &set), items), out),
            mailbox => self.run_mailbox(tag, mailbox),
        }
    }

    fn run_mailbox(&mut self, tag: String, command: Command) -> Next {
        match command {
            Command::Select(mailbox) => self.select(tag, mailbox, crate::question::Access::Select),
            Command::Examine(mailbox) => self.select(tag, mailbox, crate::question::Access::Examine),
            Command::Close => self.close(tag),
            Command::Unselect => self.unselect(tag),
            Command::Create(mailbox, uses) => self.create(tag, &mailbox, uses),
            Command::Delete(mailbox) => self.delete(tag, mailbox),
            Command::Rename { from, to } => self.rename(tag, &from, &to),
            Command::Subscribe(mailbox) => folders::subscribe(tag, mailbox),
            Command::Unsubscribe(mailbox) => folders::unsubscribe(tag, mailbox),
            Command::Lsub(list) => Self::lsub(tag, list),
            Command::Status(mailbox, items) => folders::status(tag, mailbox, items),
            Command::Expunge(set) => self.expunge(tag, set),
            Command::Store(numbers, set, store) => self.store(tag, (numbers, &set), store),
            Command::Copy(numbers, set, to) => self.copy(tag, (numbers, &set), to),
            Command::Move(numbers, set, to) => self.mv(tag, (numbers, &set), to),
            Command::Capability
            | Command::Noop
            | Command::Logout
            | Command::Id
            | Command::StartTls
            | Command::Authenticate { .. }
            | Command::Login { .. }
            | Command::Enable(_)
            | Command::Namespace
            | Command::Append(_)
            | Command::Idle
            | Command::Check
            | Command::List(_)
            | Command::Search(..)
            | Command::Fetch(..) => Next::bad(tag, "Internal error."),
        }
    }

    fn look(tag: String, text: &str) -> Next {
        Next::Complete { tag, text: format!("OK {text}"), expunges: Expunges::Told, look: Look::Disk }
    }

    /// News from others, between commands. Only an idling client wants to hear of them at once.
    fn notice(&mut self) -> Next {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Idle { tag } => Next::Ask(Question::Sync(Look::Memory), Job::Idle { tag }),
            state => Next::Wait(state),
        }
    }

    fn timed_out(&mut self, out: &mut Out<'_>) -> Next {
        let state = core::mem::replace(&mut self.state, State::Command);
        if matches!(state, State::Idle { .. }) {
            // Keeps address translators from forgetting the connection.
            out.line("* OK Still here");
            return Next::Wait(state);
        }
        self.silences += 1;
        if self.silences < self.settings.patience {
            return Next::Wait(state);
        }
        out.line("* BYE Disconnected for inactivity.");
        Next::Close("Disconnected for inactivity")
    }

    /// Carries a handler's decision out; returns the question to ask.
    fn follow(&mut self, next: Next, out: &mut Out<'_>) -> Option<Question> {
        match next {
            Next::Ready => self.state = State::Command,
            Next::Wait(state) => self.state = state,
            Next::Ask(question, job) => {
                self.state = State::Answer(job);
                return Some(question);
            }
            Next::Complete { tag, text, expunges, look } => {
                if self.view.is_some() {
                    self.state = State::Answer(Job::Complete(Completing { tag, text, expunges }));
                    return Some(Question::Sync(look));
                }
                out.line(&format!("{tag} {text}"));
                self.state = State::Command;
            }
            Next::Close(reason) => {
                self.state = State::Closed;
                self.log_end(reason, out);
                out.close();
            }
        }
        None
    }

    fn log_end(&mut self, reason: &str, out: &mut Out<'_>) {
        let counts = &self.counts;
        let sent = counts.octets_out + out.pending();
        let read = &counts.read;
        out.log(mail::Event::Line(format!(
            "Disconnected: {reason} in={} out={sent} deleted={} expunged={} trashed=0 hdr_count={} hdr_bytes={} body_count={} body_bytes={}",
            counts.octets_in, counts.deleted, counts.expunged, read.headers, read.header_octets, read.bodies, read.body_octets,
        )));
    }
}

impl Machine for Session {
    type Question = Question;
    type Answer = Answer;

    fn handle(&mut self, input: Input<'_, Answer>, effects: &mut Vec<Effect<Question>>) {
        if matches!(self.state, State::Closed) {
            return;
        }
        let mut out = Out::new(effects);
        let next = self.input(input, &mut out);
        let ask = self.follow(next, &mut out);
        self.counts.octets_out += out.finish(ask);
    }
}

/// A command's name in an error; people mistype whole sentences.
fn shown(name: &str) -> &str {
    name.get(..40).unwrap_or(name)
}
