//! The connections to the delivery programs, one each: orders out, replies in; made anew whenever one breaks.
//!
//! Each connection has a number. Orders are given out for one connection and thrown away when that one is gone, because
//! qmgr then gives them out again: nothing is delivered twice on account of a restart of such a program alone.

use std::path::PathBuf;
use std::time::Duration;

use daemon::Channel;
use handover::packet::{Packed, Reader, Writer};
use handover::{Body, Order, RelayOrder, Reply, Report};
use sys::channel;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// What is said to one delivery program.
pub trait Dialogue {
    /// The program, which is also the name of its socket.
    const PROGRAM: &'static str;
    /// What it is told, one in a packet.
    type Order: Packed + Send;
    /// What it tells, many in a packet.
    type Reply: Packed + Send;
}

/// With `local`.
#[derive(Debug)]
pub enum Local {}

/// With `smtp`.
#[derive(Debug)]
pub enum Smtp {}

impl Dialogue for Local {
    const PROGRAM: &'static str = "local";
    type Order = Order;
    type Reply = Reply;
}

impl Dialogue for Smtp {
    const PROGRAM: &'static str = "smtp";
    type Order = RelayOrder;
    type Reply = Report;
}

/// An order for one connection.
pub struct Sending<O = Order> {
    /// For which connection.
    pub connection: u64,
    /// The order.
    pub order: O,
    /// The queue file.
    pub body: Body,
}

/// What happens on the connection.
pub enum Event<R = Reply> {
    /// It stands, under this number.
    Up(u64),
    /// It is gone; what was open is open again.
    Down,
    /// Replies.
    Replies(Vec<R>),
}

/// Keeps a connection for ever.
pub async fn keep<D: Dialogue>(
    path: PathBuf,
    mut orders: UnboundedReceiver<Sending<D::Order>>,
    events: UnboundedSender<Event<D::Reply>>,
) {
    let mut pause = FIRST_PAUSE;
    for connection in 1.. {
        let opened = channel::connect(&path).and_then(Channel::new);
        if let Ok(channel) = opened {
            pause = FIRST_PAUSE;
            if events.send(Event::Up(connection)).is_err() {
                return;
            }
            if let Err(error) = talk::<D>(&channel, connection, &mut orders, &events).await {
                tracing::warn!("lost the connection to {}: {error}", D::PROGRAM);
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

async fn talk<D: Dialogue>(
    channel: &Channel,
    connection: u64,
    orders: &mut UnboundedReceiver<Sending<D::Order>>,
    events: &UnboundedSender<Event<D::Reply>>,
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
                    replies.push(D::Reply::read(&mut reader).map_err(std::io::Error::other)?);
                }
                let _ = events.send(Event::Replies(replies));
            }
            sending = orders.recv() => {
                let Some(sending) = sending else { return Ok(()) };
                if sending.connection == connection {
                    packet.clear();
                    sending.order.write(&mut packet);
                    sending.body.write(&mut packet);
                    channel.send_unless_gone(packet.octets(), sending.body.descriptor().as_slice()).await?;
                }
            }
        }
    }
}
