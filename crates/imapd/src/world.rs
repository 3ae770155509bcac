//! Answers a session's questions from the store; disk work is done on the blocking pool.

use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use daemon::pump::World;
use imap::command::Change;
use imap::question::{Access, Changes, Look, Need, NewMessage, Trouble};
use imap::{Answer, Question};
use mail::date::Moment;
use mail::{Flag, Flags, Uid};
use mailstore::{Error, FlagChange, Mailbox, Reading};

use crate::follower::Follower;
use crate::lookup;
use crate::mailboxes::{Mailboxes, special_use};
use crate::reading;
use crate::shared::Shared;
use crate::trouble::trouble;

/// The world of one session.
pub(crate) struct ImapWorld {
    mailboxes: Arc<Mailboxes>,
    open: Option<Open>,
    /// The large message read last, ready to be gone on with.
    reading: Option<(Uid, Reading)>,
    incoming: Option<Incoming>,
}

/// The mailbox a session has open.
#[derive(Clone)]
struct Open {
    shared: Arc<Shared>,
    follower: Arc<Follower>,
}

/// A message of an APPEND, as far as it came. Dropped, it leaves nothing.
struct Incoming {
    message: NewMessage,
    stored: mailstore::Incoming,
    /// What is not written yet: a small message costs one errand to the disk.
    held: Vec<u8>,
}

/// So much is held.
const HELD: usize = 128 * 1024;

impl ImapWorld {
    pub(crate) const fn new(mailboxes: Arc<Mailboxes>) -> Self {
        Self { mailboxes, open: None, reading: None, incoming: None }
    }

    async fn open(&mut self, name: String, access: Access) -> Answer {
        self.open = None;
        let mailboxes = self.mailboxes.clone();
        let opened = blocking(move || {
            let shared = mailboxes.get_watched(&name)?;
            let (follower, opened) = shared.follow(access)?;
            Ok((Open { shared, follower }, opened))
        });
        match opened.await {
            Ok((open, opened)) => {
                self.open = Some(open);
                Answer::Opened(opened)
            }
            Err(refused) => refused,
        }
    }

    async fn sync(&self, look: Look) -> Answer {
        let Some(open) = &self.open else { return Answer::Changes(Changes::default()) };
        if look == Look::Disk {
            let shared = open.shared.clone();
            // A mailbox that is gone is told as lost; another failure will be met again by what needs the mailbox.
            let _ = blocking(move || shared.refresh()).await;
        }
        Answer::Changes(open.follower.take())
    }

    /// Something with the open mailbox.
    async fn with_open(&self, action: impl FnOnce(&Arc<Shared>) -> Result<Answer, Error> + Send + 'static) -> Answer {
        let Some(open) = &self.open else { return Answer::Refused(Trouble::Internal) };
        if open.follower.is_lost() {
            return Answer::Refused(Trouble::NoMailbox);
        }
        let shared = open.shared.clone();
        blocking(move || action(&shared)).await.unwrap_or_else(|refused| refused)
    }

    /// Something with all mailboxes.
    async fn with_all(&self, action: impl FnOnce(&Mailboxes) -> Result<Answer, Error> + Send + 'static) -> Answer {
        let mailboxes = self.mailboxes.clone();
        blocking(move || action(&mailboxes)).await.unwrap_or_else(|refused| refused)
    }

    async fn folder_question(&mut self, question: Question) -> Answer {
        match question {
            Question::Folders => self.with_all(|all| all.folders().map(Answer::Folders)).await,
            Question::Status(name) => self.with_all(move |all| all.status(&name).map(Answer::Status)).await,
            Question::Create(name, uses) if !uses.iter().all(|wanted| special_use(&name) == Some(*wanted)) => {
                Answer::Refused(Trouble::NoSuchUse)
            }
            Question::Create(name, _) => self.with_all(move |all| all.create(&name).map(done)).await,
            Question::Delete(name) => self.with_all(move |all| all.delete(&name).map(done)).await,
            Question::Rename(from, to) => self.with_all(move |all| all.rename(&from, &to).map(done)).await,
            Question::Subscribe(name) => self.with_all(move |all| all.subscribe(&name).map(done)).await,
            Question::Unsubscribe(name) => self.with_all(move |all| all.unsubscribe(&name).map(done)).await,
            other => self.message_question(other).await,
        }
    }

    async fn message_question(&mut self, question: Question) -> Answer {
        match question {
            Question::Read(uids, need) => self.read(uids, need).await,
            Question::Octets(uid, range) => self.octets(uid, range).await,
            Question::Store(uids, change, flags) => {
                self.with_open(move |shared| store(shared, &uids, &flag_change(change, flags))).await
            }
            Question::Expunge(uids) => {
                self.with_open(move |shared| shared.change(|mailbox| expunge(mailbox, &uids)).map(Answer::Expunged))
                    .await
            }
            Question::Search(uids, test) => {
                self.with_open(move |shared| lookup::search(shared, uids, test).map(Answer::Found)).await
            }
            Question::Copy(uids, to) => {
                let all = self.mailboxes.clone();
                self.with_open(move |from| transfer(from, &all.get(&to)?, &uids, Transfer::Copy)).await
            }
            Question::Move(uids, to) => {
                let all = self.mailboxes.clone();
                self.with_open(move |from| transfer(from, &all.get(&to)?, &uids, Transfer::Move)).await
            }
            other => self.append_question(other).await,
        }
    }

    async fn read(&mut self, uids: Vec<Uid>, need: Need) -> Answer {
        self.reading = None;
        let Some(open) = &self.open else { return Answer::Refused(Trouble::Internal) };
        if open.follower.is_lost() {
            return Answer::Refused(Trouble::NoMailbox);
        }
        let shared = open.shared.clone();
        match blocking(move || reading::read(&shared, &uids, need)).await {
            Ok((messages, reading)) => {
                self.reading = reading;
                Answer::Messages(messages)
            }
            Err(refused) => refused,
        }
    }

    async fn octets(&mut self, uid: Uid, range: Range<u64>) -> Answer {
        let (Some(open), reading) = (&self.open, self.reading.take()) else {
            return Answer::Refused(Trouble::Internal);
        };
        let shared = open.shared.clone();
        match blocking(move || reading::go_on(&shared, (uid, reading), range)).await {
            Ok((reading, octets)) => {
                self.reading = Some((uid, reading));
                Answer::Octets(octets)
            }
            Err(refused) => refused,
        }
    }

    async fn append_question(&mut self, question: Question) -> Answer {
        match question {
            Question::AppendBegin(message) => self.append_begin(message).await,
            Question::AppendChunk(octets) => self.append_chunk(&octets).await,
            Question::AppendCommit => match self.incoming.take() {
                Some(incoming) => self.with_all(move |all| append(all, incoming.written()?)).await,
                None => Answer::Refused(Trouble::Internal),
            },
            // Only AppendCancel is left.
            _ => {
                self.incoming = None;
                Answer::Done
            }
        }
    }

    /// A client that waits is told before it sends for nothing.
    async fn append_begin(&mut self, message: NewMessage) -> Answer {
        self.incoming = None;
        let (all, name) = (self.mailboxes.clone(), message.mailbox.clone());
        match blocking(move || all.get(&name)?.lock().mailbox.begin_append()).await {
            Ok(stored) => {
                self.incoming = Some(Incoming { message, stored, held: Vec::new() });
                Answer::Done
            }
            Err(refused) => refused,
        }
    }

    async fn append_chunk(&mut self, octets: &[u8]) -> Answer {
        let Some(mut incoming) = self.incoming.take() else { return Answer::Refused(Trouble::Internal) };
        incoming.held.extend_from_slice(octets);
        let written = if incoming.held.len() < HELD { Ok(incoming) } else { blocking(|| incoming.written()).await };
        match written {
            Ok(incoming) => {
                self.incoming = Some(incoming);
                Answer::Done
            }
            Err(refused) => refused,
        }
    }
}

impl Incoming {
    fn written(mut self) -> Result<Self, Error> {
        self.stored.write(&self.held)?;
        self.held.clear();
        Ok(self)
    }
}

impl World for ImapWorld {
    type Question = Question;
    type Answer = Answer;

    async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Open(name, access) => self.open(name, access).await,
            Question::Close => {
                self.open = None;
                Answer::Done
            }
            Question::Sync(look) => self.sync(look).await,
            other => self.folder_question(other).await,
        }
    }

    async fn notice(&mut self) {
        match &self.open {
            Some(open) => open.follower.news().await,
            None => std::future::pending().await,
        }
    }
}

/// Runs disk work where it stops nobody else.
async fn blocking<T: Send + 'static>(action: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Answer> {
    match tokio::task::spawn_blocking(action).await {
        Ok(result) => result.map_err(|error| Answer::Refused(trouble(&error))),
        // It panicked, which the log has; the session goes on.
        Err(_) => Err(Answer::Refused(Trouble::Internal)),
    }
}

const fn done((): ()) -> Answer {
    Answer::Done
}

fn store(shared: &Shared, uids: &[Uid], change: &FlagChange) -> Result<Answer, Error> {
    shared.change(|mailbox| mailbox.set_flags(uids, change).map(|_| ()))?;
    let state = shared.lock();
    let flags = |uid: &Uid| state.mailbox.flags(*uid).map(|flags| (*uid, flags.clone()));
    Ok(Answer::Stored(uids.iter().filter_map(flags).collect()))
}

/// Only what is marked as deleted now: the session may not have heard yet that another one took the mark away.
fn expunge(mailbox: &mut Mailbox, uids: &[Uid]) -> Result<Vec<Uid>, Error> {
    if mailbox.refresh()?.renumbered {
        return Err(Error::NoMessage);
    }
    let is_marked = |uid: &&Uid| mailbox.flags(**uid).is_some_and(|flags| flags.has(Flag::Deleted));
    let marked: Vec<Uid> = uids.iter().filter(is_marked).copied().collect();
    mailbox.expunge(&marked)
}

fn flag_change(change: Change, flags: Flags) -> FlagChange {
    match change {
        Change::Add => FlagChange::Add(flags),
        Change::Remove => FlagChange::Remove(flags),
        Change::Replace => FlagChange::Replace(flags),
    }
}

#[derive(Clone, Copy)]
enum Transfer {
    Copy,
    Move,
}

fn transfer(from: &Arc<Shared>, to: &Arc<Shared>, uids: &[Uid], how: Transfer) -> Result<Answer, Error> {
    let pairs = if Arc::ptr_eq(from, to) {
        from.change(|mailbox| {
            let pairs = mailbox.copy_here(uids)?;
            if let Transfer::Move = how {
                mailbox.expunge(uids)?;
            }
            Ok(pairs)
        })?
    } else {
        Shared::change_both(from, to, |from, to| match how {
            Transfer::Copy => from.copy(uids, to),
            Transfer::Move => from.mv(uids, to),
        })?
    };
    let validity = to.lock().mailbox.snapshot().uid_validity;
    Ok(Answer::Copied(validity, pairs))
}

fn append(all: &Mailboxes, incoming: Incoming) -> Result<Answer, Error> {
    let Incoming { message, stored, .. } = incoming;
    let shared = all.get(&message.mailbox)?;
    let date = message.date.unwrap_or_else(now);
    let uid = shared.change(|mailbox| mailbox.store(stored, &message.flags, date))?;
    let validity = shared.lock().mailbox.snapshot().uid_validity;
    Ok(Answer::Appended(validity, uid))
}

fn now() -> Moment {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Moment::utc(i64::try_from(seconds).unwrap_or_default())
}
