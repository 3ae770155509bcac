//! Setting the session up: greeting, EHLO or what stands for it, STARTTLS, AUTH.

use alloc::format;
use alloc::string::String;

use sasl::client::{Client, Trouble};
use wire::{Effect, Secret, Security};

use super::peer::Peer;
use super::reply::Heard;
use super::step::Step;
use super::{After, Answer, Authentication, Blame, Dialect, Effects, Outcome, Question, Session, TlsWish, Wait, text};

/// Whose reply is awaited.
#[derive(Debug)]
pub(super) enum Setup {
    Greeting,
    Hello(Step),
    StartTls,
    Login(Client),
    /// The exchange was broken off with `*`.
    Cancelled(Trouble),
}

impl Setup {
    pub(super) const fn step(&self) -> Step {
        match self {
            Self::Greeting => Step::Greeting,
            Self::Hello(step) => *step,
            Self::StartTls => Step::StartTls,
            Self::Login(_) | Self::Cancelled(_) => Step::Auth,
        }
    }
}

impl Session {
    pub(super) fn start(&mut self, security: Security, effects: &mut Effects) {
        self.security = security;
        match security {
            Security::Clear => self.wait = Wait::Setup(Setup::Greeting),
            Security::Tls => self.ask_trust(Setup::Greeting, effects),
        }
    }

    /// TLS stands; nothing that was said before counts any more (RFC 3207 §4.2).
    pub(super) fn secured(&mut self, effects: &mut Effects) {
        if matches!(self.wait, Wait::Handshake) {
            self.security = Security::Tls;
            self.peer = Peer::default();
            self.ask_trust(Setup::StartTls, effects);
        }
    }

    fn ask_trust(&mut self, before: Setup, effects: &mut Effects) {
        self.wait = Wait::Trust(before);
        effects.push(Effect::Ask(Question::Secured));
    }

    pub(super) fn trust_answer(&mut self, before: Setup, answer: Answer, effects: &mut Effects) {
        match (answer, before) {
            (Answer::Distrusted(text), before) => {
                let after = if matches!(before, Setup::Greeting) { After::Close } else { After::Quit };
                self.fail(Outcome::deferred(7, 5, Blame::Host, text), after, effects);
            }
            (_, before @ Setup::Greeting) => self.wait = Wait::Setup(before),
            (_, _) => self.hello(effects),
        }
    }

    pub(super) fn setup_reply(&mut self, setup: Setup, heard: &Heard, effects: &mut Effects) {
        let step = setup.step();
        match setup {
            Setup::Greeting => self.greeting(heard, effects),
            Setup::Hello(step) => self.hello_reply(step, heard, effects),
            // The peer closes (RFC 5321 §3.8); there is nothing to fall back to.
            Setup::StartTls | Setup::Login(_) if heard.code == 421 => {
                let outcome = Outcome::refused(&self.settings.host, heard, step, Blame::Host);
                self.fail(outcome, After::Close, effects);
            }
            Setup::StartTls => self.start_tls_reply(heard, effects),
            Setup::Login(client) => self.login_reply(client, heard, effects),
            Setup::Cancelled(trouble) => self.fail_login(trouble, effects),
        }
    }

    fn greeting(&mut self, heard: &Heard, effects: &mut Effects) {
        if !heard.is_ok() {
            let outcome = self.refused_to_talk(heard, Step::Greeting);
            let outcome = if self.settings.manner.skip_5xx_greeting { outcome.softened() } else { outcome };
            return self.fail(outcome, Self::politely(heard), effects);
        }
        self.esmtp = heard.lines().any(|line| line.to_ascii_uppercase().contains("ESMTP"));
        self.hello(effects);
    }

    /// 421: the peer closes, so nothing more is said.
    pub(super) const fn politely(heard: &Heard) -> After {
        if heard.code == 421 { After::Close } else { After::Quit }
    }

    fn refused_to_talk(&self, heard: &Heard, step: Step) -> Outcome {
        let host = &self.settings.host;
        let text = text::refused_to_talk(host, &heard.text());
        Outcome::judged(heard, Blame::Host, text).unwrap_or_else(|| Outcome::nonsense(host, &heard.text(), step))
    }

    fn hello(&mut self, effects: &mut Effects) {
        let manner = &self.settings.manner;
        let step = match self.settings.dialect {
            Dialect::Lmtp => Step::Lhlo,
            Dialect::Smtp if manner.never_ehlo || !(manner.always_ehlo || self.esmtp) => Step::Helo,
            Dialect::Smtp => Step::Ehlo,
        };
        self.say_hello(step, effects);
    }

    fn say_hello(&mut self, step: Step, effects: &mut Effects) {
        let verb = match step {
            Step::Lhlo => "LHLO",
            Step::Ehlo => "EHLO",
            _ => "HELO",
        };
        self.send(format!("{verb} {}\r\n", self.settings.helo), effects);
        self.wait = Wait::Setup(Setup::Hello(step));
    }

    fn hello_reply(&mut self, step: Step, heard: &Heard, effects: &mut Effects) {
        if !heard.is_ok() {
            if step == Step::Ehlo && heard.code != 421 {
                return self.say_hello(Step::Helo, effects);
            }
            return self.fail(self.refused_to_talk(heard, step), Self::politely(heard), effects);
        }
        self.peer = match step {
            Step::Helo => Peer::default(),
            _ => Peer::read(heard, &self.settings.manner.discarded),
        };
        match self.myself(heard) {
            Some(outcome) => self.fail(outcome, After::Quit, effects),
            None => self.secure(effects),
        }
    }

    /// The peer is ourselves.
    fn myself(&self, heard: &Heard) -> Option<Outcome> {
        let myself = self.settings.myself.as_ref()?;
        let name = heard.lines().next()?.split_whitespace().next()?;
        if !name.eq_ignore_ascii_case(&myself.hostname) {
            return None;
        }
        let text = text::loops(&myself.domain);
        let make = if myself.best { Outcome::bounced } else { Outcome::deferred };
        Some(make(4, 6, Blame::Host, text))
    }

    fn secure(&mut self, effects: &mut Effects) {
        match (self.security, self.settings.tls) {
            (Security::Tls, _) | (Security::Clear, TlsWish::Off) => self.log_in(effects),
            (Security::Clear, TlsWish::May | TlsWish::Must) if self.peer.starttls => {
                self.send("STARTTLS\r\n", effects);
                self.wait = Wait::Setup(Setup::StartTls);
            }
            (Security::Clear, TlsWish::May) => self.log_in(effects),
            (Security::Clear, TlsWish::Must) => {
                let text = text::tls_not_offered(&self.settings.host);
                self.fail(Outcome::deferred(7, 4, Blame::Host, text), After::Quit, effects);
            }
        }
    }

    fn start_tls_reply(&mut self, heard: &Heard, effects: &mut Effects) {
        let host = &self.settings.host;
        if heard.is_ok() && heard.ahead {
            // Somebody between us and the peer puts words into its mouth, to be heard after the handshake.
            let outcome = Outcome::nonsense(host, &heard.text(), Step::StartTls);
            return self.fail(outcome, After::Close, effects);
        }
        if heard.is_ok() {
            self.wait = Wait::Handshake;
            return effects.push(Effect::StartTls);
        }
        if self.settings.tls == TlsWish::May {
            return self.log_in(effects);
        }
        let text = text::tls_refused(host, &heard.text());
        let outcome = Outcome::judged(heard, Blame::Host, text);
        let outcome = outcome.unwrap_or_else(|| Outcome::nonsense(host, &heard.text(), Step::StartTls));
        self.fail(outcome, After::Quit, effects);
    }

    /// Logs in when we can and the peer offers it at all, else goes on without.
    fn log_in(&mut self, effects: &mut Effects) {
        let (Some(how), Some(offered)) = (&self.settings.login, &self.peer.auth) else {
            return self.ready(effects);
        };
        let Authentication { login, nonce, .. } = how;
        let allowed = if self.security == Security::Tls { &how.mechanisms } else { &how.in_clear };
        let Some(&mechanism) = allowed.iter().filter(|mechanism| offered.contains(mechanism)).min() else {
            let text = text::no_mechanism(&self.settings.host);
            return self.fail(Outcome::deferred(7, 0, Blame::Host, text), After::Quit, effects);
        };
        match Client::begin(mechanism, login, nonce) {
            Err(trouble) => self.fail_login(trouble, effects),
            Ok((client, initial)) => {
                let line = self.auth_line(mechanism.name(), initial);
                self.send(line, effects);
                self.wait = Wait::Setup(Setup::Login(client));
            }
        }
    }

    /// RFC 4954 §4: with the initial response only where the line stays within the limit of a command.
    fn auth_line(&mut self, name: &str, initial: Option<Secret<String>>) -> String {
        match initial {
            Some(response) if name.len() + response.expose().len() + "AUTH  \r\n".len() <= COMMAND => {
                format!("AUTH {name} {}\r\n", response.expose())
            }
            initial => {
                self.held_back = initial;
                format!("AUTH {name}\r\n")
            }
        }
    }

    fn login_reply(&mut self, mut client: Client, heard: &Heard, effects: &mut Effects) {
        let host = &self.settings.host;
        match heard.class() {
            2 if client.proven() && self.held_back.is_none() => self.ready(effects),
            2 => self.fail_login(Trouble::Impostor, effects),
            3 => {
                let challenge = heard.lines().last().unwrap_or_default();
                let response = match self.held_back.take() {
                    Some(initial) => Ok(initial),
                    None => client.challenge(challenge.trim().as_bytes()),
                };
                match response {
                    Ok(response) => {
                        self.send(format!("{}\r\n", response.expose()), effects);
                        self.wait = Wait::Setup(Setup::Login(client));
                    }
                    Err(trouble) => {
                        self.send("*\r\n", effects);
                        self.wait = Wait::Setup(Setup::Cancelled(trouble));
                    }
                }
            }
            _ => {
                let text = text::login_refused(host, &heard.text());
                let soft = self.settings.login.as_ref().is_none_or(|how| how.soft_bounce);
                let outcome = Outcome::judged(heard, Blame::Host, text)
                    .unwrap_or_else(|| Outcome::nonsense(host, &heard.text(), Step::Auth));
                self.fail(if soft { outcome.softened() } else { outcome }, After::Quit, effects);
            }
        }
    }

    fn fail_login(&mut self, trouble: Trouble, effects: &mut Effects) {
        let text = text::cannot_log_in(&self.settings.host, &format!("{trouble}"));
        self.fail(Outcome::deferred(7, 0, Blame::Host, text), After::Quit, effects);
    }
}

/// RFC 5321 §4.5.3.1.4: octets of a command line, its end counted.
const COMMAND: usize = 512;
