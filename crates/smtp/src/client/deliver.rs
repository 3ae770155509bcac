//! Carrying one message through its transactions: what is sent when, and what each reply means.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;
use wire::Effect;

use super::body::Encoder;
use super::reply::Heard;
use super::step::Step;
use super::transaction::{Command, Content, Delivery, Next};
use super::{After, Answer, Blame, Dialect, Effects, Message, Outcome, Part, Question, Session, Wait, commands, text};
use crate::downgrade::{Downgrade, Sealed, Takes};

impl Session {
    pub(super) fn begin(&mut self, message: Message, effects: &mut Effects) {
        self.uses = self.uses.saturating_add(1);
        let message = self.in_ascii(message);
        let mut delivery = Box::new(Delivery::new(message));
        if delivery.message.envelope.recipients.is_empty() {
            delivery.next = Next::Over;
        } else if let Some(outcome) = self.unfit(&delivery) {
            delivery.fail_rest(&outcome);
        }
        self.advance(delivery, effects);
    }

    /// For a host without SMTPUTF8, or of a sender who did not ask for it, the domains as the DNS has them, if that is enough (RFC 6531 §3.2).
    fn in_ascii(&self, mut message: Message) -> Message {
        if !self.peer.smtputf8
            && !message.utf8_headers
            && let Some(envelope) = message.in_ascii.take()
        {
            message.envelope = *envelope;
        }
        message
    }

    /// Why this host cannot take this message at all.
    fn unfit(&self, delivery: &Delivery) -> Option<Outcome> {
        let (host, message) = (&self.settings.host, &delivery.message);
        if !self.peer.smtputf8 && message.needs_smtputf8() {
            return Some(Outcome::bounced(6, 7, Blame::Lacking, text::no_smtputf8(host)));
        }
        if delivery.is_binary() && !self.peer.takes_binary() && !self.makes_lines_of(message) {
            return Some(Outcome::bounced(6, 3, Blame::Lacking, text::no_binarymime(host)));
        }
        let limit = self.peer.size_limit().filter(|limit| message.size > *limit)?;
        Some(Outcome::bounced(3, 4, Blame::Message, text::too_big(host, message.size, limit)))
    }

    /// Binary content may be converted, without breaking a signature.
    fn makes_lines_of(&self, message: &Message) -> bool {
        self.settings.manner.convert_8bit
            && match message.sealed {
                Sealed::Nothing => true,
                Sealed::EightBit => self.peer.eight_bit,
                Sealed::Binary => false,
            }
    }

    /// How the content will travel.
    fn manner(&self, delivery: &Delivery) -> Content {
        if delivery.is_binary() && self.peer.takes_binary() {
            return Content::Chunks;
        }
        if delivery.is_binary() {
            let takes = if self.peer.eight_bit { Takes::EightBit } else { Takes::SevenBit };
            let encoder = Encoder::new(self.settings.manner.line_length);
            return Content::Lines(encoder, Some(Box::new(Downgrade::of_binary(takes))));
        }
        // Also what came without BODY=8BITMIME: parts say themselves that they are 8bit.
        let convert = self.settings.manner.convert_8bit && !self.peer.eight_bit;
        let encoder = Encoder::new(self.settings.manner.line_length);
        Content::Lines(encoder, convert.then(|| Box::new(Downgrade::default())))
    }

    /// Sends all that may be sent now.
    fn advance(&mut self, mut delivery: Box<Delivery>, effects: &mut Effects) {
        let pipelining = self.peer.pipelining && self.settings.manner.pipelining;
        let mut out = Vec::new();
        while delivery.may_send(pipelining) {
            match delivery.next {
                Next::Mail => {
                    delivery.content = self.manner(&delivery);
                    let changes = matches!(delivery.content, Content::Lines(_, Some(_)));
                    let exact = !changes || delivery.message.envelope.body == mail::Body::SevenBit;
                    out.extend_from_slice(commands::mail(&delivery.message, &self.peer, exact).as_bytes());
                    delivery.open = true;
                    delivery.expected.push_back(Command::Mail);
                    delivery.next = Next::Rcpt(0);
                }
                Next::Rcpt(place) => self.send_rcpt(&mut delivery, place, &mut out),
                Next::Data if delivery.in_vain() => delivery.next = Next::Over,
                Next::Data if matches!(delivery.content, Content::Chunks) => {
                    return self.ask_content(delivery, Part::First, effects);
                }
                Next::Data => {
                    out.extend_from_slice(b"DATA\r\n");
                    delivery.expected.push_back(Command::Data);
                    delivery.next = Next::Over;
                }
                Next::Content | Next::Over => break,
            }
        }
        self.send(out, effects);
        let over = delivery.expected.is_empty() && delivery.next == Next::Over;
        if over && delivery.again() {
            self.advance(delivery, effects);
        } else if over {
            self.done(delivery, effects);
        } else {
            self.wait = Wait::Mail(delivery);
        }
    }

    fn send_rcpt(&self, delivery: &mut Delivery, place: usize, out: &mut Vec<u8>) {
        let recipient = delivery.recipient(place);
        let known = recipient.and_then(|index| Some((index, delivery.message.envelope.recipients.get(index)?)));
        let Some((index, recipient)) = known else { return delivery.next = Next::Data };
        out.extend_from_slice(commands::rcpt(recipient, &self.peer, delivery.message.envelope.smtputf8).as_bytes());
        delivery.expected.push_back(Command::Rcpt(index));
        delivery.next = Next::Rcpt(place + 1);
    }

    fn ask_content(&mut self, mut delivery: Box<Delivery>, part: Part, effects: &mut Effects) {
        delivery.next = Next::Content;
        self.wait = Wait::Mail(delivery);
        effects.push(Effect::Ask(Question::Content(part)));
    }

    pub(super) fn mail_reply(&mut self, mut delivery: Box<Delivery>, heard: &Heard, effects: &mut Effects) {
        let awaited = delivery.expected.front().copied().filter(|_| heard.code != 421);
        let Some(command) = awaited else { return self.end(delivery, heard, effects) };
        let step = command.step();
        delivery.expected.pop_front();
        delivery.answered = true;
        let host = self.settings.host.clone();
        self.spoilt |= delivery.heeds(command) && is_syntax_trouble(command, heard);
        let refused = |blame| Outcome::refused(&host, heard, step, blame);
        match command {
            Command::Mail if !heard.is_ok() => delivery.fail_rest(&refused(Blame::Message)),
            Command::Mail => {}
            Command::Rcpt(recipient) => delivery.rcpt_reply(recipient, heard, || refused(Blame::Recipient)),
            Command::Data if heard.class() == 3 && heard.ahead => {
                // It answers what we have not said yet.
                delivery.fail_rest(&Outcome::nonsense(&host, &heard.text(), step));
                return self.report(delivery, After::Close, effects);
            }
            Command::Data if heard.class() == 3 && delivery.is_wanted() => {
                return self.ask_content(delivery, Part::First, effects);
            }
            Command::Data if heard.class() == 3 => {
                self.send(".\r\n", effects);
                delivery.expected.push_back(Command::Nothing);
            }
            Command::Data => delivery.settle_accepted(&refused(Blame::Message)),
            Command::Chunk if heard.is_ok() => return self.ask_content(delivery, Part::Next, effects),
            Command::Chunk => delivery.settle_accepted(&refused(Blame::Message)),
            Command::End => {
                let blame = if self.settings.dialect == Dialect::Lmtp { Blame::Recipient } else { Blame::Message };
                delivery.end_reply(self.settings.dialect, heard, || refused(blame));
            }
            Command::Nothing => delivery.open = !heard.is_ok(),
        }
        self.advance(delivery, effects);
    }

    /// The peer ends the session, or says what nobody asked.
    fn end(&mut self, mut delivery: Box<Delivery>, heard: &Heard, effects: &mut Effects) {
        let (host, step) = (&self.settings.host, delivery.step());
        let outcome = match heard.code {
            421 => Outcome::refused(host, heard, step, Blame::Host),
            // It does not want the rest of the content, and has gone or will go.
            400..600 if delivery.next == Next::Content => Outcome::refused(host, heard, Step::End, Blame::Message),
            _ => Outcome::nonsense(host, &heard.text(), step),
        };
        delivery.stale = heard.code == 421 && !delivery.answered && self.uses > 1;
        delivery.fail_rest(&outcome);
        self.report(delivery, After::Close, effects);
    }

    pub(super) fn content_answer(&mut self, mut delivery: Box<Delivery>, answer: Answer, effects: &mut Effects) {
        match answer {
            Answer::Content(octets) if octets.is_empty() => self.end_content(delivery, effects),
            Answer::Content(octets) => self.some_content(delivery, octets, effects),
            _ => {
                let text = text::unreadable(&self.settings.host);
                delivery.fail_rest(&Outcome::deferred(3, 0, Blame::Ourselves, text));
                self.report(delivery, After::Close, effects);
            }
        }
    }

    fn some_content(&mut self, mut delivery: Box<Delivery>, octets: Bytes, effects: &mut Effects) {
        match &mut delivery.content {
            Content::Lines(encoder, downgrade) => {
                let mut out = Vec::new();
                encode(encoder, downgrade.as_deref_mut(), &octets, &mut out);
                self.send(out, effects);
                self.ask_content(delivery, Part::Next, effects);
            }
            Content::Chunks => {
                self.send(format!("BDAT {}\r\n", octets.len()), effects);
                self.send(octets, effects);
                delivery.expected.push_back(Command::Chunk);
                delivery.next = Next::Over;
                self.wait = Wait::Mail(delivery);
            }
        }
    }

    fn end_content(&mut self, mut delivery: Box<Delivery>, effects: &mut Effects) {
        match &mut delivery.content {
            Content::Lines(encoder, downgrade) => {
                let mut out = Vec::new();
                if let Some(downgrade) = downgrade {
                    let mut rest = Vec::new();
                    downgrade.finish(&mut rest);
                    encoder.encode(&rest, &mut out);
                }
                encoder.finish(&mut out);
                self.send(out, effects);
            }
            Content::Chunks => self.send("BDAT 0 LAST\r\n", effects),
        }
        delivery.expect_end(self.settings.dialect);
        self.wait = Wait::Mail(delivery);
    }

    /// The message is over and the session may go on.
    fn done(&mut self, delivery: Box<Delivery>, effects: &mut Effects) {
        let after = match (self.spoilt || self.stopping, delivery.open) {
            (true, _) => After::Quit,
            (false, true) => After::Reset,
            (false, false) => After::Next,
        };
        self.report(delivery, after, effects);
    }

    /// The message is over.
    pub(super) fn report(&mut self, mut delivery: Box<Delivery>, after: After, effects: &mut Effects) {
        let report = delivery.report(self.peer.dsn, self.uses);
        self.wait = Wait::Noted(after);
        effects.push(Effect::Ask(Question::Done(Box::new(report))));
    }
}

impl Message {
    /// It cannot go to a peer without SMTPUTF8 (RFC 6531 §3.6).
    fn needs_smtputf8(&self) -> bool {
        let envelope = &self.envelope;
        let addresses = envelope.recipients.iter().map(|it| &it.address).chain(&envelope.reverse_path);
        let mut ascii =
            addresses.map(|it| it.local().is_ascii() && it.domain().is_none_or(|it| it.as_str().is_ascii()));
        envelope.smtputf8 && (self.utf8_headers || !ascii.all(|ascii| ascii))
    }
}

fn encode(encoder: &mut Encoder, downgrade: Option<&mut Downgrade>, octets: &[u8], out: &mut Vec<u8>) {
    match downgrade {
        None => encoder.encode(octets, out),
        Some(downgrade) => {
            let mut seven = Vec::with_capacity(octets.len());
            downgrade.feed(octets, &mut seven);
            encoder.encode(&seven, out);
        }
    }
}

/// The peer did not understand us or we it, so that we better part after this message.
const fn is_syntax_trouble(command: Command, heard: &Heard) -> bool {
    let fits = match command {
        Command::Data => matches!(heard.class(), 3..=5),
        _ => matches!(heard.class(), 2 | 4 | 5),
    };
    !fits || heard.code == 555 || heard.code >= 500 && heard.code < 510
}
