//! The programs master keeps, in the order in which they start: `local` and `qmgr` before mail can come in. They end the
//! other way round, so that nothing accepted waits longer than it must.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use config::Config;
use daemon::shutdown::Signals;
use daemon::supervise::{self, Orders, Program, Succession};
use daemon::{Channel, ready, settled, tls, version};
use sys::channel;
use tokio::process::Command;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{JoinHandle, JoinSet};

use super::passwords::Checker;
use super::reach::Reach;
use crate::control::{self, Service};
use crate::{pickup, qmgr, set_up, smtp, smtpd};

/// What master starts with.
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) listeners: Vec<(Service, TcpListener)>,
}

struct Kept {
    orders: Orders,
    task: JoinHandle<()>,
    reach: Reach,
}

/// What smtpd gets each time it starts.
struct Smtpd {
    program: PathBuf,
    dir: PathBuf,
    listeners: Vec<(Service, TcpListener)>,
    shared: Arc<Shared>,
}

/// What changes at a reload.
struct Shared {
    certificate: Mutex<Option<tls::Files>>,
    checker: Checker,
    /// The channel to the smtpd that runs now.
    channel: Mutex<Weak<Channel>>,
}

/// Starts all programs, and runs until SIGTERM or SIGINT has ended them.
///
/// # Errors
/// When it cannot begin.
pub(super) async fn run(plan: Plan) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let dir = plan.config.dir().to_owned();
    let folder = PathBuf::from(plan.config.text("daemon_directory"));
    let shared = Arc::new(Shared {
        certificate: Mutex::new(certificate(&plan.config)),
        checker: Checker::new(&plan.config),
        channel: Mutex::default(),
    });
    let plain = [("local", Reach::ALL), ("smtp", Reach::of(smtp::directories)), ("qmgr", Reach::of(qmgr::directories))];
    let plain = plain.into_iter().chain([("pickup", Reach::of(pickup::directories))]);
    let mut kept: Vec<Kept> = plain.map(|(name, reach)| keep_plain(&folder, (name, reach), &dir)).collect();
    let program = folder.join("smtpd");
    kept.push(keep_smtpd(Smtpd { program, dir: dir.clone(), listeners: plan.listeners, shared: shared.clone() }));
    kept.iter_mut().for_each(|one| one.reach.begin(&plan.config));
    ready::tell();
    serve(&signals, &dir, &mut kept, &shared).await;
    tracing::info!("terminating on signal {}", signals.number());
    while let Some(last) = kept.pop() {
        last.orders.stop.cancel();
        let _ = last.task.await;
    }
    Ok(())
}

async fn serve(signals: &Signals, dir: &Path, kept: &mut [Kept], shared: &Shared) {
    let mut look = tokio::time::interval(LOOK_AT_CERTIFICATE);
    let mut seen = shared.changed();
    let mut settling = JoinSet::new();
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => return,
            () = signals.reload() => reload(dir, kept, shared, &mut settling).await,
            _ = look.tick() => {
                let now = shared.changed();
                if now != seen {
                    seen = now;
                    shared.send_certificate().await;
                }
            }
        }
    }
}

/// Reads the configuration again and tells everybody to do so too; a wrong one changes nothing. In `settling` somebody waits
/// until all have done so.
async fn reload(dir: &Path, kept: &mut [Kept], shared: &Shared, settling: &mut JoinSet<()>) {
    let since = SystemTime::now();
    let Some(config) = set_up::reload(dir) else { return };
    tracing::info!("reload -- version {}, configuration {}", version::short(), dir.display());
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    *lock(&shared.certificate) = certificate(&config);
    shared.checker.renew(&config);
    shared.send_certificate().await;
    let mut all = JoinSet::new();
    for one in kept {
        // What a jailed program may not read it cannot learn to read: a new one takes its place.
        if one.reach.is_exceeded(&config) {
            all.spawn(one.orders.renew())
        } else {
            all.spawn(one.orders.reload())
        };
    }
    // Who waits for an earlier one is served by this one.
    *settling = JoinSet::new();
    settling.spawn(async move {
        all.join_all().await;
        settled::note(config.text("data_directory").as_ref(), "master", since);
    });
}

fn keep_plain(folder: &Path, (name, reach): (&'static str, Reach), dir: &Path) -> Kept {
    let (program, dir) = (folder.join(name), dir.to_owned());
    let orders = Orders::default();
    let told = orders.clone();
    let task = tokio::task::spawn(async move {
        supervise::keep(name, &told, Succession::After, || {
            let (ours, theirs) = channel::pair()?;
            let child = Command::new(&program).arg("-c").arg(&dir).stdin(theirs).spawn()?;
            Ok(Program { child, words: settled::hear(Channel::new(ours)?) })
        })
        .await;
    });
    Kept { orders, task, reach }
}

fn keep_smtpd(smtpd: Smtpd) -> Kept {
    let orders = Orders::default();
    let told = orders.clone();
    let task =
        tokio::task::spawn(async move { supervise::keep("smtpd", &told, Succession::Beside, || smtpd.start()).await });
    Kept { orders, task, reach: Reach::of(smtpd::directories) }
}

impl Smtpd {
    fn start(&self) -> io::Result<Program> {
        let (ours, theirs) = channel::pair()?;
        // Before the listeners: the first client is offered STARTTLS.
        if let Some((certificate, key)) = self.shared.open_certificate() {
            channel::send(&ours, &control::certificate(), &[certificate.as_fd(), key.as_fd()])?;
        }
        let services: Vec<Service> = self.listeners.iter().map(|(service, _)| *service).collect();
        let sockets: Vec<_> = self.listeners.iter().map(|(_, listener)| listener.as_fd()).collect();
        channel::send(&ours, &control::listen(&services), &sockets)?;
        let child = Command::new(&self.program).arg("-c").arg(&self.dir).stdin(theirs).spawn()?;
        let channel = Arc::new(Channel::new(ours)?);
        *lock(&self.shared.channel) = Arc::downgrade(&channel);
        let (teller, words) = unbounded_channel();
        tokio::spawn(self.shared.checker.clone().serve(channel, teller));
        Ok(Program { child, words })
    }
}

impl Shared {
    /// Both files, opened while we may.
    fn open_certificate(&self) -> Option<(OwnedFd, OwnedFd)> {
        let files = lock(&self.certificate).clone()?;
        let open = |path: &Path| match File::open(path) {
            Ok(file) => Some(OwnedFd::from(file)),
            Err(e) => {
                tracing::error!("no TLS: {}: {e}", path.display());
                None
            }
        };
        Some((open(&files.certificate)?, open(&files.key)?))
    }

    async fn send_certificate(&self) {
        let channel = lock(&self.channel).upgrade();
        let (Some(channel), Some((certificate, key))) = (channel, self.open_certificate()) else { return };
        let _ = channel.send(&control::certificate(), &[certificate.as_fd(), key.as_fd()]).await;
    }

    /// When the certificate and the key changed last.
    fn changed(&self) -> Option<[Option<std::time::SystemTime>; 2]> {
        let files = lock(&self.certificate).clone()?;
        Some([&files.certificate, &files.key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok()))
    }
}

/// The configured certificate, else the self-signed one; `None` when TLS is off or there is none to be had.
fn certificate(config: &Config) -> Option<tls::Files> {
    if config.text("smtpd_tls_security_level") == "none" {
        return None;
    }
    if let Some(certificate) = config.path("smtpd_tls_cert_file") {
        let key = config.path("smtpd_tls_key_file").unwrap_or_else(|| certificate.clone());
        return Some(tls::Files { certificate, key });
    }
    let names = [config.text("myhostname").to_owned()];
    let made = tls::ensure_certificate(config.text("data_directory").as_ref(), &names);
    made.inspect_err(|e| tracing::error!("no TLS: {e}")).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(60);
