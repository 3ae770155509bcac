//! A delivery program's end of the connection to qmgr ([`crate::qmgr::link`] is the other): orders in, each with the queue
//! file ([`Body`]), and what became of them out.
//!
//! When a connection fails or qmgr says what is no order, the connection ends; qmgr then gives its orders out again. What
//! has gathered to be said while a packet was being sent leaves in the next one together.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use daemon::Channel;
use handover::Body;
use handover::packet::{Malformed, Packed, Reader, Writer};
use sys::channel;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

/// A packet is sent when it has grown to this.
const FULL_PACKET: usize = channel::MAX_PACKET / 4;
/// How long a connection that cannot be taken (no descriptors) is left alone.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket where qmgr comes in. In truth a listening SEQPACKET socket: the runtime only watches it.
pub(crate) struct Door(UnixDatagram);

impl Door {
    /// A socket from [`crate::set_up::private_socket`]. Needs the runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(UnixDatagram::from_std(socket.into())?))
    }

    /// The next connection.
    pub(crate) async fn next(&self) -> OwnedFd {
        loop {
            let ready = self.0.readable().await;
            match ready.and_then(|()| self.0.try_io(Interest::READABLE, || channel::accept(&self.0))) {
                Ok(connection) => return connection,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Gives each order of a connection to `take`, until the connection ends or `sender`, a task that runs [`send`], does.
/// The end of `sender` shows those who still work that nobody waits for them.
pub(crate) async fn receive<O: Packed>(
    channel: &Channel,
    sender: &mut JoinHandle<io::Result<()>>,
    mut take: impl FnMut(O, Body) -> Result<(), Malformed>,
) {
    let mut buffer = vec![0; channel::MAX_PACKET];
    loop {
        let received = tokio::select! {
            received = channel.receive(&mut buffer) => received,
            // Without the answers qmgr would wait for ever; when the connection ends it gives the orders out again.
            ended = &mut *sender => ended.unwrap_or_else(|error| Err(io::Error::other(error))).map(|()| None),
        };
        let (packet, descriptors) = match received {
            Ok(Some(received)) => received,
            Ok(None) => break,
            Err(error) => {
                tracing::warn!("lost the connection to qmgr: {error}");
                break;
            }
        };
        let mut reader = Reader::new(packet);
        let order = O::read(&mut reader);
        if order.and_then(|order| take(order, Body::read(&mut reader, descriptors)?)).is_err() {
            tracing::warn!("qmgr sent what is no order; connection closed");
            break;
        }
    }
    sender.abort();
}

/// Sends what there is to say, until nobody can say more or the connection fails.
pub(crate) async fn send<R: Packed>(channel: Arc<Channel>, mut waiting: UnboundedReceiver<R>) -> io::Result<()> {
    let mut packet = Writer::default();
    while let Some(first) = waiting.recv().await {
        packet.clear();
        first.write(&mut packet);
        while packet.octets().len() < FULL_PACKET
            && let Ok(more) = waiting.try_recv()
        {
            more.write(&mut packet);
        }
        channel.send(packet.octets(), &[]).await?;
    }
    Ok(())
}
