//! One warm `mda` for each owner: started when there is work, given many tasks at a time, let go when idle.
//!
//! When a writer dies its open tasks are given to a new one, once; a task that has seen two writers die is deferred.
//! A writer is ended by closing its socket while it has nothing to do, so no task is ever lost in that moment.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use config::Config;
use daemon::Channel;
use handover::packet::{Packed, Reader, Writer};
use handover::{Body, Outcome, Reply, Task};
use mail::EnhancedStatus;
use nix::errno::Errno;
use sys::channel;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc};

use super::commits::{Commits, Underway};
use super::decide::Owner;
use super::serve::Asked;

/// The most tasks one writer has at a time.
const OPEN_TASKS: usize = 200;
/// The most writers at a time.
const MOST_WRITERS: usize = 200;
/// How long a writer may have nothing to do, and how long when others wait for its place.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_WHEN_FULL: Duration = Duration::from_millis(20);

/// A task for a writer, with whom to tell.
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) body: Body,
    pub(super) asked: Asked,
    pub(super) tries: u8,
    /// Until the writer has done its part.
    #[expect(dead_code, reason = "its end is what counts")]
    pub(super) underway: Underway,
}

/// The writers there are.
pub(super) struct Writers {
    program: PathBuf,
    config_dir: PathBuf,
    running: RefCell<HashMap<Owner, mpsc::UnboundedSender<Job>>>,
    places: Semaphore,
    waiting: Cell<usize>,
    commits: Rc<Commits>,
}

impl Writers {
    pub(super) fn new(config: &Config, commits: Rc<Commits>) -> Rc<Self> {
        Rc::new(Self {
            program: PathBuf::from(config.text("daemon_directory")).join("mda"),
            config_dir: config.dir().to_owned(),
            running: RefCell::default(),
            places: Semaphore::new(MOST_WRITERS),
            waiting: Cell::new(0),
            commits,
        })
    }

    /// Gives a task to the owner's writer.
    pub(super) fn submit(self: &Rc<Self>, owner: Owner, job: Job) {
        let mut running = self.running.borrow_mut();
        let job = match running.get(&owner) {
            Some(writer) => match writer.send(job) {
                Ok(()) => return,
                Err(back) => back.0,
            },
            None => job,
        };
        let (sender, jobs) = mpsc::unbounded_channel();
        let _ = sender.send(job);
        running.insert(owner.clone(), sender);
        tokio::task::spawn_local(Rc::clone(self).keep(owner, jobs));
    }

    /// Runs one writer to its end; what it left goes to the next.
    async fn keep(self: Rc<Self>, owner: Owner, mut jobs: mpsc::UnboundedReceiver<Job>) {
        self.waiting.set(self.waiting.get() + 1);
        let place = self.places.acquire().await;
        self.waiting.set(self.waiting.get() - 1);
        let mut open = HashMap::new();
        match self.start(&owner) {
            Ok((channel, mut child)) => {
                if let Err(error) = self.feed(&channel, &mut jobs, &mut open).await {
                    tracing::warn!("mda of {}: {error}", owner.name);
                }
                drop(channel);
                tokio::task::spawn_local(async move {
                    let _ = child.wait().await;
                });
            }
            Err(error) => {
                tracing::error!("cannot start {}: {error}", self.program.display());
                let text = "the mailbox writer cannot be started".to_owned();
                while let Ok(job) = jobs.try_recv() {
                    job.asked.finish(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), text.clone()));
                }
            }
        }
        drop(place);
        self.running.borrow_mut().remove(&owner);
        jobs.close();
        for job in open.into_values() {
            self.again(&owner, job);
        }
        while let Ok(job) = jobs.try_recv() {
            self.submit(owner.clone(), job);
        }
    }

    fn again(self: &Rc<Self>, owner: &Owner, mut job: Job) {
        job.tries += 1;
        if job.tries < 2 {
            self.submit(owner.clone(), job);
        } else {
            let text = "the mailbox writer ended unexpectedly".to_owned();
            job.asked.finish(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
        }
    }

    fn start(&self, owner: &Owner) -> io::Result<(Channel, Child)> {
        let (ours, theirs) = channel::pair()?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.config_dir).args(["--user", &owner.name, "--as", &owner.identity]);
        command.args(["--uid", &owner.uid.to_string(), "--gid", &owner.gid.to_string()]);
        command.arg("--home").arg(&owner.home).arg("--shell").arg(&owner.shell);
        if owner.mailbox_only {
            command.arg("--mailbox-only");
        }
        let child = command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn()?;
        Ok((Channel::new(ours)?, child))
    }

    /// Passes tasks in and replies out until the writer is idle, dies, or talks nonsense.
    async fn feed(
        &self,
        channel: &Channel,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
        open: &mut HashMap<u64, Job>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; channel::MAX_PACKET];
        let mut number = 0;
        let mut packet = Writer::default();
        // The task in `packet` that the writer has not taken yet. Replies are heard meanwhile: it may be waiting for that.
        let mut sending = None;
        loop {
            let idle = if self.waiting.get() > 0 { IDLE_WHEN_FULL } else { IDLE };
            tokio::select! {
                biased;
                sent = send(channel, &packet, sending.and_then(|number| open.get(&number))), if sending.is_some() => {
                    sent?;
                    sending = None;
                }
                received = channel.receive(&mut buffer) => match received? {
                    Some((octets, unsynced)) => self.take_replies((octets, unsynced), open)?,
                    None if open.is_empty() => return Ok(()),
                    None => return Err(io::Error::other("ended in the middle of its work")),
                },
                job = jobs.recv(), if sending.is_none() && open.len() < OPEN_TASKS => {
                    let Some(mut job) = job else { return Ok(()) };
                    number += 1;
                    job.task.number = number;
                    packet.clear();
                    job.task.write(&mut packet);
                    job.body.write(&mut packet);
                    open.insert(number, job);
                    sending = Some(number);
                }
                () = tokio::time::sleep(idle), if open.is_empty() => return Ok(()),
            }
        }
    }

    /// What came with a directory is told when that is committed; the writer has done its part.
    fn take_replies(
        &self,
        (octets, mut unsynced): (&[u8], Vec<OwnedFd>),
        open: &mut HashMap<u64, Job>,
    ) -> io::Result<()> {
        let dir = unsynced.pop();
        let mut named = Vec::new();
        let heard = hear(octets, open, dir.as_ref().map(|_| &mut named));
        // What was named is told also when the rest of the packet was nonsense: it is with the writer no more.
        if let Some(dir) = dir.filter(|_| !named.is_empty()) {
            self.commits.add(dir, Box::new(move |committed| tell(named, committed)));
        }
        heard
    }
}

/// Takes the replies of a packet; what was sent goes to `named`, if it is to wait for a commit.
fn hear(octets: &[u8], open: &mut HashMap<u64, Job>, mut named: Option<&mut Vec<(Asked, Outcome)>>) -> io::Result<()> {
    let mut reader = Reader::new(octets);
    while !reader.is_empty() {
        let Reply { number, outcome } = Reply::read(&mut reader).map_err(io::Error::other)?;
        let Entry::Occupied(mut job) = open.entry(number) else {
            return Err(io::Error::other("an answer nobody asked for"));
        };
        match &mut named {
            Some(named) if matches!(outcome, Outcome::Sent(..)) => named.push((job.remove().asked, outcome)),
            _ => {
                if job.get_mut().asked.heard(outcome) {
                    job.remove();
                }
            }
        }
    }
    Ok(())
}

/// The last word on what was named, now that it is durable; or it is not known to be.
fn tell(named: Vec<(Asked, Outcome)>, committed: &io::Result<()>) {
    for (asked, outcome) in named {
        asked.finish(match committed {
            Ok(()) => outcome,
            Err(error) => Outcome::Deferred(
                EnhancedStatus::new(4, 2, 0),
                format!("the mailbox cannot be synced: {}", plain(error)),
            ),
        });
    }
}

/// Without the number that the library adds.
fn plain(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

async fn send(channel: &Channel, packet: &Writer, job: Option<&Job>) -> io::Result<()> {
    match job {
        Some(job) => channel.send_unless_gone(packet.octets(), job.body.descriptor().as_slice()).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use handover::Order;
    use handover::task::What;
    use mail::{Address, QueueId};

    use super::super::commits::Commits;
    use super::*;

    fn job(number: u64, replies: &mpsc::UnboundedSender<Reply>) -> Job {
        let recipient = Address::parse("kevin@m3102.com").expect("an address");
        let id = QueueId::new(number, 1);
        let order = Order {
            number,
            id,
            arrival: 0,
            active: 0,
            sender: None,
            recipient: recipient.clone(),
            original: None,
            offset: 0,
            length: 1,
        };
        let task = Task {
            number,
            id,
            sender: None,
            original: recipient.clone(),
            recipient,
            extension: String::new(),
            offset: 0,
            length: 1,
            what: What::User,
        };
        let body = Body::Enclosed((*b"x").into());
        let asked = Asked::now(order, replies.clone());
        Job { task, body, asked, tries: 0, underway: Commits::new().underway() }
    }

    fn sent() -> Outcome {
        Outcome::Sent(EnhancedStatus::OK, "delivered to maildir".into())
    }

    /// qmgr would wait for it without end: it is with the writer no more, and nobody has told.
    #[test]
    fn what_was_named_is_not_lost_in_the_nonsense_that_follows() {
        let (replies, mut told) = mpsc::unbounded_channel();
        let mut open: HashMap<u64, Job> = (1..=2).map(|number| (number, job(number, &replies))).collect();
        let mut packet = Writer::default();
        Reply { number: 1, outcome: sent() }.write(&mut packet);
        packet.octet(7);
        let mut named = Vec::new();
        hear(packet.octets(), &mut open, Some(&mut named)).expect_err("nonsense");
        assert!(told.try_recv().is_err() && open.keys().eq([&2]));
        tell(named, &Err(io::Error::from_raw_os_error(5)));
        let Ok(Reply { number: 1, outcome: Outcome::Deferred(_, text) }) = told.try_recv() else { panic!("the first") };
        assert_eq!(text, "the mailbox cannot be synced: I/O error");
    }

    #[test]
    fn without_a_directory_what_was_sent_is_told_at_once() {
        let (replies, mut told) = mpsc::unbounded_channel();
        let mut open = HashMap::from([(1, job(1, &replies))]);
        let mut packet = Writer::default();
        Reply { number: 1, outcome: sent() }.write(&mut packet);
        hear(packet.octets(), &mut open, None).expect("heard");
        assert!(open.is_empty() && told.try_recv().is_ok_and(|reply| reply.outcome == sent()));
    }
}
