//! The keeper: the one process of a reader's service that may be root. It binds ports, checks passwords, starts the
//! front and one worker per user, and passes connections from the one to the other without reading them.
//!
//! The front is started again when it dies; sessions in clear live on without it. At reload a new front takes over the
//! ports and the old one ends with its last session. When the keeper ends, front and workers end politely.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use accounts::packet::wipe;
use nix::sys::socket::{Shutdown, shutdown};
use sys::channel::MAX_PACKET;
use tokio::process::Child;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Secret, Security};

use super::certificate::Certificates;
use super::message::{Message, Outcome, Session, ToFront, ToKeeper};
use super::passwords::{Checked, Passwords};
use super::places::Places;
use super::workers::{Admission, Workers};
use crate::channel::Channel;
use crate::settled;
use crate::shutdown::Signals;
use crate::tls::Files;

pub use super::passwords::Policy;
pub use super::workers::Program;

/// What a keeper is told.
#[derive(Debug)]
pub struct Settings {
    /// The ports, bound ([`crate::listen::bind_each`]); `Tls` where TLS starts with the first octet.
    pub listeners: Vec<(TcpListener, Security)>,
    /// Certificate and key for the front, which may not read them itself.
    pub certificate: Option<Files>,
    /// For instance `pop3-login`.
    pub front: Program,
    /// For instance `pop3`; told `--user NAME` in the end.
    pub worker: Program,
    /// `data_directory`, and under which name to note there that a reload is over ([`settled`]).
    pub notes: (PathBuf, &'static str),
}

/// What a reload brings: the policy, and certificate and key.
pub type Renewed = (Policy, Option<Files>);

struct Keeper {
    settings: Settings,
    passwords: Passwords,
    certificates: Certificates,
    places: Arc<Places>,
    workers: Arc<Workers>,
    stop: CancellationToken,
}

/// A front and what it has been promised.
struct Front {
    channel: Channel,
    admissions: Mutex<HashMap<u64, Admission>>,
    /// It lets nobody in any more.
    retired: CancellationToken,
    over: CancellationToken,
}

/// A password to be checked.
struct Asked {
    name: String,
    password: Secret<Vec<u8>>,
    rip: IpAddr,
}

/// Runs until told to stop. `reload` is called at SIGHUP; `None` keeps what is there. Belongs on a current-thread runtime
/// (children end with the thread that started them).
pub async fn run(settings: Settings, policy: Policy, signals: &Signals, mut reload: impl FnMut() -> Option<Renewed>) {
    let children = TaskTracker::new();
    let stop = signals.stop.clone();
    let keeper = Arc::new(Keeper {
        workers: Workers::new(settings.worker.clone(), stop.clone(), children.clone()),
        passwords: Passwords::new(policy),
        certificates: Certificates::new(settings.certificate.clone()),
        places: Arc::default(),
        settings,
        stop: stop.clone(),
    });
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let since = Instant::now();
        match keeper.start_front(&children) {
            Ok(front) => tokio::select! {
                () = front.over.cancelled() => {}
                () = stop.cancelled() => break,
                () = signals.reload() => {
                    let since = SystemTime::now();
                    match reload() {
                        Some(renewed) => keeper.renew(renewed, &front, since).await,
                        None => front.retire().await,
                    }
                    continue;
                }
            },
            Err(error) => tracing::error!("cannot start {}: {error}", keeper.settings.front.path.display()),
        }
        if since.elapsed() > LIVED_WELL {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(MAX_PACKET_PAUSE),
            () = stop.cancelled() => {}
        }
    }
    children.close();
    let _ = timeout(GRACE, children.wait()).await;
}

impl Keeper {
    /// What was read after `since` holds for whoever comes from now on.
    async fn renew(&self, (policy, certificate): Renewed, front: &Front, since: SystemTime) {
        self.passwords.replace(policy);
        self.certificates.replace(certificate);
        self.workers.retire();
        front.retire().await;
        let (directory, name) = &self.settings.notes;
        settled::note(directory, name, since);
    }

    /// Starts a front and a task that converses with it.
    fn start_front(self: &Arc<Self>, children: &TaskTracker) -> io::Result<Arc<Front>> {
        let (child, channel) = self.settings.front.start(&[])?;
        let (retired, over) = (CancellationToken::new(), CancellationToken::new());
        let front = Arc::new(Front { channel, admissions: Mutex::default(), retired, over });
        let (keeper, heard) = (self.clone(), front.clone());
        children.spawn(async move {
            if let Err(error) = keeper.converse(&heard).await {
                tracing::error!("{}: {error}", keeper.settings.front.name);
            }
            heard.hang_up();
            end(&keeper.settings.front.name, child).await;
        });
        Ok(front)
    }

    /// Until the front ends, or the keeper does.
    async fn converse(self: &Arc<Self>, front: &Arc<Front>) -> io::Result<()> {
        let mut sent = 0;
        front.renew(&self.certificates, &mut sent).await?;
        front.open(&self.settings.listeners).await?;
        let mut buffer = vec![0; MAX_PACKET];
        let mut clock = interval(CERTIFICATE_CHECK);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                _ = clock.tick() => front.renew(&self.certificates, &mut sent).await?,
                received = front.channel.receive(&mut buffer) => {
                    let Some((message, descriptors)) = received? else { return Ok(()) };
                    let (decoded, length) = (ToKeeper::decode(message), message.len());
                    wipe(&mut buffer[..length]);
                    let message = decoded.map_err(|_| io::Error::other("does not speak our language"))?;
                    self.obey(front, message, descriptors);
                }
            }
        }
    }

    fn obey(self: &Arc<Self>, front: &Arc<Front>, message: ToKeeper, descriptors: Vec<OwnedFd>) {
        let (keeper, front) = (self.clone(), front.clone());
        match message {
            ToKeeper::LogIn { id, name, password, rip } => {
                let asked = Asked { name, password, rip };
                tokio::spawn(async move { keeper.log_in(&front, id, asked).await });
            }
            ToKeeper::HandOver { id, session } => {
                let admission = front.admissions().remove(&id);
                tokio::spawn(async move { keeper.hand_over(admission, session, descriptors).await });
            }
            ToKeeper::Abandon { id } => drop(front.admissions().remove(&id)),
            ToKeeper::Retired => front.retired.cancel(),
        }
    }

    async fn log_in(&self, front: &Front, id: u64, asked: Asked) {
        let outcome = match self.passwords.check(&asked.name, asked.password, asked.rip).await {
            Checked::Right(account) => self.admit(&account.name, asked.rip),
            Checked::Wrong => Err(Outcome::Refused),
            Checked::Unavailable => Err(Outcome::Unavailable),
        };
        let answer = match &outcome {
            Ok(admission) => ToFront::Admission {
                id,
                outcome: Outcome::Admitted,
                user: admission.user().to_owned(),
                pid: admission.pid().into(),
            },
            Err(outcome) => ToFront::Admission { id, outcome: *outcome, user: String::new(), pid: 0 },
        };
        if let Ok(admission) = outcome {
            front.admissions().insert(id, admission);
        }
        if front.send(&answer, None).await.is_err() {
            front.admissions().remove(&id);
        }
    }

    fn admit(&self, user: &str, rip: IpAddr) -> Result<Admission, Outcome> {
        let most = self.passwords.policy().most_per_user_and_address;
        let place = self.places.take(user, rip, most).ok_or(Outcome::TooMany)?;
        self.workers.admit(user, place).map_err(|error| {
            tracing::error!("cannot start {} for {user}: {error}", self.settings.worker.path.display());
            Outcome::Unavailable
        })
    }

    async fn hand_over(&self, admission: Option<Admission>, session: Session, mut descriptors: Vec<OwnedFd>) {
        let (Some(admission), Some(connection)) = (admission, descriptors.pop()) else {
            tracing::error!("{} hands over a session that was not admitted", self.settings.front.name);
            return;
        };
        let user = admission.user().to_owned();
        if let Err(error) = self.workers.hand_over(admission, session, connection).await {
            tracing::error!("cannot hand a session to {} of {user}: {error}", self.settings.worker.name);
        }
    }
}

impl Front {
    /// Has it let clients in.
    async fn open(&self, listeners: &[(TcpListener, Security)]) -> io::Result<()> {
        for (listener, security) in listeners {
            self.send(&ToFront::Listen(*security), Some(listener)).await?;
        }
        Ok(())
    }

    /// Sends the certificate, if it is another than the one that was sent.
    async fn renew(&self, certificates: &Certificates, sent: &mut u64) -> io::Result<()> {
        let Some((number, pair)) = certificates.other_than(*sent) else { return Ok(()) };
        *sent = number;
        self.send(&ToFront::Certificate { chain: pair.chain.clone(), key: pair.key.clone() }, None).await
    }

    /// Has it let nobody in any more.
    async fn retire(&self) {
        let _ = self.send(&ToFront::Retire, None).await;
        let _ = timeout(RETIRING, self.retired.cancelled()).await;
    }

    async fn send(&self, message: &ToFront, descriptor: Option<&TcpListener>) -> io::Result<()> {
        let message = message.encode();
        match descriptor {
            Some(descriptor) => self.channel.send(message.as_bytes(), &[descriptor.as_fd()]).await,
            None => self.channel.send(message.as_bytes(), &[]).await,
        }
    }

    /// Answers still under way must not keep the front from seeing the end.
    fn hang_up(&self) {
        let _ = shutdown(self.channel.as_fd().as_raw_fd(), Shutdown::Both);
        self.admissions().clear();
        self.retired.cancel();
        self.over.cancel();
    }

    fn admissions(&self) -> MutexGuard<'_, HashMap<u64, Admission>> {
        self.admissions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a child that should be ending, and says so if it did not end well.
pub(super) async fn end(name: &str, mut child: Child) {
    let pid = child.id().unwrap_or_default();
    match timeout(GRACE, child.wait()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!("process {name} pid {pid}: {status}"),
        Ok(Err(error)) => tracing::warn!("process {name} pid {pid}: {error}"),
        Err(_) => {
            tracing::warn!("process {name} pid {pid} did not end within {} seconds: killed", GRACE.as_secs());
            let _ = child.kill().await;
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PACKET_PAUSE: Duration = Duration::from_secs(30);
const LIVED_WELL: Duration = Duration::from_secs(60);
/// How long a front may take to let nobody in any more.
const RETIRING: Duration = Duration::from_secs(1);
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);
/// How long front and workers may take to say goodbye.
const GRACE: Duration = Duration::from_secs(10);
