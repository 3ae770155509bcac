//! The loop: orders from qmgr in, a task for each, reports out; SIGHUP and SIGTERM.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::Config;
use daemon::Channel;
use daemon::shutdown::Signals;
use handover::relay::{RelayOrder, Report};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::deliver::Delivery;
use super::ledger::Ledger;
use super::names::Names;
use super::settings::{self, Settings};
use crate::orders::{self, Door};
use crate::set_up;

/// How long deliveries under way may take after SIGTERM; master waits no longer than ten seconds.
const GRACE: Duration = Duration::from_secs(8);

/// What all connections from qmgr share.
struct Smtp {
    settings: Mutex<Arc<Settings>>,
    names: Arc<Names>,
    deliveries: TaskTracker,
    /// No order is begun any more: qmgr gives it to our successor.
    closing: AtomicBool,
}

/// Serves until SIGTERM.
pub(super) async fn run(config: &Config, settings: Settings, socket: OwnedFd) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let door = Door::new(socket).map_err(|e| e.to_string())?;
    let smtp = Arc::new(Smtp {
        settings: Mutex::new(Arc::new(settings)),
        names: Arc::new(Names::new(settings::dns_servers(config))),
        deliveries: TaskTracker::new(),
        closing: AtomicBool::new(false),
    });
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => break,
            () = signals.reload() => if let Some(config) = set_up::reload(config.dir()) {
                smtp.renew(&config);
            },
            connection = door.next() => drop(tokio::spawn(smtp.clone().connection(connection))),
        }
    }
    smtp.closing.store(true, Ordering::Relaxed);
    smtp.settings().pool.closed.cancel();
    smtp.deliveries.close();
    let _ = tokio::time::timeout(GRACE, smtp.deliveries.wait()).await;
    Ok(())
}

impl Smtp {
    fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn renew(&self, config: &Config) {
        let new = Arc::new(Settings::new(config));
        let old = std::mem::replace(&mut *self.settings.lock().unwrap_or_else(PoisonError::into_inner), new);
        // Connections under the old settings end with what they have.
        old.pool.closed.cancel();
        self.names.renew(settings::dns_servers(config));
    }

    async fn connection(self: Arc<Self>, socket: OwnedFd) {
        let Ok(channel) = Channel::new(socket).map(Arc::new) else { return };
        let (reports, waiting) = mpsc::unbounded_channel();
        let sender = tokio::spawn(orders::send(channel.clone(), waiting));
        orders::receive(&channel, sender, |order, file| self.take(order, file, reports.clone())).await;
    }

    fn take(&self, order: RelayOrder, file: OwnedFd, reports: mpsc::UnboundedSender<Report>) {
        if self.closing.load(Ordering::Relaxed) {
            return;
        }
        let settings = self.settings();
        let ledger = Ledger::new(order, file.into(), reports, settings.soft_bounce);
        let delivery = Delivery { settings, names: self.names.clone(), ledger };
        self.deliveries.spawn(delivery.run());
    }
}
