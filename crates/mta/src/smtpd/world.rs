//! The answers to the session's questions.

use std::sync::Arc;

use accounts::check::Outcome;
use bytes::Bytes;
use daemon::World;
use mail::{Address, Recipient};
use sasl::Credentials;
use smtp::Reply;
use smtp::server::{Answer, Client, Question, Transaction};

use super::door;
use super::entry::{self, Entry};
use super::rules::Rules;
use super::server::{Configured, Server};

/// The world as one session sees it.
pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) configured: Arc<Configured>,
    pub(super) client: Client,
    pub(super) entry: Option<Entry>,
}

impl World for Session {
    type Question = Question;
    type Answer = Answer;

    async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Authenticate(credentials) => self.authenticate(credentials).await,
            Question::Recipient { recipient, may_relay, .. } => self.recipient(&recipient, may_relay),
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

    async fn authenticate(&self, credentials: Credentials) -> Answer {
        let user = credentials.user.as_str();
        let name = match Address::parse(user) {
            Ok(address) if address.domain().is_some_and(|domain| self.rules().is_ours(domain)) => {
                address.local().to_owned()
            }
            _ => user.to_owned(),
        };
        match self.server.passwords.check(&name, &credentials.password, &self.client.address).await {
            Outcome::Right => Answer::Accepted,
            Outcome::Wrong => Answer::Refused(Reply::new(535, 7, 8, "Error: authentication failed")),
            Outcome::Unavailable => Answer::Unavailable,
        }
    }

    fn recipient(&self, recipient: &Recipient, may_relay: bool) -> Answer {
        match self.server.spool.dir(super::ARRIVALS).space() {
            Ok(space) if space.bytes < self.rules().least_space || space.inodes < LEAST_INODES => {
                tracing::warn!("not enough free space in the queue: {} bytes, {} files", space.bytes, space.inodes);
                return Answer::Refused(Reply::no_space());
            }
            _ => {}
        }
        let said = recipient.original.as_ref().unwrap_or(&recipient.address);
        self.configured.recipient(said, &recipient.address, may_relay)
    }

    fn open(&mut self, transaction: &Transaction) -> Answer {
        match Entry::begin(&self.server, &self.configured, transaction) {
            Ok(entry) => {
                self.entry = Some(entry);
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
        match self.server.committer.commit(entry.into_incoming()).await {
            Ok(id) => {
                tracing::info!("{id}: message-id={message_id}");
                self.server.wake_qmgr(id);
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
