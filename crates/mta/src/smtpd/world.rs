//! The answers to the session's questions.

use std::sync::Arc;

use accounts::check::Outcome;
use bytes::Bytes;
use daemon::World;
use mail::{Address, Recipient};
use sasl::Credentials;
use smtp::Reply;
use smtp::server::{Answer, Client, Question, Transaction};
use spool::Queue;

use super::committer::Safe;
use super::door;
use super::entry::{self, Entry};
use super::hold::{Held, Sending};
use super::rates::Event;
use super::rules::Rules;
use super::server::{Configured, Server};
use crate::control::Service;

/// The world as one session sees it.
pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) configured: Arc<Configured>,
    pub(super) client: Client,
    pub(super) service: Service,
    pub(super) entry: Option<Entry>,
    /// Of the open message, if its sender has logged in and what logins send is limited.
    pub(super) sending: Option<Sending>,
}

impl World for Session {
    type Question = Question;
    type Answer = Answer;

    async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Authenticate(credentials) => self.authenticate(credentials).await,
            Question::Sender => self.too_much(Event::Message, "mail").unwrap_or(Answer::Accepted),
            Question::Recipient { sender, recipient, may_relay, user } => self
                .too_much(Event::Recipient, "recipients")
                .or_else(|| self.refuse_sender(user.as_deref(), sender.as_ref()))
                .unwrap_or_else(|| self.recipient(&recipient, may_relay)),
            Question::Name => Answer::Named(self.server.spool.new_id()),
            Question::Open(transaction) => self.open(&transaction),
            Question::Write(octets) => self.write(octets).await,
            Question::Commit(octets) => self.commit(octets).await,
            Question::Discard => {
                self.entry = None;
                Answer::Accepted
            }
            Question::Verify(address) => self.configured.recipient(&address, &address, false),
            Question::Flush(domain) if !self.rules().may_flush(&domain) => Answer::Unavailable,
            Question::Flush(domain) => match self.server.flush(&domain) {
                Ok(()) => Answer::Accepted,
                Err(error) => {
                    tracing::warn!("cannot tell qmgr to try {domain}: {error}");
                    Answer::Refused(Reply::bare(458, "Unable to queue messages"))
                }
            },
        }
    }

    fn secured(&mut self, details: &str) {
        door::log_tls(&self.client, details);
    }
}

impl Session {
    fn rules(&self) -> &Rules {
        &self.configured.rules
    }

    /// The client asks too often.
    fn too_much(&self, event: Event, what: &str) -> Option<Answer> {
        // What comes from a filter was counted when it came.
        let address = self.client.address.parse().ok().filter(|_| self.service != Service::Reinject)?;
        let count = self.server.rates.exceeded(event, address, &self.configured.limits)?;
        let (name, service) = (event.name(), self.service.name());
        tracing::warn!("{name} rate limit exceeded: {count} from {} for service {service}", self.client);
        let text = if event == Event::Message { "too much" } else { "too many" };
        Some(Answer::Refused(Reply::new(450, 7, 1, format!("Error: {text} {what} from {address}"))))
    }

    async fn authenticate(&self, credentials: Credentials) -> Answer {
        let name = self.configured.user_of(&credentials.user);
        match self.server.passwords.check(&name, &credentials.password, &self.client.address).await {
            Outcome::Right => Answer::Accepted,
            Outcome::Wrong => Answer::Refused(Reply::new(535, 7, 8, "Error: authentication failed")),
            Outcome::Unavailable => Answer::Unavailable,
        }
    }

    /// Whoever logs in to send sends as himself (`reject_sender_login_mismatch`).
    fn refuse_sender(&self, user: Option<&str>, sender: Option<&Address>) -> Option<Answer> {
        let user = user.filter(|_| self.service.is_submission() && self.configured.logins.checked)?;
        self.configured.sender_refusal(user, sender).map(Answer::Refused)
    }

    fn recipient(&self, recipient: &Recipient, may_relay: bool) -> Answer {
        match self.server.spool.dir(super::ARRIVALS).space() {
            Ok(space) if space.bytes < self.rules().least_space || space.inodes < LEAST_INODES => {
                tracing::warn!("not enough free space in the queue: {} bytes, {} files", space.bytes, space.inodes);
                return Answer::Refused(Reply::no_space());
            }
            _ => {}
        }
        // Who they are was looked at before the filter.
        if self.service == Service::Reinject {
            return Answer::Accepted;
        }
        let said = recipient.original.as_ref().unwrap_or(&recipient.address);
        self.configured.recipient(said, &recipient.address, may_relay)
    }

    fn open(&mut self, transaction: &Transaction) -> Answer {
        match Entry::begin(&self.server, (&self.configured, self.service), transaction) {
            Ok(entry) => {
                self.entry = Some(entry);
                self.sending = Sending::of(&self.configured, transaction);
                Answer::Accepted
            }
            Err(refused) => Answer::Refused(refused.reply()),
        }
    }

    async fn write(&mut self, octets: Bytes) -> Answer {
        let Some(mut entry) = self.entry.take() else { return Answer::Unavailable };
        let written = if entry.may_block(octets.len()) {
            blocking(move || entry.write(&octets).map(|()| entry)).await
        } else {
            entry.write(&octets).map(|()| entry)
        };
        match written {
            Ok(entry) => {
                self.entry = Some(entry);
                Answer::Accepted
            }
            Err(e) => Answer::Refused(entry::disk_reply(&e)),
        }
    }

    /// The one wait of a message: for the disk.
    async fn commit(&mut self, octets: Bytes) -> Answer {
        match self.write(octets).await {
            Answer::Accepted => {}
            refused => return refused,
        }
        let Some(mut entry) = self.entry.take() else { return Answer::Unavailable };
        let message_id = match entry.end(self.rules()) {
            Ok(message_id) => message_id,
            Err(refused) => return Answer::Refused(refused.reply()),
        };
        if let Some(held) = self.sending.take().and_then(|sending| sending.held(&self.server)) {
            return self.hold(entry, held, &message_id).await;
        }
        let message = entry.into_incoming();
        tracing::info!("{}: message-id={message_id}", message.id());
        match self.server.committer.commit(message).await {
            Ok(safe) => {
                if let Safe::Queued(id) = safe {
                    self.server.wake_qmgr(id);
                }
                Answer::Accepted
            }
            Err(e) => Answer::Refused(entry::disk_reply(&e)),
        }
    }
}

impl Session {
    /// The message is safe, and waits for the operator.
    async fn hold(&self, entry: Entry, held: Held, message_id: &str) -> Answer {
        let (server, configured) = (self.server.clone(), self.configured.clone());
        let client = self.client.to_string();
        let done = blocking(move || {
            let id = entry.into_incoming().commit_into(server.spool.dir(Queue::Hold))?;
            tracing::info!("{id}: hold: END-OF-MESSAGE from {client}: {held}");
            held.tell(&server, &configured, id);
            Ok(id)
        });
        match done.await {
            Ok(id) => {
                tracing::info!("{id}: message-id={message_id}");
                Answer::Accepted
            }
            Err(e) => Answer::Refused(entry::disk_reply(&e)),
        }
    }
}

/// Runs disk work on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
}

/// A queue without room for this many files takes no more mail.
const LEAST_INODES: u64 = 10;
