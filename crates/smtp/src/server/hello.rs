//! Who the peer is: HELO, EHLO, STARTTLS (RFC 3207), AUTH (RFC 4954).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mail::event::smtpd::Smtpd;
use sasl::{Mechanism, Refusal, Step};
use wire::{Effect, Security};

use super::{Afterwards, Answer, Asked, Auth, Effects, Question, Session, Wait, confused, send};
use crate::Reply;
use crate::command::{self, Verb};

/// What we learned of the peer since the connection or its TLS began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    hello: Option<(Hello, String)>,
    /// Who authenticated, and how.
    pub(super) login: Option<(Mechanism, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hello {
    Helo,
    Ehlo,
}

/// A SASL exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    mechanism: Mechanism,
    server: sasl::Server,
}

/// Who the peer claims to be while the password is checked.
#[derive(Debug)]
pub(super) struct Claim {
    mechanism: Mechanism,
    user: String,
}

impl Peer {
    /// The HELO name.
    pub(super) fn name(&self) -> Option<&str> {
        self.hello.as_ref().map(|(_, name)| name.as_str())
    }

    /// PIPELINING was offered (RFC 2920).
    pub(super) const fn may_pipeline(&self) -> bool {
        matches!(self.hello, Some((Hello::Ehlo, _)))
    }

    /// For the log.
    pub(super) const fn protocol(&self) -> &'static str {
        match self.hello {
            Some((Hello::Ehlo, _)) => "ESMTP",
            Some((Hello::Helo, _)) | None => "SMTP",
        }
    }

    /// For Received (RFC 3848, RFC 6531 §4.3).
    pub(super) const fn transmission(&self, security: Security, smtputf8: bool) -> &'static str {
        let extended = matches!(self.hello, Some((Hello::Ehlo, _)));
        match (extended, smtputf8, security, self.login.is_some()) {
            (false, _, _, _) => "SMTP",
            (true, false, Security::Clear, false) => "ESMTP",
            (true, false, Security::Clear, true) => "ESMTPA",
            (true, false, Security::Tls, false) => "ESMTPS",
            (true, false, Security::Tls, true) => "ESMTPSA",
            (true, true, Security::Clear, false) => "UTF8SMTP",
            (true, true, Security::Clear, true) => "UTF8SMTPA",
            (true, true, Security::Tls, false) => "UTF8SMTPS",
            (true, true, Security::Tls, true) => "UTF8SMTPSA",
        }
    }
}

impl Session {
    /// Whether HELO, TLS and AUTH, where demanded, have gone before.
    pub(super) fn permitted(&self, verb: Verb) -> Result<(), Reply> {
        let policy = &self.settings.policy;
        // RFC 3207 §4: what may come before STARTTLS.
        let before_tls = matches!(verb, Verb::Helo | Verb::Ehlo | Verb::StartTls | Verb::Noop | Verb::Quit);
        if policy.tls_required && self.security == Security::Clear && !before_tls {
            return Err(Reply::new(530, 7, 0, "Must issue a STARTTLS command first"));
        }
        if policy.helo_required && matches!(verb, Verb::Mail | Verb::Etrn) && self.peer.hello.is_none() {
            return Err(Reply::new(503, 5, 1, "Error: send HELO/EHLO first"));
        }
        if verb.rule().always || !policy.submission || self.peer.login.is_some() {
            return Ok(());
        }
        if self.security == Security::Clear && policy.tls_available && policy.auth != Auth::Always {
            return Err(Reply::new(530, 7, 0, "Must issue a STARTTLS command first"));
        }
        Err(Reply::new(530, 7, 0, "Authentication required"))
    }

    pub(super) fn hello(&mut self, verb: Verb, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        let name = command::hello(verb, arguments)?;
        self.abandon(Afterwards::Greet(verb, name), effects);
        Ok(())
    }

    pub(super) fn greet(&mut self, verb: Verb, name: String, effects: &mut Effects) {
        if verb == Verb::Helo {
            self.peer.hello = Some((Hello::Helo, name));
            return self.say(Reply::bare(250, self.settings.hostname.clone()), effects);
        }
        self.peer.hello = Some((Hello::Ehlo, name));
        effects.push(Effect::Send(self.extensions().into()));
        self.tally.done(Some(verb));
        self.wait = Wait::Command;
    }

    /// The EHLO reply, in Postfix's order; what Postfix has not comes last.
    fn extensions(&self) -> String {
        let limits = &self.settings.limits;
        let mut lines: Vec<String> = Vec::new();
        lines.push(self.settings.hostname.clone());
        lines.push("PIPELINING".into());
        lines.push(if limits.message_size > 0 { format!("SIZE {}", limits.message_size) } else { "SIZE".into() });
        if self.settings.policy.vrfy {
            lines.push("VRFY".into());
        }
        lines.push("ETRN".into());
        if self.offers_tls() {
            lines.push("STARTTLS".into());
        }
        if self.offers_auth() && self.peer.login.is_none() {
            lines.push(format!("AUTH {}", Mechanism::ALL.map(Mechanism::name).join(" ")));
        }
        lines.extend(["ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING", "BINARYMIME"].map(Into::into));
        lines.push(format!("LIMITS RCPTMAX={}", limits.recipients));
        let kept = |line: &String| {
            let word = line.split(' ').next().unwrap_or_default();
            !self.settings.keeps_back(word) && (word != "BINARYMIME" || self.settings.takes_chunks())
        };
        let mut first = true;
        lines.retain(|line| core::mem::take(&mut first) || kept(line));
        let last = lines.len() - 1;
        lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' }))
            .collect()
    }

    fn offers_tls(&self) -> bool {
        self.settings.policy.tls_available && self.security == Security::Clear
    }

    fn offers_auth(&self) -> bool {
        match self.settings.policy.auth {
            Auth::Off => false,
            Auth::UnderTls => self.security == Security::Tls,
            Auth::Always => self.security == Security::Tls || !self.settings.policy.tls_required,
        }
    }

    pub(super) fn start_tls(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        Verb::StartTls.alone(arguments)?;
        if self.security == Security::Tls {
            return Err(Reply::new(554, 5, 1, "Error: TLS already active"));
        }
        if !self.settings.policy.tls_available {
            return Err(Reply::new(502, 5, 1, "Error: command not implemented"));
        }
        if self.mail.is_some() {
            return Err(Reply::new(503, 5, 1, "Error: MAIL transaction in progress"));
        }
        send(&Reply::new(220, 0, 0, "Ready to start TLS"), effects);
        self.tally.done(Some(Verb::StartTls));
        effects.push(Effect::StartTls);
        self.wait = Wait::Handshake;
        Ok(())
    }

    /// RFC 3207 §4.2: nothing learned before TLS counts.
    pub(super) fn secured(&mut self) {
        if matches!(self.wait, Wait::Handshake) {
            self.security = Security::Tls;
            self.peer = Peer::default();
            self.mail = None;
            self.wait = Wait::Command;
        }
    }

    pub(super) fn authenticate(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        let refused = |text| Err(Reply::new(503, 5, 1, text));
        if self.settings.policy.auth == Auth::Off {
            return refused("Error: authentication not enabled");
        }
        if self.peer.hello.is_none() {
            return refused("Error: send HELO/EHLO first");
        }
        if self.peer.login.is_some() {
            return refused("Error: already authenticated");
        }
        if self.mail.is_some() {
            return refused("Error: MAIL transaction in progress");
        }
        if !self.offers_auth() {
            return Err(Reply::new(538, 7, 11, "Encryption required for requested authentication mechanism"));
        }
        let (name, initial) = command::auth(arguments)?;
        let mechanism = Mechanism::parse(name.as_bytes())
            .ok_or_else(|| Reply::new(504, 5, 4, "Unrecognized authentication type"))?;
        let (server, step) = sasl::Server::begin(mechanism, initial.map(str::as_bytes));
        self.step(Exchange { mechanism, server }, step, effects);
        Ok(())
    }

    /// A line inside an exchange.
    pub(super) fn exchange(&mut self, line: &[u8], effects: &mut Effects) {
        if let Wait::Exchange(mut exchange) = core::mem::replace(&mut self.wait, Wait::Command) {
            let step = exchange.server.respond(line);
            self.step(exchange, step, effects);
        }
    }

    fn step(&mut self, exchange: Exchange, step: Step, effects: &mut Effects) {
        match step {
            Step::Challenge(text) => {
                effects.push(Effect::Send(format!("334 {text}\r\n").into()));
                self.wait = Wait::Exchange(exchange);
            }
            Step::Check(credentials) => {
                let claim = Claim { mechanism: exchange.mechanism, user: credentials.user.clone() };
                self.ask(Question::Authenticate(credentials), Asked::Password(claim), effects);
            }
            Step::Refuse(refusal) => {
                let (why, reply) = worded(refusal);
                self.log(
                    Smtpd::LoginFailed { client: self.client(), method: exchange.mechanism.name(), why, user: None },
                    effects,
                );
                self.say(reply, effects);
            }
        }
    }

    pub(super) fn password_answer(&mut self, claim: Claim, answer: Answer, effects: &mut Effects) {
        let (why, reply) = match answer {
            Answer::Accepted => {
                self.peer.login = Some((claim.mechanism, claim.user));
                return self.say(Reply::new(235, 7, 0, "Authentication successful"), effects);
            }
            Answer::Refused(_) => (
                "authentication failure",
                Reply::new(535, 7, 8, "Error: authentication failed: authentication failure"),
            ),
            Answer::Unavailable => {
                ("no answer from the password check", Reply::new(454, 7, 0, "Temporary authentication failure"))
            }
            Answer::Named(_) => ("internal error", confused()),
        };
        self.log(
            Smtpd::LoginFailed { client: self.client(), method: claim.mechanism.name(), why, user: Some(claim.user) },
            effects,
        );
        self.say(reply, effects);
    }
}

/// RFC 4954 §4 and §6.
fn worded(refusal: Refusal) -> (&'static str, Reply) {
    match refusal {
        Refusal::Cancelled => ("authentication aborted", Reply::new(501, 7, 0, "Authentication aborted")),
        Refusal::BadEncoding => {
            ("malformed response", Reply::new(501, 5, 2, "Error: malformed authentication response"))
        }
        Refusal::BadMessage => {
            ("malformed message", Reply::new(535, 7, 8, "Error: authentication failed: malformed message"))
        }
        Refusal::OtherIdentity => (
            "not authorized for that identity",
            Reply::new(535, 7, 8, "Error: authentication failed: not authorized for that identity"),
        ),
    }
}
