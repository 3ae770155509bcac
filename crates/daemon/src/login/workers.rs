//! The workers a keeper has running: one per user, started when needed, forgotten when they end.
//!
//! A worker that has had nothing to do for a while says so with the number of sessions it got. Only if that is all we
//! ever sent, and no admission waits for it, do we hang up, which ends it: no session can fall between.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{Shutdown, shutdown};
use privileges::descriptors;
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
    open: HashMap<u64, Place>,
}

/// An admission: a place and a worker that will not end before this is used or dropped.
pub(crate) struct Admission {
    user: String,
    place: Place,
    worker: Promise,
}

struct Promise(Arc<Worker>);

impl Program {
    /// Starts it with one end of a new channel; gives the other.
    pub(crate) fn start(&self, more: &[&str]) -> io::Result<(Child, Channel)> {
        let (ours, theirs) = descriptors::pair()?;
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
        let mut worker = worker;
        if !self.knows(&user, &worker.0) {
            worker = Promise::of(self.running(&user)?);
        }
        let number = worker.0.note(place);
        let message = ToWorker::Serve { number, session: Session { user, ..session } };
        let sent = worker.0.channel.send(message.encode().as_bytes(), &[connection.as_fd()]).await;
        if sent.is_err() {
            worker.0.sent().open.remove(&number);
        }
        sent
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
            workers.listen(&user, &listened).await;
            listened.hang_up();
            end(&workers.program.name, child).await;
        });
        Ok(worker)
    }

    /// Hears one worker out, until it ends or may end.
    async fn listen(&self, user: &str, worker: &Arc<Worker>) {
        let mut buffer = [0; 64];
        loop {
            let received = tokio::select! {
                () = self.stop.cancelled() => break,
                received = worker.channel.receive(&mut buffer) => received,
            };
            let Ok(Some((message, _))) = received else { break };
            match FromWorker::decode(message) {
                Ok(FromWorker::Ended { number }) => drop(worker.sent().open.remove(&number)),
                Ok(FromWorker::Idle { received }) if worker.may_go(received) => break,
                Ok(FromWorker::Idle { .. }) => {}
                Err(_) => {
                    tracing::error!("{} of {user}, pid {}, does not speak our language", self.program.name, worker.pid);
                    break;
                }
            }
        }
        let mut table = self.table();
        if table.get(user).is_some_and(|known| Arc::ptr_eq(known, worker)) {
            table.remove(user);
        }
    }

    fn knows(&self, user: &str, worker: &Arc<Worker>) -> bool {
        self.table().get(user).is_some_and(|known| Arc::ptr_eq(known, worker))
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Arc<Worker>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a session as sent; its number.
    fn note(&self, place: Place) -> u64 {
        let mut sent = self.sent();
        sent.count += 1;
        let number = sent.count;
        sent.open.insert(number, place);
        number
    }

    /// It sees the end of the channel, and its sessions count no more.
    fn hang_up(&self) {
        let _ = shutdown(self.channel.as_fd().as_raw_fd(), Shutdown::Both);
        self.sent().open.clear();
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
