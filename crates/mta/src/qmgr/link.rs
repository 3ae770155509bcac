//! The connection to `local`: orders out, replies in; made anew whenever it breaks.
//!
//! Each connection has a number. Orders are given out for one connection and thrown away when that one is gone, because
//! qmgr then gives them out again: nothing is delivered twice on account of a restart of `local` alone.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::Channel;
use handover::packet::{Reader, Writer};
use handover::{Order, Reply, channel};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// An order for one connection.
pub struct Sending {
    /// For which connection.
    pub connection: u64,
    /// The order.
    pub order: Order,
    /// The queue file.
    pub file: Arc<OwnedFd>,
}

/// What happens on the connection.
pub enum Event {
    /// It stands, under this number.
    Up(u64),
    /// It is gone; what was open is open again.
    Down,
    /// Replies.
    Replies(Vec<Reply>),
}

/// Keeps a connection for ever.
pub async fn keep(path: PathBuf, mut orders: UnboundedReceiver<Sending>, events: UnboundedSender<Event>) {
    let mut pause = FIRST_PAUSE;
    for connection in 1.. {
        let opened = channel::connect(&path).and_then(Channel::new);
        if let Ok(channel) = opened {
            pause = FIRST_PAUSE;
            if events.send(Event::Up(connection)).is_err() {
                return;
            }
            if let Err(error) = talk(&channel, connection, &mut orders, &events).await {
                tracing::warn!("lost the connection to local: {error}");
            }
            if events.send(Event::Down).is_err() {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

async fn talk(
    channel: &Channel,
    connection: u64,
    orders: &mut UnboundedReceiver<Sending>,
    events: &UnboundedSender<Event>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; channel::MAX_PACKET];
    let mut packet = Writer::default();
    loop {
        tokio::select! {
            received = channel.receive(&mut buffer) => {
                let Some((octets, _)) = received? else { return Err(std::io::ErrorKind::ConnectionReset.into()) };
                let mut reader = Reader::new(octets);
                let mut replies = Vec::new();
                while !reader.is_empty() {
                    replies.push(Reply::read(&mut reader).map_err(std::io::Error::other)?);
                }
                let _ = events.send(Event::Replies(replies));
            }
            sending = orders.recv() => {
                let Some(sending) = sending else { return Ok(()) };
                if sending.connection == connection {
                    packet.clear();
                    sending.order.write(&mut packet);
                    channel.send(packet.octets(), &[sending.file.as_fd()]).await?;
                }
            }
        }
    }
}
