//! The front: holds all connections until somebody has logged in, TLS included. Knows no mailbox and no password file.
//!
//! Limits before login: [`SILENCE`] without a line, [`DEADLINE`] in all, [`MOST_OCTETS`] octets of commands; when places run
//! out, the connection silent longest goes. A connection in clear is handed on whole; one under TLS stays here as a proxy.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use accounts::packet::wipe;
use sys::channel::MAX_PACKET;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Machine, Secret, Security};

use super::message::{Message, Outcome, ToFront, ToKeeper};
use super::visit::Visit;
use crate::channel::Channel;
use crate::limits::Sessions;
use crate::listen::{Accepted, Acceptor, adopt};
use crate::tls::Tls;

pub use super::connection::{Cleartext, Connection};

/// What a protocol brings for the time before login.
pub trait Protocol: Send + Sync + 'static {
    /// Its login machine. After [`Outcome::Admitted`] it sends nothing and detaches. What it logs is not logged but
    /// becomes the remark of the session's last line (`tried to use disallowed plaintext auth`).
    type Machine: Machine<Question: Send, Answer: Send> + Send;

    /// A fresh machine.
    fn machine(&self, connection: &Connection) -> Self::Machine;
    /// What a question asks. A login machine has no other wish than this.
    fn wish(question: <Self::Machine as Machine>::Question) -> LogIn;
    /// The answer in the machine's words.
    fn answer(outcome: Outcome) -> <Self::Machine as Machine>::Answer;
    /// What to say when there is no room for a connection, line end included.
    fn no_room(&self) -> &'static [u8];
}

/// A name and a password, on their way to the keeper.
#[derive(Debug)]
pub struct LogIn {
    /// As typed.
    pub name: String,
    /// As typed.
    pub password: Secret<Vec<u8>>,
    /// What the log calls it: `PLAIN` (also for USER/PASS and LOGIN).
    pub method: &'static str,
    /// The tag of the command; empty in POP3.
    pub tag: Vec<u8>,
}

/// What the operator set.
pub struct Settings {
    /// Whether a password in clear may come over this connection: address of the client, address of ours.
    pub cleartext: Box<dyn Fn(IpAddr, IpAddr) -> Cleartext + Send + Sync>,
    /// How many connections at most, TLS proxies included.
    pub most: usize,
}

pub(super) struct Front<P> {
    pub(super) protocol: P,
    pub(super) settings: Settings,
    channel: Channel,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Admission>>>,
    next: AtomicU64,
    tls: RwLock<Option<Tls>>,
    pub(super) stop: CancellationToken,
    retire: CancellationToken,
    sessions: Arc<Sessions>,
    visits: TaskTracker,
    /// Whoever lets somebody in.
    doors: TaskTracker,
}

/// The keeper's answer to a login.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) id: u64,
    pub(super) outcome: Outcome,
    pub(super) user: String,
    pub(super) pid: u64,
}

/// Serves until the keeper hangs up, `stop` is cancelled, or it was told to retire and the last connection is over.
///
/// # Errors
/// When the keeper does not speak our language.
pub async fn run<P: Protocol>(
    protocol: P,
    settings: Settings,
    channel: Channel,
    stop: CancellationToken,
) -> io::Result<()> {
    let front = Arc::new(Front {
        sessions: Sessions::new(settings.most, 0),
        protocol,
        settings,
        channel,
        waiting: Mutex::default(),
        next: AtomicU64::new(1),
        tls: RwLock::default(),
        stop: stop.clone(),
        retire: stop.child_token(),
        visits: TaskTracker::new(),
        doors: TaskTracker::new(),
    });
    let result = tokio::select! {
        result = front.listen_to_keeper() => result,
        () = front.finished() => Ok(()),
    };
    front.stop.cancel();
    front.waiting().clear();
    front.visits.close();
    front.visits.wait().await;
    result
}

impl<P: Protocol> Front<P> {
    async fn listen_to_keeper(self: &Arc<Self>) -> io::Result<()> {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let Some((message, descriptors)) = self.channel.receive(&mut buffer).await? else { return Ok(()) };
            let (decoded, length) = (ToFront::decode(message), message.len());
            wipe(&mut buffer[..length]);
            let message = decoded.map_err(|_| io::Error::other("the keeper does not speak our language"))?;
            self.obey(message, descriptors)?;
        }
    }

    fn obey(self: &Arc<Self>, message: ToFront, mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
        match message {
            ToFront::Certificate { chain, key } => self.use_certificate(&chain, key.expose()),
            ToFront::Listen(security) => {
                let listener = descriptors.pop().ok_or_else(|| io::Error::other("a listener without its socket"))?;
                self.doors.spawn(self.clone().accept(adopt(listener)?, security));
            }
            ToFront::Admission { id, outcome, user, pid } => {
                if let Some(waiting) = self.waiting().remove(&id) {
                    let _ = waiting.send(Admission { id, outcome, user, pid });
                }
            }
            ToFront::Retire => self.retire.cancel(),
        }
        Ok(())
    }

    fn use_certificate(&self, chain: &[u8], key: &[u8]) {
        let mut tls = self.tls.write().unwrap_or_else(PoisonError::into_inner);
        let result = match tls.as_ref() {
            Some(tls) => tls.replace(chain, key),
            None => Tls::from_pem(chain, key).map(|new| *tls = Some(new)),
        };
        if let Err(error) = result {
            tracing::error!("{error}");
        }
    }

    async fn accept(self: Arc<Self>, mut listener: Acceptor, security: Security) {
        loop {
            let accepted = tokio::select! {
                () = self.retire.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(Accepted::Client(stream, peer)) => match self.sessions.enter(peer.ip()) {
                    Ok(pass) => drop(self.visits.spawn(Visit::new(self.clone(), pass, peer).run(stream, security))),
                    Err(_full) => refuse(&stream, self.protocol.no_room(), security),
                },
                Ok(Accepted::LastDescriptor(stream)) => refuse(&stream, self.protocol.no_room(), security),
                Err(error) => return tracing::error!("cannot accept connections: {error}"),
            }
        }
    }

    /// Retired, and nobody is left.
    async fn finished(&self) {
        self.retire.cancelled().await;
        self.doors.close();
        self.doors.wait().await;
        // A keeper that is gone we hear of as the end of the channel.
        let _ = self.channel.send(ToKeeper::Retired.encode().as_bytes(), &[]).await;
        self.visits.close();
        self.visits.wait().await;
    }

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the keeper. Without a keeper the answer is [`Outcome::Unavailable`].
    pub(super) fn ask(self: &Arc<Self>, wish: LogIn, rip: IpAddr) -> impl Future<Output = Admission> + Send + use<P> {
        let front = self.clone();
        async move {
            let id = front.next.fetch_add(1, Ordering::Relaxed);
            let (answer, answered) = oneshot::channel();
            front.waiting().insert(id, answer);
            let question = ToKeeper::LogIn { id, name: wish.name, password: wish.password, rip };
            let unavailable = Admission { id, outcome: Outcome::Unavailable, user: String::new(), pid: 0 };
            if front.tell(&question, &[]).await.is_err() || front.stop.is_cancelled() {
                front.waiting().remove(&id);
                return unavailable;
            }
            answered.await.unwrap_or(unavailable)
        }
    }

    pub(super) async fn tell(&self, message: &ToKeeper, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.channel.send(message.encode().as_bytes(), descriptors).await
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Admission>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says why, if that takes no time, and closes.
fn refuse(stream: &tokio::net::TcpStream, words: &[u8], security: Security) {
    if security == Security::Clear {
        let _ = stream.try_write(words);
    }
}

/// How long a client may be silent before login.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// How long it may take to log in.
pub(super) const DEADLINE: Duration = Duration::from_secs(180);
/// How much it may say before login.
pub(super) const MOST_OCTETS: usize = 8192;
