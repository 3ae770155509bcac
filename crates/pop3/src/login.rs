//! POP3 until somebody has logged in: the AUTHORIZATION state of RFC 1939 §4.
//!
//! After [`LoggedIn::Admitted`] the machine detaches without a word. After any refusal it is as fresh as before, except
//! that TLS stays on. What it logs is a remark on the whole attempt.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use sasl::{Mechanism, Refusal, Step};
use wire::{Effect, Input, Machine, Secret, Security};

use crate::grammar::Command;
use crate::question::{LogIn, LoggedIn};
use crate::{IDLE, MOST_ERRORS, STOPPING, TOO_LONG, TOO_MANY_ERRORS, say, say_text};

/// What the operator and the connection allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// After `+OK `.
    pub greeting: String,
    /// Passwords may come without TLS.
    pub cleartext_allowed: bool,
    /// STLS is offered.
    pub tls_available: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Login {
    settings: Settings,
    security: Security,
    state: State,
    errors: u32,
}

#[derive(Debug)]
enum State {
    Commands { user: Option<String> },
    Sasl(sasl::Server),
    Asked,
}

type Effects = Vec<Effect<LogIn>>;

impl Login {
    /// For a new connection.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, security: Security::Clear, state: FRESH, errors: 0 }
    }

    fn line(&mut self, line: &[u8], effects: &mut Effects) {
        match core::mem::replace(&mut self.state, FRESH) {
            State::Sasl(mut server) => {
                let step = server.respond(line);
                self.step(server, step, effects);
            }
            State::Commands { user } => self.command(Command::parse(line), user, effects),
            // The pump gives no line while a question is open.
            State::Asked => self.state = State::Asked,
        }
    }

    fn command(&mut self, command: Command<'_>, user: Option<String>, effects: &mut Effects) {
        match command {
            Command::Auth { mechanism: None, .. } => self.list_mechanisms(effects),
            Command::Auth { mechanism: Some(mechanism), initial } => self.auth(mechanism, initial, effects),
            Command::Capa => self.capabilities(effects),
            Command::Pass(password) => return self.pass(user, password, effects),
            Command::Quit => {
                say(effects, "+OK Logging out");
                effects.push(Effect::Close);
            }
            Command::Stls => self.stls(effects),
            Command::User(name) => return self.user(name, effects),
            Command::Utf8 => say(effects, "+OK UTF8 enabled"),
            Command::Dele(_)
            | Command::List(_)
            | Command::Noop
            | Command::Retr(_)
            | Command::Rset
            | Command::Stat
            | Command::Top(..)
            | Command::Uidl(_)
            | Command::Unknown(_) => self.error("-ERR Unknown command.", effects),
        }
        if let State::Commands { user: kept } = &mut self.state {
            *kept = user;
        }
    }

    fn password_allowed(&self) -> bool {
        self.settings.cleartext_allowed || self.security == Security::Tls
    }

    fn user(&mut self, name: &[u8], effects: &mut Effects) {
        if !self.password_allowed() {
            return self.disallowed(effects);
        }
        if name.is_empty() {
            return self.error("-ERR No username given.", effects);
        }
        self.state = State::Commands { user: Some(String::from_utf8_lossy(name).into_owned()) };
        say(effects, "+OK");
    }

    fn pass(&mut self, user: Option<String>, password: &[u8], effects: &mut Effects) {
        if !self.password_allowed() {
            return self.disallowed(effects);
        }
        match user {
            Some(user) => self.ask(LogIn { user, password: Secret::new(password.to_vec()) }, effects),
            None => self.error("-ERR No username given.", effects),
        }
    }

    /// RFC 5034 §4. An initial response of `=` is an empty one.
    fn auth(&mut self, mechanism: &[u8], initial: Option<&[u8]>, effects: &mut Effects) {
        if Mechanism::parse(mechanism) != Some(Mechanism::Plain) {
            return self.error("-ERR [AUTH] Unsupported authentication mechanism.", effects);
        }
        if !self.password_allowed() {
            return self.disallowed(effects);
        }
        let (server, step) = sasl::Server::begin(Mechanism::Plain, initial);
        self.step(server, step, effects);
    }

    fn step(&mut self, server: sasl::Server, step: Step, effects: &mut Effects) {
        match step {
            Step::Challenge(challenge) => {
                say_text(effects, format!("+ {challenge}"));
                self.state = State::Sasl(server);
            }
            Step::Check(who) => {
                let password = Secret::new(who.password.expose().as_bytes().to_vec());
                self.ask(LogIn { user: who.user, password }, effects);
            }
            Step::Refuse(Refusal::Cancelled) => say(effects, "-ERR [AUTH] Authentication aborted by client."),
            Step::Refuse(Refusal::BadEncoding) => self.error("-ERR [AUTH] Invalid base64 data in response.", effects),
            Step::Refuse(Refusal::BadMessage | Refusal::OtherIdentity) => {
                self.error("-ERR [AUTH] Authentication failed.", effects);
            }
        }
    }

    fn ask(&mut self, question: LogIn, effects: &mut Effects) {
        self.state = State::Asked;
        effects.push(Effect::Ask(question));
    }

    fn answer(&mut self, answer: LoggedIn, effects: &mut Effects) {
        self.state = FRESH;
        match answer {
            LoggedIn::Admitted => effects.push(Effect::Detach),
            LoggedIn::Refused => self.error("-ERR [AUTH] Authentication failed.", effects),
            LoggedIn::TooMany => say(
                effects,
                "-ERR [SYS/TEMP] Maximum number of connections from user+IP exceeded (mail_max_userip_connections)",
            ),
            LoggedIn::Unavailable => say(effects, "-ERR [SYS/TEMP] Temporary authentication failure."),
        }
    }

    fn stls(&mut self, effects: &mut Effects) {
        match (self.security, self.settings.tls_available) {
            (Security::Tls, _) => self.error("-ERR TLS is already active.", effects),
            (Security::Clear, false) => self.error("-ERR TLS is not available.", effects),
            (Security::Clear, true) => {
                say(effects, "+OK Begin TLS negotiation now.");
                effects.push(Effect::StartTls);
            }
        }
    }

    /// RFC 2449 §5, in Dovecot's order.
    fn capabilities(&self, effects: &mut Effects) {
        for line in ["+OK", "CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE"] {
            say(effects, line);
        }
        if self.security == Security::Clear && self.settings.tls_available {
            say(effects, "STLS");
        }
        if self.password_allowed() {
            say(effects, "USER");
            say(effects, "SASL PLAIN");
        }
        say(effects, "UTF8 USER");
        say(effects, ".");
    }

    /// What clients from before CAPA ask.
    fn list_mechanisms(&self, effects: &mut Effects) {
        say(effects, "+OK");
        if self.password_allowed() {
            say(effects, "PLAIN");
        }
        say(effects, ".");
    }

    fn disallowed(&mut self, effects: &mut Effects) {
        effects.push(Effect::Log(mail::Event::Line("tried to use disallowed plaintext auth".into())));
        self.error("-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", effects);
    }

    fn error(&mut self, line: &'static str, effects: &mut Effects) {
        self.errors += 1;
        say(effects, line);
        if self.errors >= MOST_ERRORS {
            say(effects, TOO_MANY_ERRORS);
            effects.push(Effect::Close);
        }
    }
}

impl Machine for Login {
    type Question = LogIn;
    type Answer = LoggedIn;

    fn handle(&mut self, input: Input<'_, LoggedIn>, effects: &mut Effects) {
        match input {
            Input::Start(security) => {
                self.security = security;
                say_text(effects, format!("+OK {}", self.settings.greeting));
            }
            Input::Line(line, _) => self.line(line, effects),
            Input::LineTooLong => {
                self.state = FRESH;
                self.error(TOO_LONG, effects);
            }
            Input::Answer(answer) => self.answer(answer, effects),
            Input::Secured => {
                self.security = Security::Tls;
                self.state = FRESH;
            }
            Input::TimedOut => {
                say(effects, IDLE);
                effects.push(Effect::Close);
            }
            Input::Shutdown => {
                say(effects, STOPPING);
                effects.push(Effect::Close);
            }
            Input::Chunk(_) | Input::ChunkEnd(_) | Input::Notice | Input::End => {}
        }
    }
}

const FRESH: State = State::Commands { user: None };
