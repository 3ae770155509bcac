//! `smtpd`: speaks SMTP with everybody, and enters complete messages in the spool. One process for all sessions.
//!
//! Runs as: `mail_owner`, jailed, started by master with its control socket as standard input. May read: the
//! configuration, alias files, the list of users. May write: `incoming` in the queue. Speaks to: the net, master (passwords,
//! certificate), qmgr (small messages to be delivered at once, a wake-up that may be lost). Must not read mailboxes, passwords or other queue directories. Exits
//! with: 0 when told to stop or when master is gone, 1 when it cannot start, 2 for a wrong command line.
//!
//! SIGHUP reads the configuration again, for sessions that begin afterwards; a wrong one is one line in the log. SIGUSR1
//! means that another smtpd serves the ports: it ends with its last session.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use config::Config;
use daemon::shutdown::Signals;
use daemon::tls::Tls;
use daemon::{Channel, arguments, limits, settled};
use durable::Dir;
use privileges::{Exec, Jail, Network};
use spool::{Queue, Spool};

use crate::cleanup::Cleanup;
use crate::control::{self, Order};
use crate::set_up;

mod committer;
mod door;
mod entry;
mod hold;
mod logins;
mod names;
mod passwords;
mod prompt;
mod rates;
mod recipients;
mod rules;
mod server;
mod standing;
mod ways;
mod world;

use committer::Committer;
use logins::Logins;
use recipients::Recipients;
use server::Server;

/// The program.
pub fn main() -> ExitCode {
    arguments::run("smtpd", start)
}

fn start(dir: &Path) -> Result<(), String> {
    let config = set_up::begin("smtpd", dir)?;
    let descriptors = limits::raise_descriptors();
    let control = sys::channel::inherited().map_err(|e| e.to_string())?;
    let queue = config.text("queue_directory").to_owned();
    let spool = Dir::open(queue.as_ref()).and_then(|root| Spool::open(&root)).map_err(|e| format!("{queue}: {e}"))?;
    give_up_power(&config)?;
    // Half of the processors: the rest of the mail system has the others, and a wake-up across threads costs more than it brings.
    let workers = (std::thread::available_parallelism().map_or(2, usize::from) / 2).max(1);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).max_blocking_threads(BLOCKING_THREADS);
    let runtime = daemon::runtime::build(&mut builder).map_err(|e| e.to_string())?;
    let committer = Committer::start().map_err(|e| e.to_string())?;
    let sessions = limits::sessions_for(descriptors, DESCRIPTORS_EACH);
    runtime.block_on(run(control, Parts { config, spool, committer, sessions }))
}

/// The jail: see the head of this file. Directories rather than files, since editors replace files.
fn give_up_power(config: &Config) -> Result<(), String> {
    let mut readable = directories(config);
    readable.push(config.dir().to_owned());
    let mut read_only = set_up::system_files();
    read_only.extend(readable.iter().map(PathBuf::as_path));
    let queue = Path::new(config.text("queue_directory"));
    let written = ["incoming", "free", "hold"].map(|name| queue.join(name));
    let jail = Jail {
        read_only: &read_only,
        read_write: &written.each_ref().map(PathBuf::as_path),
        exec: Exec::Never,
        network: Network::Allow,
    };
    set_up::give_up_power(config, &jail).map_err(|e| e.to_string())
}

/// Where its tables are.
pub(crate) fn directories(config: &Config) -> Vec<PathBuf> {
    let beside = |file: PathBuf| file.parent().map(Path::to_owned);
    let mut readable = Cleanup::new(config).directories();
    readable.extend(config.list("alias_maps").into_iter().filter_map(|file| beside(file.into())));
    readable.extend(config.path("accounts_file").and_then(beside));
    readable.extend(Recipients::of(config).files().into_iter().filter_map(beside));
    readable.extend(Logins::of(config).tables().files().into_iter().filter_map(beside));
    readable
}

/// What the server is made of.
struct Parts {
    config: Config,
    spool: Spool,
    committer: Committer,
    sessions: usize,
}

async fn run(control: OwnedFd, parts: Parts) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let channel = Channel::new(control).map_err(|_| "smtpd is started by master".to_owned())?;
    let dir = parts.config.dir().to_owned();
    let queue = PathBuf::from(parts.config.text("queue_directory"));
    tokio::spawn(prompt::keep(parts.committer.clone(), queue));
    let server = Server::new(parts, signals.clone(), channel);
    settled::tell();
    tokio::spawn(reload(server.clone(), signals.clone(), dir));
    tokio::select! {
        obeyed = obey(&server) => obeyed?,
        () = retire(&server) => return Ok(()),
    }
    server.drain().await;
    Ok(())
}

async fn reload(server: Arc<Server>, signals: Signals, dir: PathBuf) {
    loop {
        signals.reload().await;
        set_up::reload(&dir).iter().for_each(|config| server.renew(config));
        settled::tell();
    }
}

/// Another smtpd has taken our place: until the last session is over.
async fn retire(server: &Server) {
    server.signals.retire.cancelled().await;
    server.close_doors().await;
    settled::tell();
    server.tasks.close();
    server.tasks.wait().await;
}

/// Does what master says until it is gone or we are told to stop.
async fn obey(server: &Arc<Server>) -> Result<(), String> {
    let mut buffer = vec![0; accounts::check::MAX_MESSAGE];
    let stop = &server.signals.stop;
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            received = server.passwords.channel().receive(&mut buffer) => received,
        };
        let (message, descriptors) = match received {
            Ok(Some(received)) => received,
            Ok(None) => {
                stop.cancel();
                return Ok(());
            }
            Err(e) => return Err(format!("no master at the other end of standard input: {e}")),
        };
        match control::read(message, descriptors) {
            Some(Order::Listen(listeners)) => listeners.into_iter().for_each(|it| door::open(server, it)),
            Some(Order::Certificate(certificate, key)) => use_certificate(server, certificate, key),
            Some(Order::Other) => server.passwords.reply(message),
            None => tracing::warn!("master sent a malformed message"),
        }
    }
}

/// Certificate and key may be one and the same file; each has its own descriptor.
fn use_certificate(server: &Server, certificate: OwnedFd, key: OwnedFd) {
    let read = |fd: OwnedFd| {
        use std::os::unix::fs::FileExt;
        let (file, mut text) = (std::fs::File::from(fd), vec![0; LONGEST_PEM]);
        file.read_at(&mut text, 0)
            .map(|length| {
                text.truncate(length);
                text
            })
            .map_err(|e| e.to_string())
    };
    let made = read(certificate).and_then(|certificate| {
        let key = read(key)?;
        match server.tls() {
            Some(tls) => tls.replace(&certificate, &key).map(|()| tls),
            None => Tls::from_pem(&certificate, &key),
        }
        .map_err(|e| e.to_string())
    });
    match made {
        Ok(tls) => server.set_tls(tls),
        Err(e) => tracing::error!("{e}; TLS stays as it was"),
    }
}

/// Where complete messages are.
pub(crate) const ARRIVALS: Queue = Queue::Incoming;
const BLOCKING_THREADS: usize = 256;
/// The connection and, while a message comes in, its file; the rest of the process needs few.
const DESCRIPTORS_EACH: usize = 2;
const LONGEST_PEM: usize = 256 * 1024;
