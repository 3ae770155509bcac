//! The message itself: DATA, and BDAT (RFC 3030) with its chunks.
//!
//! Octets are gathered into blocks of [`BLOCK`] for the world; a small message is one `Commit`. What is refused while it
//! comes in is read to its end and thrown away, so that the reply stands where the client looks for it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use wire::{Effect, Framing, LineEnd, Oddities};

use super::transaction::Mail;
use super::{Afterwards, Answer, Asked, Effects, Question, Session, Transaction, Wait, confused, send};
use crate::Reply;
use crate::command::{self, Verb};
use crate::trace::Received;

/// Octets handed to the world at once.
pub(super) const BLOCK: usize = 64 * 1024;

/// Content of the open transaction.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Received so far, as stored.
    pub(super) octets: u64,
    /// Not yet handed to the world.
    pending: Vec<u8>,
    /// The last octet of a chunk was a CR; the next decides what it is.
    cr: bool,
    odd: Oddities,
}

/// Content now coming in.
#[derive(Debug)]
pub(super) struct Body {
    kind: Kind,
    fate: Fate,
}

/// What becomes of content.
#[derive(Debug)]
enum Fate {
    /// It is stored.
    Kept,
    /// It is thrown away, this is said at its end, and the transaction is over.
    Refused(Reply),
    /// It is a chunk that no transaction wants: thrown away, this said, and nothing else.
    Unwanted(Reply),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Data,
    Chunk { size: u64, last: bool },
}

impl Session {
    pub(super) fn data(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        let mail = self.ready_for(Verb::Data)?;
        Verb::Data.alone(arguments)?;
        let transaction = self.transaction(mail).ok_or_else(confused)?;
        self.ask(Question::Open(transaction), Asked::Open(Body { kind: Kind::Data, fate: Fate::Kept }), effects);
        Ok(())
    }

    pub(super) fn bdat(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        let (size, last) = command::bdat(arguments)?;
        effects.push(Effect::Frame(Framing::Octets(size)));
        let kind = Kind::Chunk { size, last };
        match self
            .chunks()
            .and_then(|()| self.ready_for(Verb::Bdat))
            .and_then(|mail| self.transaction(mail).map(|it| (it, mail.content.is_some())).ok_or_else(confused))
        {
            Err(reply) => self.wait = Wait::Body(Body { kind, fate: Fate::Unwanted(reply) }),
            Ok((_, true)) => self.wait = Wait::Body(Body { kind, fate: Fate::Kept }),
            Ok((transaction, false)) => {
                self.ask(Question::Open(transaction), Asked::Open(Body { kind, fate: Fate::Kept }), effects)
            }
        }
        Ok(())
    }

    fn chunks(&self) -> Result<(), Reply> {
        let taken = self.settings.takes_chunks();
        if taken { Ok(()) } else { Err(Reply::new(502, 5, 1, "Error: command not implemented")) }
    }

    fn transaction(&self, mail: &Mail) -> Option<Box<Transaction>> {
        let id = mail.id?;
        let client = &self.settings.client;
        let only = match mail.envelope.recipients.as_slice() {
            [recipient] => Some(recipient.original.as_ref().unwrap_or(&recipient.address).clone()),
            _ => None,
        };
        let received = Received {
            helo: self.peer.name().unwrap_or(&client.name).to_string(),
            client: client.trace(),
            by: self.settings.hostname.clone(),
            protocol: self.peer.transmission(self.security, mail.envelope.smtputf8),
            id,
            recipient: only,
        };
        let login = self.peer.login.as_ref();
        Some(Box::new(Transaction {
            id,
            envelope: mail.envelope.clone(),
            received,
            complete_headers: self.is_ours(),
            user: login.map(|(_, user)| user.clone()),
            mechanism: login.map(|(mechanism, _)| mechanism.name()),
            // Only of those we know do we believe it.
            submitter: login.and_then(|_| mail.auth.clone()),
            client: client.clone(),
        }))
    }

    pub(super) fn open_answer(&mut self, mut body: Body, answer: Answer, effects: &mut Effects) {
        let refused = match answer {
            Answer::Accepted => None,
            Answer::Refused(reply) => Some(reply),
            Answer::Unavailable => Some(Reply::write_error()),
            Answer::Named(_) => Some(confused()),
        };
        match (refused, body.kind) {
            (None, kind) => {
                if let Some(mail) = &mut self.mail {
                    mail.content = Some(Content::default());
                }
                if matches!(kind, Kind::Data) {
                    send(&Reply::bare(354, "End data with <CR><LF>.<CR><LF>"), effects);
                    effects.push(Effect::Frame(Framing::Dot(self.message_end())));
                }
            }
            (Some(reply), Kind::Data) => {
                self.log(self.reject("DATA", None, &reply), effects);
                self.mail = None;
                return self.say(reply, effects);
            }
            (Some(reply), Kind::Chunk { .. }) => {
                self.log(self.reject("BDAT", None, &reply), effects);
                self.mail = None;
                body.fate = Fate::Refused(reply);
            }
        }
        self.wait = Wait::Body(body);
    }

    const fn message_end(&self) -> LineEnd {
        match self.line_end {
            Some(LineEnd::Lf) if self.settings.policy.line_feeds => LineEnd::Lf,
            _ => LineEnd::CrLf,
        }
    }

    pub(super) fn chunk(&mut self, octets: &[u8], effects: &mut Effects) {
        let limit = self.settings.limits.message_size;
        let (Wait::Body(body), Some(mail)) = (&mut self.wait, &mut self.mail) else { return };
        let (Fate::Kept, Some(content)) = (&body.fate, &mut mail.content) else { return };
        match body.kind {
            Kind::Chunk { .. } if mail.envelope.body != mail::Body::BinaryMime => content.add_lines(octets),
            Kind::Data | Kind::Chunk { .. } => content.pending.extend_from_slice(octets),
        }
        content.octets = content.octets.saturating_add(octets.len() as u64);
        if limit > 0 && content.octets > limit {
            body.fate = Fate::Refused(Reply::new(552, 3, 4, "Error: message file too big"));
            content.pending = Vec::new();
        } else if content.pending.len() >= BLOCK {
            let block = core::mem::take(&mut content.pending).into();
            if let Wait::Body(body) = core::mem::replace(&mut self.wait, Wait::Command) {
                self.ask(Question::Write(block), Asked::Write(body), effects);
            }
        }
    }

    pub(super) fn write_answer(&mut self, mut body: Body, answer: Answer, effects: &mut Effects) {
        let reply = match answer {
            Answer::Accepted => None,
            Answer::Refused(reply) => Some(reply),
            Answer::Unavailable => Some(Reply::write_error()),
            Answer::Named(_) => Some(confused()),
        };
        if let Some(reply) = reply {
            self.log(self.reject("END-OF-MESSAGE", None, &reply), effects);
            // The world holds nothing open any more; nor do we.
            self.mail = None;
            body.fate = Fate::Refused(reply);
        }
        self.wait = Wait::Body(body);
    }

    pub(super) fn chunk_end(&mut self, odd: Oddities, effects: &mut Effects) {
        let Wait::Body(body) = core::mem::replace(&mut self.wait, Wait::Command) else { return };
        self.tally.note(odd);
        match body.fate {
            Fate::Kept => {}
            Fate::Unwanted(reply) => return self.say(reply, effects),
            Fate::Refused(reply) => {
                // Told when it happened, unless it is still open and only too big.
                if self.mail.is_some() {
                    self.log(self.reject("END-OF-MESSAGE", None, &reply), effects);
                }
                return self.abandon(Afterwards::Say(reply), effects);
            }
        }
        match (body.kind, self.mail.as_mut().and_then(|mail| mail.content.as_mut())) {
            (Kind::Chunk { size, last: false }, Some(_)) => {
                self.say(Reply::new(250, 0, 0, format!("Ok: {size} bytes")), effects)
            }
            (Kind::Data | Kind::Chunk { last: true, .. }, Some(content)) => {
                content.finish_lines();
                let (odd, rest) = (content.odd, core::mem::take(&mut content.pending));
                self.tally.note(odd);
                self.ask(Question::Commit(rest.into()), Asked::Commit, effects);
            }
            (_, None) => self.say(confused(), effects),
        }
    }

    pub(super) fn commit_answer(&mut self, answer: Answer, effects: &mut Effects) {
        let id = self.mail.as_ref().and_then(|mail| mail.id);
        let reply = match (answer, id) {
            (Answer::Accepted, Some(id)) => {
                self.tally.forgive();
                Reply::new(250, 0, 0, format!("Ok: queued as {id}"))
            }
            (Answer::Refused(reply), _) => reply,
            (Answer::Unavailable, _) => Reply::write_error(),
            (Answer::Accepted | Answer::Named(_), _) => confused(),
        };
        if reply.is_refusal() {
            self.log(self.reject("END-OF-MESSAGE", None, &reply), effects);
        }
        self.mail = None;
        self.say(reply, effects);
    }
}

impl Content {
    /// Adds octets of a chunk with LF line ends; what a bare CR or LF and NUL become is as in [`wire::reader`].
    fn add_lines(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            if core::mem::take(&mut self.cr) {
                if first == b'\n' {
                    self.pending.push(b'\n');
                    rest = &rest[1..];
                    continue;
                }
                self.bare_cr();
            }
            let plain = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            self.pending.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
            if let Some((&odd, tail)) = rest.split_first() {
                self.odd_octet(odd);
                rest = tail;
            }
        }
    }

    fn odd_octet(&mut self, octet: u8) {
        match octet {
            b'\r' => return self.cr = true,
            b'\n' => self.odd.mixed_ends = true,
            _ => self.odd.nul = true,
        }
        self.pending.push(octet);
    }

    /// No more chunks: a CR at the very end stood alone.
    fn finish_lines(&mut self) {
        if core::mem::take(&mut self.cr) {
            self.bare_cr();
        }
    }

    fn bare_cr(&mut self) {
        self.odd.bare_cr = true;
        self.pending.push(b' ');
    }
}
