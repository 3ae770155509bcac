//! What all sessions of the process share.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use config::Config;
use daemon::Channel;
use daemon::limits::Sessions;
use daemon::shutdown::Signals;
use daemon::tls::Tls;
use jiff::tz::TimeZone;
use mail::date::Moment;
use mail::{Domain, QueueId};
use spool::Spool;
use tokio_util::task::TaskTracker;

use super::Parts;
use super::committer::Committer;
use super::logins::{Logins, Sent};
use super::names::Names;
use super::passwords::Passwords;
use super::rates::{Limits, Rates};
use super::recipients::Recipients;
use super::rules::Rules;
use super::ways::Ways;
use crate::bounce::Sender;
use crate::cleanup::Cleanup;
use crate::control::Service;

/// Shared by all sessions.
pub(super) struct Server {
    configured: RwLock<Arc<Configured>>,
    tls: RwLock<Option<Tls>>,
    pub(super) spool: Spool,
    pub(super) committer: Committer,
    pub(super) names: Names,
    pub(super) passwords: Passwords,
    pub(super) sessions: Arc<Sessions>,
    pub(super) signals: Signals,
    pub(super) tasks: TaskTracker,
    /// Whoever lets somebody in.
    pub(super) doors: TaskTracker,
    /// Outlasts a reload.
    pub(super) sent: Sent,
    /// So does this.
    pub(super) rates: Rates,
    wake: Option<UnixDatagram>,
    qmgr: PathBuf,
    zone: TimeZone,
}

/// What a reload replaces.
pub(super) struct Configured {
    pub(super) rules: Rules,
    pub(super) recipients: Recipients,
    pub(super) cleanup: Cleanup,
    pub(super) ways: Ways,
    pub(super) limits: Limits,
    pub(super) logins: Logins,
    pub(super) notices: Sender,
}

impl Configured {
    pub(super) fn of(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            rules: Rules::of(config),
            recipients: Recipients::of(config),
            cleanup: Cleanup::new(config),
            ways: Ways::of(config),
            limits: Limits::of(config),
            logins: Logins::of(config),
            notices: Sender::new(config),
        })
    }

    /// What becomes of addresses of mail that enters here.
    pub(super) const fn entering(&self, service: Service) -> &Cleanup {
        if self.ways.maps_addresses(service) { &self.cleanup } else { &Cleanup::IDLE }
    }
}

impl Server {
    pub(super) fn new(parts: Parts, signals: Signals, channel: Channel) -> Arc<Self> {
        let most = usize::try_from(parts.config.number("default_process_limit")).unwrap_or(usize::MAX);
        let rules = Configured::of(&parts.config);
        let wake = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Arc::new(Self {
            sessions: Sessions::new(most.min(parts.sessions), 0),
            configured: RwLock::new(rules),
            tls: RwLock::new(None),
            spool: parts.spool,
            committer: parts.committer,
            names: Names::default(),
            passwords: Passwords::new(channel),
            signals,
            tasks: TaskTracker::new(),
            doors: TaskTracker::new(),
            sent: Sent::default(),
            rates: Rates::default(),
            wake: wake.ok(),
            qmgr: PathBuf::from(parts.config.text("queue_directory")).join("public/qmgr"),
            zone: TimeZone::system(),
        })
    }

    /// For a session that begins now.
    pub(super) fn configured(&self) -> Arc<Configured> {
        self.configured.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn renew(&self, config: &Config) {
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = Configured::of(config);
    }

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_tls(&self, tls: Tls) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(tls);
    }

    /// Tells qmgr of a new message. It looks at its directory anyway: a lost word costs only time.
    pub(super) fn wake_qmgr(&self, id: QueueId) {
        if let Some(socket) = &self.wake {
            let _ = socket.send_to(id.name().as_bytes(), &self.qmgr);
        }
    }

    /// Has qmgr try the mail that waits for a domain.
    pub(super) fn flush(&self, domain: &Domain) -> std::io::Result<()> {
        let socket = self.wake.as_ref().ok_or(std::io::ErrorKind::NotConnected)?;
        socket.send_to(format!("flush {domain}").as_bytes(), &self.qmgr).map(drop)
    }

    /// Now, on the wall clock: the moment, and the name of the time zone.
    pub(super) fn now(&self) -> (Moment, String) {
        let now = jiff::Timestamp::now().to_zoned(self.zone.clone());
        let offset = i16::try_from(now.offset().seconds() / 60).unwrap_or(0);
        (Moment { seconds: now.timestamp().as_second(), offset }, now.strftime("%Z").to_string())
    }

    /// Waits until nobody is let in any more; so the signals say already.
    pub(super) async fn close_doors(&self) {
        self.doors.close();
        self.doors.wait().await;
    }

    /// Waits for the sessions to end, but not for ever.
    pub(super) async fn drain(&self) {
        self.close_doors().await;
        self.tasks.close();
        if tokio::time::timeout(LAST_WORDS, self.tasks.wait()).await.is_err() {
            tracing::warn!("{} sessions did not end in time", self.tasks.len());
        }
    }
}

const LAST_WORDS: Duration = Duration::from_secs(5);
