//! The time before login (RFC 9051 §6.1, §6.2): greeting, STARTTLS, LOGIN, AUTHENTICATE, and hardly anything else.
//!
//! Ends in [`LoginQuestion::Login`]; when the world accepts, the machine detaches without a word, and the worker that gets
//! the connection answers the tag. A client nobody knows gets little room: [`MAX_COMMAND`] octets and [`MAX_ERRORS`] errors.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use mail::Event;
use sasl::{Mechanism, Refusal, Server};
use wire::{Effect, Framing, Input, Machine, Secret, Security};

use crate::assemble::{Assembler, Step};
use crate::command::{self, Allowed, Command, Head};
use crate::grammar::Cursor;
use crate::grammar::string::{Announced, Waits};
use crate::question::{Attempt, LoginAnswer, LoginQuestion};

/// The longest command, literals included.
pub const MAX_COMMAND: usize = 8 * 1024;
/// How many commands may be wrong before the connection ends.
pub const MAX_ERRORS: u32 = 10;

const FAILED: &str = "NO [AUTHENTICATIONFAILED] Authentication failed.";
const NOT_IN_CLEAR: &str =
    "NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.";
const EXPOSED: &str = "* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it \
                       anyway. If anyone was listening, the password was exposed.";

/// What is fixed for a connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What stands at the end of the greeting: `Facteur ready.`
    pub greeting: String,
    /// Whether a password may come without TLS.
    pub passwords_in_clear: Permission,
    /// Whether STARTTLS is offered.
    pub start_tls: Permission,
}

/// Allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It is.
    Granted,
    /// It is not.
    Denied,
}

/// The machine of a connection before login.
#[derive(Debug)]
pub struct Login {
    settings: Settings,
    security: Security,
    assembler: Assembler,
    state: State,
    errors: u32,
}

#[derive(Debug)]
enum State {
    /// The next line of a command.
    Command,
    /// Octets of a literal.
    Literal,
    /// A response to a SASL challenge.
    Sasl { tag: String, server: Server },
    /// Whether the password was right.
    Answer { tag: String },
    /// The TLS handshake.
    Tls,
    /// Nothing.
    Closed,
}

type Effects = Vec<Effect<LoginQuestion>>;

impl Login {
    /// A machine that has not greeted yet.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        let assembler = Assembler::new(MAX_COMMAND);
        Self { settings, security: Security::Clear, assembler, state: State::Command, errors: 0 }
    }

    fn may_log_in(&self) -> bool {
        self.security == Security::Tls || self.settings.passwords_in_clear == Permission::Granted
    }

    fn capabilities(&self) -> String {
        let starttls = self.security == Security::Clear && self.settings.start_tls == Permission::Granted;
        format!(
            "IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+{} {}",
            if starttls { " STARTTLS" } else { "" },
            if self.may_log_in() { "AUTH=PLAIN" } else { "LOGINDISABLED" }
        )
    }

    fn greet(&mut self, security: Security, effects: &mut Effects) {
        self.security = security;
        effects.push(Effect::Frame(Framing::Line { limit: MAX_COMMAND }));
        say(effects, &format!("* OK [CAPABILITY {}] {}", self.capabilities(), self.settings.greeting));
    }

    fn line(&mut self, line: &[u8], effects: &mut Effects) {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Command => self.command_line(line, effects),
            State::Sasl { tag, mut server } => {
                let step = server.respond(line.trim_ascii());
                self.sasl((tag, server), step, effects);
            }
            // The pump gives no line now.
            state @ (State::Literal | State::Answer { .. } | State::Tls | State::Closed) => self.state = state,
        }
    }

    fn command_line(&mut self, line: &[u8], effects: &mut Effects) {
        match self.assembler.line(line) {
            Step::Complete(command) if command.trim_ascii().is_empty() => {}
            Step::Complete(command) => self.command(&command, effects),
            Step::Literal(literal) if self.assembler.fits(literal.octets) => self.take_literal(literal, effects),
            Step::Literal(_) | Step::TooLong(_) => self.too_much(effects),
        }
    }

    fn take_literal(&mut self, literal: Announced, effects: &mut Effects) {
        if literal.waits == Waits::ForContinuation {
            say(effects, "+ OK");
        }
        effects.push(Effect::Frame(Framing::Octets(literal.octets)));
        self.state = State::Literal;
    }

    fn command(&mut self, octets: &[u8], effects: &mut Effects) {
        let mut cursor = Cursor::new(octets);
        let Ok(Head { tag, name }) = command::head(&mut cursor) else {
            return self.wrong("*", effects);
        };
        let row = command::find(&name).filter(|row| matches!(row.allowed, Allowed::Always | Allowed::BeforeLogin));
        match row.map(|row| row.parse(&mut cursor)) {
            Some(Ok(command)) => self.run(tag, command, effects),
            Some(Err(_)) | None => self.wrong(&tag, effects),
        }
    }

    fn run(&mut self, tag: String, command: Command, effects: &mut Effects) {
        match command {
            Command::Capability => {
                say(effects, &format!("* CAPABILITY {}", self.capabilities()));
                say(effects, &format!("{tag} OK Pre-login capabilities listed, post-login capabilities have more."));
            }
            Command::Noop => say(effects, &format!("{tag} OK NOOP completed.")),
            Command::Logout => {
                say(effects, "* BYE Logging out");
                say(effects, &format!("{tag} OK Logout completed."));
                self.close(effects);
            }
            Command::Id => {
                say(effects, "* ID (\"name\" \"Facteur\")");
                say(effects, &format!("{tag} OK ID completed."));
            }
            Command::StartTls => self.start_tls(&tag, effects),
            Command::Login { user, password } => self.login(tag, (user, password), effects),
            Command::Authenticate { mechanism, .. } if mechanism != Mechanism::Plain.name() => {
                say(effects, &format!("{tag} NO Unsupported authentication mechanism."));
            }
            Command::Authenticate { initial, .. } => self.authenticate(tag, initial, effects),
            // The table lets no other through.
            _ => self.wrong(&tag, effects),
        }
    }

    fn start_tls(&mut self, tag: &str, effects: &mut Effects) {
        if self.security == Security::Tls {
            return say(effects, &format!("{tag} BAD TLS is already active."));
        }
        if self.settings.start_tls == Permission::Denied {
            return say(effects, &format!("{tag} BAD TLS support isn't enabled."));
        }
        say(effects, &format!("{tag} OK Begin TLS negotiation now."));
        effects.push(Effect::StartTls);
        self.state = State::Tls;
    }

    fn login(&mut self, tag: String, (user, password): (Vec<u8>, Secret<Vec<u8>>), effects: &mut Effects) {
        if !self.may_log_in() {
            say(effects, EXPOSED);
            return Self::not_in_clear(&tag, effects);
        }
        match String::from_utf8(user) {
            Ok(user) if !user.is_empty() && !user.contains('\0') => {
                self.ask(Attempt { user, password, method: "PLAIN", tag }, effects);
            }
            _ => say(effects, &format!("{tag} {FAILED}")),
        }
    }

    fn authenticate(&mut self, tag: String, initial: Option<Secret<Vec<u8>>>, effects: &mut Effects) {
        if !self.may_log_in() {
            if initial.is_some() {
                say(effects, EXPOSED);
            }
            return Self::not_in_clear(&tag, effects);
        }
        let (server, step) = Server::begin(Mechanism::Plain, initial.as_ref().map(|secret| secret.expose().as_slice()));
        self.sasl((tag, server), step, effects);
    }

    fn not_in_clear(tag: &str, effects: &mut Effects) {
        effects.push(Effect::Log(Event::Line("tried to use disallowed plaintext auth".into())));
        say(effects, &format!("{tag} {NOT_IN_CLEAR}"));
    }

    fn sasl(&mut self, (tag, server): (String, Server), step: sasl::Step, effects: &mut Effects) {
        match step {
            sasl::Step::Challenge(text) => {
                say(effects, &format!("+ {text}"));
                self.state = State::Sasl { tag, server };
            }
            sasl::Step::Check(credentials) => {
                let password = Secret::new(credentials.password.expose().clone().into_bytes());
                self.ask(Attempt { user: credentials.user, password, method: "PLAIN", tag }, effects);
            }
            sasl::Step::Refuse(Refusal::Cancelled) => {
                say(effects, &format!("{tag} BAD Authentication aborted by client."));
            }
            sasl::Step::Refuse(Refusal::BadEncoding | Refusal::BadMessage) => {
                say(effects, &format!("{tag} BAD Invalid authentication response."));
                self.count_error(effects);
            }
            sasl::Step::Refuse(Refusal::OtherIdentity) => say(effects, &format!("{tag} {FAILED}")),
        }
    }

    fn ask(&mut self, attempt: Attempt, effects: &mut Effects) {
        self.state = State::Answer { tag: attempt.tag.clone() };
        effects.push(Effect::Ask(LoginQuestion::Login(attempt)));
    }

    fn answer(&mut self, answer: LoginAnswer, effects: &mut Effects) {
        let State::Answer { tag } = core::mem::replace(&mut self.state, State::Command) else { return };
        let text = match answer {
            LoginAnswer::Accepted => {
                self.state = State::Closed;
                return effects.push(Effect::Detach);
            }
            LoginAnswer::Refused => FAILED,
            LoginAnswer::Unavailable => "NO [UNAVAILABLE] Temporary authentication failure.",
            LoginAnswer::TooMany => {
                "NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections)"
            }
        };
        say(effects, &format!("{tag} {text}"));
    }

    fn wrong(&mut self, tag: &str, effects: &mut Effects) {
        say(effects, &format!("{tag} BAD Error in IMAP command received by server."));
        self.count_error(effects);
    }

    fn count_error(&mut self, effects: &mut Effects) {
        self.errors += 1;
        if self.errors >= MAX_ERRORS {
            say(effects, "* BYE Too many invalid IMAP commands.");
            self.close(effects);
        }
    }

    fn too_much(&mut self, effects: &mut Effects) {
        self.assembler.forget();
        say(effects, "* BYE Input buffer full, aborting.");
        self.close(effects);
    }

    fn close(&mut self, effects: &mut Effects) {
        self.state = State::Closed;
        effects.push(Effect::Close);
    }
}

impl Machine for Login {
    type Question = LoginQuestion;
    type Answer = LoginAnswer;

    fn handle(&mut self, input: Input<'_, LoginAnswer>, effects: &mut Effects) {
        if matches!(self.state, State::Closed) {
            return;
        }
        match input {
            Input::Start(security) => self.greet(security, effects),
            Input::Line(line, _) => self.line(line, effects),
            Input::LineTooLong => self.too_much(effects),
            Input::Chunk(octets) => self.assembler.literal(octets),
            Input::ChunkEnd(_) => self.state = State::Command,
            Input::Answer(answer) => self.answer(answer, effects),
            Input::Secured => {
                self.security = Security::Tls;
                self.state = State::Command;
            }
            Input::Notice => {}
            Input::TimedOut => {
                say(effects, "* BYE Disconnected for inactivity.");
                self.close(effects);
            }
            Input::End => self.close(effects),
            Input::Shutdown => {
                say(effects, "* BYE Server shutting down.");
                self.close(effects);
            }
        }
    }
}

fn say(effects: &mut Effects, line: &str) {
    effects.push(Effect::Send(Bytes::from(format!("{line}\r\n"))));
}
