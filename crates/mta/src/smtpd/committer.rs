//! Makes messages safe: in their mailboxes, if that is soon done ([`super::prompt`]), or in the queue, many at a time: those
//! that come while the disk syncs form the next batch.
//!
//! One thread touches the disk, so that no session holds one while it waits for it. Nobody waits for a timer but he whose
//! mailbox is slow.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use mail::QueueId;
use spool::Incoming;
use tokio::sync::oneshot;

use super::prompt::{PATIENCE, Prompt};

/// The way to the thread, which ends with the last clone.
#[derive(Clone)]
pub(super) struct Committer {
    commits: mpsc::Sender<Job>,
    pub(super) prompt: Arc<Prompt>,
}

/// A message, and who waits for its being safe.
pub(super) struct Job {
    pub(super) message: Incoming,
    pub(super) done: oneshot::Sender<io::Result<Safe>>,
}

/// Where a message is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    /// In `incoming`; qmgr is to be told.
    Queued(QueueId),
    /// In its mailboxes.
    Delivered,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more of them.
    pub(super) fn start() -> io::Result<Self> {
        let (commits, to_commit) = mpsc::channel();
        let prompt = Arc::new(Prompt::default());
        thread::Builder::new().name("committer".into()).spawn(move || run(&to_commit))?;
        Ok(Self { commits, prompt })
    }

    /// Returns when the message is durable.
    ///
    /// # Errors
    /// The disk's: the message is lost and the client must come back.
    pub(super) async fn commit(&self, message: Incoming) -> io::Result<Safe> {
        let gone = || io::Error::other("the committer is gone");
        let id = message.id();
        let (done, mut outcome) = oneshot::channel();
        let job = Job { message, done };
        match self.offer(job) {
            Some(job) => self.commits.send(job).map_err(|_| gone())?,
            None => {
                if let Ok(outcome) = tokio::time::timeout(PATIENCE, &mut outcome).await {
                    return outcome.map_err(|_| gone())?;
                }
                self.prompt.take_back(id).into_iter().for_each(|job| self.queue(job));
            }
        }
        outcome.await.map_err(|_| gone())?
    }

    /// A small message goes to qmgr at once, if it listens; others come back.
    fn offer(&self, job: Job) -> Option<Job> {
        if job.message.is_small() && self.prompt.is_open() { self.prompt.offer(job) } else { Some(job) }
    }

    /// This one is to be put in the queue. Its asker hears of a thread that is gone.
    pub(super) fn queue(&self, job: Job) {
        let _ = self.commits.send(job);
    }
}

fn run(waiting: &mpsc::Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let (mut messages, mut askers) = (vec![first.message], vec![first.done]);
        for job in waiting.try_iter().take(MOST - 1) {
            messages.push(job.message);
            askers.push(job.done);
        }
        let outcomes = Incoming::commit_all(messages).into_iter().map(|outcome| outcome.map(Safe::Queued));
        askers.into_iter().zip(outcomes).for_each(|(asker, outcome)| drop(asker.send(outcome)));
    }
}

/// Messages in one batch.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use durable::Dir;
    use mail::{Address, Envelope, Recipient};
    use spool::{Origin, Queue, Spool};

    #[tokio::test]
    async fn what_comes_together_is_all_there() {
        let dir = tempfile::tempdir().expect("dir");
        let spool = Spool::create(&Dir::open(dir.path()).expect("open")).expect("spool");
        let committer = Committer::start().expect("thread");
        let recipients = vec![Recipient::new(Address::parse("kevin").expect("address"))];
        let envelope = Envelope { recipients, ..Envelope::default() };
        let mut tasks = Vec::new();
        for number in 0..40_u32 {
            let mut message = spool.enter(&envelope, &Origin::Internal);
            message.write(format!("Subject: {number}\n\n").as_bytes()).expect("write");
            let committer = committer.clone();
            tasks.push(tokio::spawn(async move { committer.commit(message).await }));
        }
        let mut ids = Vec::new();
        for task in tasks {
            match task.await.expect("task").expect("commit") {
                Safe::Queued(id) => ids.push(id),
                Safe::Delivered => panic!("nobody delivers here"),
            }
        }
        ids.sort_unstable();
        assert_eq!(spool.scan(Queue::Incoming).expect("scan"), ids);
        for id in ids {
            spool.read(Queue::Incoming, id).expect("file").verify().expect("whole");
        }
    }

    /// A batch is promised as a whole, after the last sync; what was not promised is whole, absent or a stale part.
    #[test]
    fn a_power_cut_loses_no_promised_batch() {
        for size in [2, 5] {
            let steps = durable::forgetful::at_every_step_and_sync(
                12,
                |root| drop(Spool::create(root).expect("spool")),
                |root| {
                    let spool = Spool::open(root).expect("spool");
                    let messages = (0..size).map(|_| {
                        let mut message = spool.enter(&Envelope::default(), &Origin::Internal);
                        message.write(b"Subject: x\n\nx\n").map(|()| message)
                    });
                    let messages: io::Result<Vec<_>> = messages.collect();
                    messages
                        .map_or_else(|_| Vec::new(), Incoming::commit_all)
                        .into_iter()
                        .filter_map(Result::ok)
                        .collect()
                },
                |cut, promised: &Vec<QueueId>, root| {
                    let spool = Spool::open(root).expect("spool");
                    spool.clean(std::time::Duration::ZERO).expect("clean");
                    let found = spool.scan(Queue::Incoming).expect("scan");
                    for id in &found {
                        spool.read(Queue::Incoming, *id).expect("file").verify().expect("whole");
                    }
                    assert!(promised.iter().all(|id| found.contains(id)), "{cut:?}");
                },
            );
            assert!(steps >= 5);
        }
    }

    #[tokio::test]
    async fn a_name_that_is_taken_fails_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let spool = Spool::create(&Dir::open(dir.path()).expect("open")).expect("spool");
        let (taken, free) = (spool.new_id(), spool.new_id());
        std::fs::write(dir.path().join("incoming").join(taken.name()), "in the way").expect("write");
        let enter = |id| spool.enter_as(id, &Envelope::default(), &Origin::Internal);
        let outcomes = Incoming::commit_all(vec![enter(taken), enter(free)]);
        assert!(outcomes[0].is_err() && outcomes[1].as_ref().is_ok_and(|id| *id == free));
        assert_eq!(std::fs::read_dir(dir.path().join("incoming")).expect("list").count(), 2);
    }
}
