//! The envelope: MAIL, RCPT, RSET; and VRFY, ETRN, which ask about addresses and domains.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use mail::event::smtpd::Smtpd;
use mail::{Address, Domain, Envelope, QueueId, Recipient};

use super::content::Content;
use super::{Afterwards, Answer, Asked, Effects, Question, Session, confused, send};
use crate::Reply;
use crate::command::{self, BadPath, Verb};

/// A mail transaction (RFC 5321 §3.3), from MAIL to its end.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) envelope: Envelope,
    /// AUTH= of MAIL.
    pub(super) auth: Option<String>,
    /// Chosen with the first recipient.
    pub(super) id: Option<QueueId>,
    /// Once DATA or the first BDAT came and the world holds a file open.
    pub(super) content: Option<Content>,
    /// Recipients refused for being too many.
    overshoot: usize,
}

impl Mail {
    /// Of content, so far.
    pub(super) fn octets(&self) -> u64 {
        self.content.as_ref().map_or(0, |content| content.octets)
    }
}

impl Session {
    pub(super) fn mail_from(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        if self.mail.is_some() {
            return Err(Reply::new(503, 5, 1, "Error: nested MAIL command"));
        }
        let (address, parameters) = command::mail(arguments).map_err(|bad| self.bad_path("MAIL", bad, effects))?;
        if parameters.body == mail::Body::BinaryMime && !self.settings.takes_chunks() {
            return Err(Reply::new(555, 5, 4, "Unsupported option: BODY=BINARYMIME"));
        }
        let limit = self.settings.limits.message_size;
        if limit > 0 && parameters.size.is_some_and(|size| size > limit) {
            let reply = Reply::new(552, 3, 4, "Message size exceeds fixed limit");
            self.log(self.reject("MAIL", None, &reply), effects);
            return Err(reply);
        }
        let envelope = Envelope {
            reverse_path: address.map(|address| self.completed(address)),
            body: parameters.body,
            smtputf8: parameters.smtputf8,
            ret: parameters.ret,
            envid: parameters.envid,
            ..Envelope::default()
        };
        if self.settings.policy.counts_messages {
            self.ask(Question::Sender, Asked::Sender(Box::new((envelope, parameters.auth))), effects);
        } else {
            self.begin_mail(envelope, parameters.auth, effects);
        }
        Ok(())
    }

    fn begin_mail(&mut self, envelope: Envelope, auth: Option<String>, effects: &mut Effects) {
        self.mail = Some(Mail { envelope, auth, id: None, content: None, overshoot: 0 });
        self.say(Reply::new(250, 1, 0, "Ok"), effects);
    }

    pub(super) fn sender_answer(&mut self, mail: (Envelope, Option<String>), answer: Answer, effects: &mut Effects) {
        match answer {
            Answer::Accepted => self.begin_mail(mail.0, mail.1, effects),
            Answer::Refused(reply) => {
                self.log(self.reject("MAIL", None, &reply), effects);
                self.say(reply, effects);
            }
            Answer::Unavailable | Answer::Named(_) => self.say(confused(), effects),
        }
    }

    pub(super) fn rcpt_to(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        let limits = &self.settings.limits;
        let Some(mail) = &mut self.mail else {
            return Err(Reply::new(503, 5, 1, "Error: need MAIL command"));
        };
        if mail.content.is_some() {
            return Err(Reply::new(503, 5, 1, "Error: RCPT after BDAT"));
        }
        if mail.envelope.recipients.len() >= limits.recipients {
            let reply = Reply::new(452, 5, 3, "Error: too many recipients");
            mail.overshoot += 1;
            if mail.overshoot > limits.overshoot {
                return Err(reply);
            }
            // A sender of a long list did not know; it is not an error of its.
            send(&reply, effects);
            return Ok(());
        }
        let sender = mail.envelope.reverse_path.clone();
        let (written, parameters) = command::rcpt(arguments).map_err(|bad| self.bad_path("RCPT", bad, effects))?;
        let original = written.domain().is_none().then(|| written.clone());
        let address = self.completed(written);
        let recipient = Recipient { address, original, orcpt: parameters.orcpt, notify: parameters.notify };
        let user = self.peer.login.as_ref().map(|(_, user)| user.clone());
        let question = Question::Recipient { sender, recipient: recipient.clone(), may_relay: self.is_ours(), user };
        self.ask(question, Asked::Recipient(recipient), effects);
        Ok(())
    }

    fn completed(&self, written: Address) -> Address {
        written.completed(&self.settings.origin, self.settings.policy.forms)
    }

    /// The client is in our networks, or somebody of ours.
    pub(super) const fn is_ours(&self) -> bool {
        self.settings.policy.in_my_networks || self.peer.login.is_some()
    }

    pub(super) fn recipient_answer(&mut self, recipient: Recipient, answer: Answer, effects: &mut Effects) {
        match answer {
            Answer::Accepted if self.mail.as_ref().is_some_and(|mail| mail.id.is_none()) => {
                self.ask(Question::Name, Asked::Name(recipient), effects);
            }
            Answer::Accepted => self.add_recipient(recipient, effects),
            Answer::Refused(reply) => self.reject_recipient(recipient, reply, effects),
            Answer::Unavailable => {
                self.reject_recipient(recipient, Reply::new(451, 3, 0, "Temporary lookup failure"), effects)
            }
            Answer::Named(_) => self.say(confused(), effects),
        }
    }

    fn reject_recipient(&mut self, recipient: Recipient, reply: Reply, effects: &mut Effects) {
        self.log(self.reject("RCPT", Some(recipient.original.unwrap_or(recipient.address)), &reply), effects);
        self.say(reply, effects);
    }

    pub(super) fn name_answer(&mut self, recipient: Recipient, answer: Answer, effects: &mut Effects) {
        let id = match answer {
            Answer::Named(id) => id,
            Answer::Refused(reply) => return self.say(reply, effects),
            Answer::Accepted | Answer::Unavailable => return self.say(confused(), effects),
        };
        if let Some(mail) = &mut self.mail {
            mail.id = Some(id);
        }
        let login = self.peer.login.as_ref().map(|(mechanism, user)| (mechanism.name(), user.clone()));
        self.log(Smtpd::Client { id, client: self.client(), login }, effects);
        self.add_recipient(recipient, effects);
    }

    fn add_recipient(&mut self, recipient: Recipient, effects: &mut Effects) {
        if let Some(mail) = &mut self.mail {
            mail.envelope.recipients.push(recipient);
        }
        self.say(Reply::new(250, 1, 5, "Ok"), effects);
    }

    /// Forgets the transaction, and has the world throw an open file away first.
    pub(super) fn abandon(&mut self, afterwards: Afterwards, effects: &mut Effects) {
        match self.mail.take() {
            Some(Mail { content: Some(_), .. }) => self.ask(Question::Discard, Asked::Discard(afterwards), effects),
            Some(Mail { content: None, .. }) | None => self.afterwards(afterwards, effects),
        }
    }

    pub(super) fn afterwards(&mut self, afterwards: Afterwards, effects: &mut Effects) {
        match afterwards {
            Afterwards::Say(reply) => self.say(reply, effects),
            Afterwards::Greet(verb, name) => self.greet(verb, name, effects),
        }
    }

    pub(super) fn verify(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        if !self.settings.policy.vrfy {
            return Err(Reply::new(502, 5, 1, "VRFY command is disabled"));
        }
        let address = command::vrfy(arguments).map_err(|bad| self.bad_path("VRFY", bad, effects))?;
        self.ask(Question::Verify(address.clone()), Asked::Verify(address), effects);
        Ok(())
    }

    pub(super) fn verify_answer(&mut self, address: &Address, answer: Answer, effects: &mut Effects) {
        match answer {
            Answer::Accepted => self.say(Reply::new(252, 0, 0, format!("{address}")), effects),
            Answer::Refused(reply) => {
                self.log(self.reject("VRFY", Some(address.clone()), &reply), effects);
                self.say(reply, effects);
            }
            Answer::Unavailable => self.say(Reply::new(451, 3, 0, "Temporary lookup failure"), effects),
            Answer::Named(_) => self.say(confused(), effects),
        }
    }

    pub(super) fn flush(&mut self, arguments: &str, effects: &mut Effects) -> Result<(), Reply> {
        if self.mail.is_some() {
            return Err(Reply::bare(503, "Error: MAIL transaction in progress"));
        }
        let domain = command::etrn(arguments)?;
        self.ask(Question::Flush(domain.clone()), Asked::Flush(domain), effects);
        Ok(())
    }

    /// RFC 1985 §5.3: no enhanced codes there, as in Postfix.
    pub(super) fn flush_answer(&mut self, domain: &Domain, answer: Answer, effects: &mut Effects) {
        self.say(
            match answer {
                Answer::Accepted => Reply::bare(250, "Queuing started"),
                Answer::Unavailable => Reply::bare(459, format!("{domain}: service unavailable")),
                Answer::Refused(_) => Reply::bare(458, "Unable to queue messages"),
                Answer::Named(_) => confused(),
            },
            effects,
        );
    }

    fn bad_path(&self, command: &'static str, bad: BadPath, effects: &mut Effects) -> Reply {
        match bad {
            BadPath::Address(reply, text) => {
                self.log(
                    Smtpd::IllegalAddress { client: self.client(), command, text: text.chars().take(100).collect() },
                    effects,
                );
                reply
            }
            BadPath::Other(reply) => reply,
        }
    }

    /// The transaction, if it has a recipient, is ready for this command.
    pub(super) fn ready_for(&self, verb: Verb) -> Result<&Mail, Reply> {
        let Some(mail) = &self.mail else {
            return Err(Reply::new(503, 5, 1, "Error: need RCPT command"));
        };
        if mail.envelope.recipients.is_empty() {
            return Err(Reply::new(554, 5, 1, "Error: no valid recipients"));
        }
        if verb == Verb::Data && mail.content.is_some() {
            return Err(Reply::new(503, 5, 1, "Error: DATA after BDAT"));
        }
        if verb == Verb::Data && mail.envelope.body == mail::Body::BinaryMime {
            // RFC 3030 §3
            return Err(Reply::new(503, 5, 1, "Error: BODY=BINARYMIME needs BDAT"));
        }
        Ok(mail)
    }
}
