//! The loop: orders from qmgr in, a task for each, reports out; SIGHUP and SIGTERM.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::Config;
use daemon::shutdown::Signals;
use daemon::{Channel, settled};
use handover::Body;
use handover::relay::{RelayOrder, Report};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
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
    /// Each ends when all is said about the orders that came by it.
    connections: TaskTracker,
    /// No order is begun any more: qmgr gives it to our successor.
    closing: CancellationToken,
}

/// Serves until SIGTERM.
pub(super) async fn run(config: &Config, settings: Settings, socket: OwnedFd) -> Result<(), String> {
    let signals = Signals::listen().map_err(|e| e.to_string())?;
    let door = Door::new(socket).map_err(|e| e.to_string())?;
    let smtp = Arc::new(Smtp::new(settings, settings::dns_servers(config)));
    settled::tell();
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => break,
            () = signals.reload() => {
                set_up::reload(config.dir()).iter().for_each(|config| smtp.renew(config));
                settled::tell();
            }
            connection = door.next() => drop(smtp.connections.spawn(smtp.clone().connection(connection))),
        }
    }
    let _ = tokio::time::timeout(GRACE, smtp.end()).await;
    Ok(())
}

impl Smtp {
    fn new(settings: Settings, dns: Vec<SocketAddr>) -> Self {
        Self {
            settings: Mutex::new(Arc::new(settings)),
            names: Arc::new(Names::new(dns)),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Begins nothing more, and waits until qmgr has been told of everything.
    async fn end(&self) {
        self.closing.cancel();
        self.settings().pool.closed.cancel();
        self.connections.close();
        self.connections.wait().await;
    }

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
        let mut sender = tokio::spawn(orders::send(channel.clone(), waiting));
        let begin = |order, body: Body| {
            self.begin(order, body.into_file()?, reports.clone());
            Ok(())
        };
        if self.closing.run_until_cancelled(orders::receive(&channel, &mut sender, begin)).await.is_some() {
            return;
        }
        drop(reports);
        // What qmgr still sends is read, so that it does not wait for room instead of hearing us, and left to our successor.
        orders::receive(&channel, &mut sender, |_: RelayOrder, _| Ok(())).await;
    }

    fn begin(&self, order: RelayOrder, file: OwnedFd, reports: mpsc::UnboundedSender<Report>) {
        let settings = self.settings();
        let ledger = Ledger::new(order, file.into(), reports, settings.soft_bounce);
        let delivery = Delivery { settings, names: self.names.clone(), ledger };
        tokio::spawn(delivery.run());
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::path::Path;

    use handover::packet::{Packed, Reader, Writer};
    use handover::relay::RelayRecipient;
    use mail::Address;
    use tokio::net::TcpListener;

    use super::super::ledger::an_order;
    use super::*;

    fn order_for(next_hop: &TcpListener) -> Writer {
        let address = Address::parse("kevin@far.example").expect("an address");
        let recipient = RelayRecipient { number: 7, address, original: None, orcpt: None, notify: None };
        let mut order = RelayOrder { recipients: vec![recipient], ..an_order() };
        order.hop.text = format!("[127.0.0.1]:{}", next_hop.local_addr().expect("an address").port());
        let mut packet = Writer::default();
        order.write(&mut packet);
        packet
    }

    fn all_that_was_said(qmgr: &Channel) -> Vec<Report> {
        let mut buffer = vec![0; sys::channel::MAX_PACKET];
        let mut reports = Vec::new();
        while let Some((length @ 1.., _)) = sys::channel::receive_now(qmgr.as_fd(), &mut buffer).expect("received") {
            let mut reader = Reader::new(&buffer[..length]);
            while !reader.is_empty() {
                reports.push(Report::read(&mut reader).expect("a report"));
            }
        }
        reports
    }

    #[tokio::test]
    async fn at_the_end_qmgr_hears_what_became_of_each_order() {
        let config = Config::parse(Path::new("/nowhere"), "").expect("configuration");
        let smtp = Arc::new(Smtp::new(Settings::new(&config), Vec::new()));
        let (ours, theirs) = sys::channel::pair().expect("a pair");
        smtp.connections.spawn(smtp.clone().connection(theirs));
        let next_hop = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let (qmgr, order) = (Channel::new(ours).expect("a channel"), order_for(&next_hop));
        let file = tempfile::tempfile().expect("a file");
        qmgr.send(order.octets(), &[file.as_fd()]).await.expect("sent");
        let (session, _) = next_hop.accept().await.expect("a session");
        let trouble = async {
            smtp.closing.cancelled().await;
            // Comes too late, and must cost nobody what is said about the first one.
            qmgr.send(order.octets(), &[file.as_fd()]).await.expect("sent");
            drop(session);
        };
        tokio::join!(smtp.end(), trouble);
        // At once, as the program does not go on after this.
        let reports = all_that_was_said(&qmgr);
        let [Report::Recipient(reply, Some(_)), Report::Order(100, _)] = &reports[..] else { panic!("{reports:?}") };
        assert!(matches!((reply.number, &reply.outcome), (7, handover::Outcome::Deferred(..))), "{reply:?}");
    }
}
