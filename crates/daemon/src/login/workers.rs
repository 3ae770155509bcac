//! The workers a keeper has running: one per user, started when needed, forgotten when they end.
//!
//! A worker that has had nothing to do for a while says so with the number of sessions it got. Only if that is all we
//! ever sent, and no admission waits for it, do we hang up, which ends it: no session can fall between. Nor does one
//! when a worker dies: until it has said that a session is its own, the connection is kept here too and goes to the next.
//! After a reload new sessions go to new workers; the old ones keep theirs, and end with the last.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{Shutdown, shutdown};
use sys::channel;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::keeper::end;
use super::message::{FromWorker, Message, Session, ToWorker};
use super::places::Place;
use crate::channel::Channel;

/// How a program of ours is started; it gets a SEQPACKET socket as standard input.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name in the log.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it is told.
    pub arguments: Vec<OsString>,
}

/// All workers.
pub(crate) struct Workers {
    program: Program,
    table: Mutex<HashMap<String, Arc<Worker>>>,
    stop: CancellationToken,
    children: TaskTracker,
}

/// One of them.
pub(crate) struct Worker {
    pub(crate) pid: u32,
    channel: Channel,
    promised: AtomicUsize,
    sessions: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    count: u64,
    /// Not over yet, by number; those the worker has not taken yet with all that another one needs.
    open: HashMap<u64, Visit>,
    /// It gets no more.
    closed: bool,
    /// It began before the last reload: it may go once it has nothing to do.
    retired: bool,
}

/// A session with a worker, or on its way to one.
struct Visit {
    /// Held until it is over.
    place: Place,
    /// Until the worker has it.
    untaken: Option<Arc<Untaken>>,
}

struct Untaken {
    session: Session,
    connection: OwnedFd,
    tries: AtomicU32,
}

/// An admission: a place and a worker that will not end before this is used or dropped.
pub(crate) struct Admission {
    user: String,
    place: Place,
    worker: Promise,
}

struct Promise(Arc<Worker>);

/// How many more workers a session may be given that nobody has taken.
const TRIES: u32 = 3;

impl Program {
    /// Starts it with one end of a new channel; gives the other.
    pub(crate) fn start(&self, more: &[&str]) -> io::Result<(Child, Channel)> {
        let (ours, theirs) = channel::pair()?;
        let channel = Channel::new(ours)?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .args(more)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok((child, channel))
    }
}

impl Workers {
    pub(crate) fn new(program: Program, stop: CancellationToken, children: TaskTracker) -> Arc<Self> {
        Arc::new(Self { program, table: Mutex::default(), stop, children })
    }

    /// A worker of `user` and a place there.
    pub(crate) fn admit(self: &Arc<Self>, user: &str, place: Place) -> io::Result<Admission> {
        let worker = Promise::of(self.running(user)?);
        Ok(Admission { user: user.to_owned(), place, worker })
    }

    /// Passes the connection on. If the worker died since the admission, another one is started.
    pub(crate) async fn hand_over(
        self: &Arc<Self>,
        admission: Admission,
        session: Session,
        connection: OwnedFd,
    ) -> io::Result<()> {
        let Admission { user, place, worker } = admission;
        let session = Session { user, ..session };
        self.pass(Some(worker), place, Arc::new(Untaken { session, connection, tries: AtomicU32::new(0) })).await
    }

    /// The settings are others now: who is running is given no new sessions but those already promised.
    pub(crate) fn retire(&self) {
        let retired: Vec<Arc<Worker>> = self.table().drain().map(|(_, worker)| worker).collect();
        for worker in retired {
            worker.sent().retired = true;
            if worker.is_done() {
                // It sees the end of the channel and ends, and we hear of that.
                let _ = shutdown(worker.channel.as_fd().as_raw_fd(), Shutdown::Both);
            }
        }
    }

    /// To this worker or, if it is no more, to the one that is.
    async fn pass(self: &Arc<Self>, worker: Option<Promise>, mut place: Place, visit: Arc<Untaken>) -> io::Result<()> {
        let mut worker = worker.map_or_else(|| self.running(&visit.session.user).map(Promise::of), Ok)?;
        let number = loop {
            match worker.0.note(place, &visit) {
                Ok(number) => break number,
                Err(given_back) => place = given_back,
            }
            worker = Promise::of(self.running(&visit.session.user)?);
        };
        let message = ToWorker::Serve { number, session: visit.session.clone() };
        // Whoever hears the worker out learns of its death too, and passes on what it left.
        let _ = worker.0.channel.send(message.encode().as_bytes(), &[visit.connection.as_fd()]).await;
        Ok(())
    }

    /// A worker died with sessions on their way to it: the next one gets them.
    async fn pass_on(self: &Arc<Self>, left: Vec<(Place, Arc<Untaken>)>) {
        for (place, visit) in left {
            let user = visit.session.user.clone();
            let result = if visit.tries.fetch_add(1, Ordering::Relaxed) < TRIES {
                self.pass(None, place, visit).await
            } else {
                Err(io::Error::other("each one started died at once"))
            };
            if let Err(error) = result {
                tracing::error!("cannot hand a session to {} of {user}: {error}", self.program.name);
            }
        }
    }

    fn running(self: &Arc<Self>, user: &str) -> io::Result<Arc<Worker>> {
        if let Some(worker) = self.table().get(user) {
            return Ok(worker.clone());
        }
        let (child, channel) = self.program.start(&["--user", user])?;
        let pid = child.id().unwrap_or_default();
        let worker = Arc::new(Worker { pid, channel, promised: AtomicUsize::new(0), sessions: Mutex::default() });
        self.table().insert(user.to_owned(), worker.clone());
        let (workers, listened, user) = (self.clone(), worker.clone(), user.to_owned());
        self.children.spawn(async move {
            let died = workers.listen(&user, &listened).await;
            let left = listened.hang_up();
            if died {
                workers.pass_on(left).await;
            }
            end(&workers.program.name, child).await;
        });
        Ok(worker)
    }

    /// Hears one worker out, until it ends or may end. Says whether it ended by itself.
    async fn listen(&self, user: &str, worker: &Arc<Worker>) -> bool {
        let mut buffer = [0; 64];
        let died = loop {
            let received = tokio::select! {
                () = self.stop.cancelled() => break false,
                received = worker.channel.receive(&mut buffer) => received,
            };
            let Ok(Some((message, _))) = received else { break true };
            match FromWorker::decode(message) {
                Ok(FromWorker::Taken { number }) => worker.taken(number),
                Ok(FromWorker::Ended { number }) => {
                    drop(worker.sent().open.remove(&number));
                    if worker.is_done() {
                        break false;
                    }
                }
                Ok(FromWorker::Idle { received }) if worker.may_go(received) => break false,
                Ok(FromWorker::Idle { .. }) => {}
                Err(_) => {
                    tracing::error!("{} of {user}, pid {}, does not speak our language", self.program.name, worker.pid);
                    break false;
                }
            }
        };
        let mut table = self.table();
        if table.get(user).is_some_and(|known| Arc::ptr_eq(known, worker)) {
            table.remove(user);
        }
        died
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<Worker>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a session as sent; its number. The place comes back from one that is no more.
    fn note(&self, place: Place, visit: &Arc<Untaken>) -> Result<u64, Place> {
        let mut sent = self.sent();
        if sent.closed {
            return Err(place);
        }
        sent.count += 1;
        let number = sent.count;
        sent.open.insert(number, Visit { place, untaken: Some(visit.clone()) });
        Ok(number)
    }

    fn taken(&self, number: u64) {
        if let Some(visit) = self.sent().open.get_mut(&number) {
            visit.untaken = None;
        }
    }

    /// It sees the end of the channel, and its sessions count no more. What it had not taken comes back.
    fn hang_up(&self) -> Vec<(Place, Arc<Untaken>)> {
        let _ = shutdown(self.channel.as_fd().as_raw_fd(), Shutdown::Both);
        let mut sent = self.sent();
        sent.closed = true;
        let open = std::mem::take(&mut sent.open);
        open.into_values().filter_map(|visit| visit.untaken.map(|untaken| (visit.place, untaken))).collect()
    }

    /// Retired, and nobody is there or promised.
    fn is_done(&self) -> bool {
        let sent = self.sent();
        sent.retired && sent.open.is_empty() && self.promised.load(Ordering::Relaxed) == 0
    }

    fn may_go(&self, received: u64) -> bool {
        let sent = self.sent();
        sent.count == received && sent.open.is_empty() && self.promised.load(Ordering::Relaxed) == 0
    }
}

impl Admission {
    pub(crate) fn pid(&self) -> u32 {
        self.worker.0.pid
    }
    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

impl Promise {
    fn of(worker: Arc<Worker>) -> Self {
        worker.promised.fetch_add(1, Ordering::Relaxed);
        Self(worker)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.promised.fetch_sub(1, Ordering::Relaxed);
    }
}
