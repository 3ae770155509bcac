//! Messages with descriptors between our own processes, asynchronously, over a unix `SEQPACKET` socket.
//!
//! A message is at most [`LONGEST`] octets. The other side is a process of ours, yet what it says is parsed as hostile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as Blocking;

use privileges::descriptors;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// The longest message, in octets.
pub const LONGEST: usize = 64 * 1024;

/// One end of a connection; both directions may be used at the same time.
#[derive(Debug)]
pub struct Channel {
    /// In truth of type `SEQPACKET`: the runtime only watches it, all messages go through `descriptors`.
    socket: UnixDatagram,
}

impl Channel {
    /// Wraps a connected `SEQPACKET` socket. Needs the runtime.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking or watched.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = Blocking::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)? })
    }

    /// The channel a program got from its parent as standard input.
    ///
    /// # Errors
    /// When standard input is no such socket.
    pub fn inherited() -> io::Result<Self> {
        Self::new(descriptors::inherited()?)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            self.socket.writable().await?;
            match self.socket.try_io(Interest::WRITABLE, || descriptors::send(&self.socket, message, fds)) {
                Err(e) if is_to_be_repeated(&e) => {}
                result => return result,
            }
        }
    }

    /// Receives one message into `buffer`: its octets and descriptors. `None`: the other side is gone.
    ///
    /// # Errors
    /// When the transport fails or the message is longer than `buffer`.
    pub async fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<(&'b [u8], Vec<OwnedFd>)>> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_io(Interest::READABLE, || descriptors::receive(&self.socket, buffer)) {
                Ok((0, _)) => return Ok(None),
                Ok((length, fds)) => return Ok(Some((&buffer[..length], fds))),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) if is_to_be_repeated(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The socket itself, for `getsockopt` and the like.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn is_to_be_repeated(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
