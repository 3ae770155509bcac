//! The loop: orders from qmgr in, a task for each, reports out; SIGHUP and SIGTERM.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::Config;
use daemon::Channel;
use daemon::shutdown::Signals;
use handover::channel;
use handover::packet::{Reader, Writer};
use handover::relay::{RelayOrder, Report};
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::deliver::Delivery;
use super::ledger::Ledger;
use super::names::Names;
use super::settings::{self, Settings};

/// A packet of reports is sent when it has grown to this.
const FULL_PACKET: usize = channel::MAX_PACKET / 4;
/// How long deliveries under way may take after SIGTERM; master waits no longer than ten seconds.
const GRACE: Duration = Duration::from_secs(8);

/// What all connections from qmgr share.
struct Smtp {
    settings: Mutex<Arc<Settings>>,
    names: Arc<Names>,
    deliveries: TaskTracker,
}

/// Serves until SIGTERM.
pub(super) async fn run(config: &Config, settings: Settings, socket: OwnedFd) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    // In truth a listening SEQPACKET socket: the runtime only watches it.
    let listener = UnixDatagram::from_std(socket.into()).map_err(|e| e.to_string())?;
    let smtp = Arc::new(Smtp {
        settings: Mutex::new(Arc::new(settings)),
        names: Arc::new(Names::new(settings::dns_servers(config))),
        deliveries: TaskTracker::new(),
    });
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => break,
            () = signals.reload() => smtp.reload(config.dir()),
            ready = listener.readable() => {
                let accept = || channel::accept(&listener);
                match ready.and_then(|()| listener.try_io(Interest::READABLE, accept)) {
                    Ok(connection) => drop(tokio::spawn(smtp.clone().connection(connection))),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    }
    smtp.settings().pool.closed.cancel();
    smtp.deliveries.close();
    let _ = tokio::time::timeout(GRACE, smtp.deliveries.wait()).await;
    Ok(())
}

impl Smtp {
    fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reload(&self, dir: &std::path::Path) {
        match Config::load(dir) {
            Ok(config) => {
                let new = Arc::new(Settings::new(&config));
                let old = std::mem::replace(&mut *self.settings.lock().unwrap_or_else(PoisonError::into_inner), new);
                // Connections under the old settings end with what they have.
                old.pool.closed.cancel();
                self.names.renew(settings::dns_servers(&config));
            }
            Err(_) => tracing::warn!("reload refused: the configuration has errors"),
        }
    }

    async fn connection(self: Arc<Self>, socket: OwnedFd) {
        let Ok(channel) = Channel::new(socket).map(Arc::new) else { return };
        let (reports, waiting) = mpsc::unbounded_channel();
        let mut sender = tokio::spawn(send_reports(channel.clone(), waiting));
        let mut buffer = vec![0; channel::MAX_PACKET];
        loop {
            let received = tokio::select! {
                received = channel.receive(&mut buffer) => received,
                // Without its reports qmgr would wait for ever; when the connection ends it gives the orders out again.
                error = &mut sender => Err(error.unwrap_or_else(std::io::Error::other)),
            };
            let (packet, mut descriptors) = match received {
                Ok(Some(received)) => received,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!("lost the connection to qmgr: {error}");
                    break;
                }
            };
            match (RelayOrder::read(&mut Reader::new(packet)), descriptors.pop()) {
                (Ok(order), Some(file)) if descriptors.is_empty() => self.take(order, file.into(), reports.clone()),
                _ => {
                    tracing::warn!("qmgr sent what is no order; connection closed");
                    break;
                }
            }
        }
        // Its end closes the other end of `reports`, by which deliveries see that nobody waits for them.
        sender.abort();
    }

    fn take(&self, order: RelayOrder, file: File, reports: mpsc::UnboundedSender<Report>) {
        let settings = self.settings();
        let ledger = Ledger::new(order, file, reports, settings.soft_bounce);
        let delivery = Delivery { settings, names: self.names.clone(), ledger };
        self.deliveries.spawn(delivery.run());
    }
}

/// Ends with the error of the connection.
async fn send_reports(channel: Arc<Channel>, mut waiting: mpsc::UnboundedReceiver<Report>) -> std::io::Error {
    let mut packet = Writer::default();
    while let Some(report) = waiting.recv().await {
        packet.clear();
        report.write(&mut packet);
        while packet.octets().len() < FULL_PACKET
            && let Ok(more) = waiting.try_recv()
        {
            more.write(&mut packet);
        }
        if let Err(error) = channel.send(packet.octets(), &[]).await {
            return error;
        }
    }
    std::io::ErrorKind::BrokenPipe.into()
}
