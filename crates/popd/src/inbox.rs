//! The world of a POP3 session: the user's inbox. Disk work runs on blocking threads, one piece at a time per session.
//!
//! The mailbox is looked at once, at login; a message that another program removes meanwhile is gone when it is asked for
//! and counts as removed at QUIT.

use accounts::Account;
use bytes::Bytes;
use config::Config;
use daemon::World;
use daemon::login::Session;
use daemon::login::worker::Mail;
use mail::{Flag, Flags, Seq, Uid};
use mailstore::{Error, FlagChange, Location, Mailbox, MailboxName, Options, Reading, Store};
use pop3::question::{Answer, Failure, Question};

/// Makes a world for each session of the user.
pub(crate) struct Inboxes {
    location: Location,
    options: Options,
}

/// One session's.
pub(crate) struct Inbox {
    location: Location,
    options: Options,
    /// For the log: whose session.
    name: String,
    /// `None` until opened, and while a blocking thread has it.
    open: Option<Open>,
    /// The message being sent.
    sending: Option<Sending>,
}

/// A message on its way to the client: read as fast as the client takes it.
struct Sending {
    reading: Reading,
    /// Octets asked for so far.
    offset: u64,
    /// The first piece, until it is asked for.
    first: Option<Bytes>,
}

struct Open {
    mailbox: Mailbox,
    /// By message number.
    uids: Vec<Uid>,
}

impl Inboxes {
    pub(crate) fn new(config: &Config, account: &Account) -> Self {
        Self { location: readers::mailbox::location(config, account), options: readers::mailbox::options(config) }
    }
}

impl Mail for Inboxes {
    type Machine = pop3::Session;
    type World = Inbox;

    fn open(&self, session: &Session) -> (pop3::Session, Inbox) {
        let inbox = Inbox {
            location: self.location.clone(),
            options: self.options.clone(),
            name: format!("pop3({})<{}><{}>", session.user, std::process::id(), session.id),
            open: None,
            sending: None,
        };
        (pop3::Session::new(), inbox)
    }
}

impl World for Inbox {
    type Question = Question;
    type Answer = Answer;

    async fn answer(&mut self, question: Question) -> Answer {
        let result = match question {
            Question::Open => self.look().await,
            Question::Uidls => self.with(Open::uidls).await,
            Question::Fetch(seq) => self.fetch(seq).await,
            Question::NextChunk => self.next_chunk().await,
            Question::Commit { delete, seen } => {
                let name = self.name.clone();
                self.with(move |open| open.commit(&delete, &seen, &name)).await
            }
        };
        result.unwrap_or_else(|error| self.failed(&error))
    }
}

impl Inbox {
    async fn look(&mut self) -> Result<Answer, Error> {
        let (location, options) = (self.location.clone(), self.options.clone());
        let (open, sizes) = blocking(move || Open::new(location, options)).await?;
        self.open = Some(open);
        Ok(Answer::Opened(sizes))
    }

    /// The first piece is read along, so that most messages cost one errand.
    async fn fetch(&mut self, seq: Seq) -> Result<Answer, Error> {
        self.sending = None;
        let (sending, size) = self.with(move |open| open.begin(open.uid(seq)?)).await?;
        self.sending = Some(sending);
        Ok(Answer::Fetched(size))
    }

    async fn next_chunk(&mut self) -> Result<Answer, Error> {
        let Some(mut sending) = self.sending.take() else { return Ok(Answer::ChunkEnd) };
        let chunk = match sending.first.take() {
            Some(first) => first,
            None => {
                let (back, chunk) = self.with(move |open| sending.next(&mut open.mailbox)).await?;
                sending = back;
                chunk
            }
        };
        if chunk.is_empty() {
            return Ok(Answer::ChunkEnd);
        }
        self.sending = Some(sending);
        Ok(Answer::Chunk(chunk))
    }

    /// Does something with the open mailbox on a blocking thread.
    async fn with<T: Send + 'static>(
        &mut self,
        action: impl FnOnce(&mut Open) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut open = self.open.take().ok_or_else(lost)?;
        let (open, result) = blocking(move || {
            let result = action(&mut open);
            Ok((open, result))
        })
        .await?;
        self.open = Some(open);
        result
    }

    fn failed(&self, error: &Error) -> Answer {
        let failure = match error {
            Error::Busy => Failure::InUse,
            Error::NoMessage => Failure::Gone,
            Error::ReadOnly(_) => Failure::ReadOnly,
            Error::AlreadyExists
            | Error::BadName
            | Error::Damaged(_)
            | Error::Disk(_)
            | Error::Full
            | Error::InUse
            | Error::KeywordLimit
            | Error::NoMailbox
            | Error::OverLimit
            | Error::Unsafe(_) => Failure::Temporary,
        };
        match failure {
            Failure::Gone => tracing::info!("{}: {error}", self.name),
            Failure::InUse | Failure::ReadOnly | Failure::Temporary => tracing::error!("{}: {error}", self.name),
        }
        Answer::Failed(failure)
    }
}

impl Sending {
    fn next(mut self, mailbox: &mut Mailbox) -> Result<(Self, Bytes), Error> {
        let chunk = mailbox.read_from(&mut self.reading, self.offset, CHUNK)?;
        self.offset += chunk.len() as u64;
        Ok((self, chunk.into()))
    }
}

impl Open {
    /// A message ready to be sent, and its size.
    fn begin(&mut self, uid: Uid) -> Result<(Sending, u64), Error> {
        let sending = Sending { reading: self.mailbox.begin(uid)?, offset: 0, first: None };
        let (mut sending, first) = sending.next(&mut self.mailbox)?;
        sending.first = Some(first);
        Ok((sending, self.mailbox.size(uid)?))
    }

    /// Opens the inbox and measures its messages; one that vanishes meanwhile is left out.
    fn new(location: Location, options: Options) -> Result<(Self, Vec<u64>), Error> {
        let mut mailbox = Store::open(location, options)?.mailbox(&MailboxName::inbox())?;
        let all: Vec<Uid> = mailbox.snapshot().messages.iter().map(|message| message.uid).collect();
        let (mut uids, mut sizes) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for uid in all {
            match mailbox.size(uid) {
                Ok(size) => {
                    uids.push(uid);
                    sizes.push(size);
                }
                Err(Error::NoMessage) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((Self { mailbox, uids }, sizes))
    }

    fn uid(&self, seq: Seq) -> Result<Uid, Error> {
        self.uids.get(seq.index()).copied().ok_or(Error::NoMessage)
    }

    fn uidls(&mut self) -> Result<Answer, Error> {
        let uidls: Result<Vec<String>, Error> = self.uids.iter().map(|uid| self.mailbox.uidl(*uid)).collect();
        uidls.map(Answer::Uidls)
    }

    /// Removal counts; a flag that cannot be set is only a line in the log.
    fn commit(&mut self, delete: &[Seq], seen: &[Seq], name: &str) -> Result<Answer, Error> {
        let uids = |seqs: &[Seq]| seqs.iter().filter_map(|seq| self.uid(*seq).ok()).collect::<Vec<Uid>>();
        let (delete, seen) = (uids(delete), uids(seen));
        if !delete.is_empty() {
            self.mailbox.expunge(&delete)?;
        }
        let mut flags = Flags::default();
        flags.set(Flag::Seen);
        if !seen.is_empty()
            && let Err(error) = self.mailbox.set_flags(&seen, &FlagChange::Add(flags))
        {
            tracing::info!("{name}: messages not marked as seen: {error}");
        }
        Ok(Answer::Committed)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(lost()))
}

/// A blocking thread panicked (the log has it) and took the mailbox with it.
fn lost() -> Error {
    Error::Damaged("the mailbox is closed after an internal error".into())
}

const CHUNK: usize = 64 * 1024;
