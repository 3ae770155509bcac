//! Messages with descriptors between our own processes, asynchronously, over a unix `SEQPACKET` socket.
//!
//! A message is at most [`channel::MAX_PACKET`] octets. The other side is a process of ours, yet what it says is parsed as hostile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::channel;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One end of a connection; both directions may be used at the same time.
#[derive(Debug)]
pub struct Channel {
    /// Watched for what comes in alone: a socket of this family tells whoever watches for room of each message that the other
    /// side takes, which would wake a program for nothing once for each message it has sent.
    socket: AsyncFd<OwnedFd>,
}

impl Channel {
    /// Wraps a connected `SEQPACKET` socket. Needs the runtime.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking or watched.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        channel::do_not_block(&socket)?;
        Ok(Self { socket: watched(socket, Interest::READABLE)? })
    }

    /// The channel a program got from its parent as standard input.
    ///
    /// # Errors
    /// When standard input is no such socket.
    pub fn inherited() -> io::Result<Self> {
        Self::new(channel::inherited()?)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match channel::send(&self.socket, message, fds) {
            Err(e) if is_to_be_repeated(&e) => self.send_when_there_is_room(message, fds).await,
            result => result,
        }
    }

    /// As [`Channel::send`], for those who also listen: that the other side is gone they hear from [`Channel::receive`], after
    /// all that it said before.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn send_unless_gone(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match self.send(message, fds).await {
            Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(()),
            result => result,
        }
    }

    async fn send_when_there_is_room(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let socket = watched(self.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?;
        loop {
            match socket.async_io(Interest::WRITABLE, |socket| channel::send(socket, message, fds)).await {
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
            match self.socket.async_io(Interest::READABLE, |socket| channel::receive(socket, buffer)).await {
                Ok((0, _)) => return Ok(None),
                Ok((length, fds)) => return Ok(Some((&buffer[..length], fds))),
                // It went without having read all of what we sent. That is told once, before what it had said.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset || is_to_be_repeated(&e) => {}
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

#[allow(deprecated, reason = "unsound only for what is closed while it is watched, which a descriptor we own is not")]
fn watched(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

fn is_to_be_repeated(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (here, there) = channel::pair().expect("pair");
        (Channel::new(here).expect("channel"), Channel::new(there).expect("channel"))
    }

    #[tokio::test]
    async fn what_has_no_room_waits_for_it() {
        let (here, there) = pair();
        let sender = tokio::spawn(async move {
            for number in 0..200_u8 {
                here.send(&vec![number; 30_000], &[]).await.expect("sent");
            }
        });
        // Nothing is taken before the sender waits.
        tokio::task::yield_now().await;
        let mut buffer = vec![0; channel::MAX_PACKET];
        for number in 0..200 {
            let (octets, _) = there.receive(&mut buffer).await.expect("received").expect("not the end");
            assert_eq!((octets.len(), octets[0]), (30_000, number));
        }
        sender.await.expect("sender");
        assert!(there.receive(&mut buffer).await.expect("the end").is_none());
    }

    #[tokio::test]
    async fn what_was_said_before_the_end_is_heard() {
        let (here, there) = pair();
        for number in 0..3 {
            there.send(&[number], &[]).await.expect("sent");
        }
        // It goes with something unread.
        here.send(b"never read", &[]).await.expect("sent");
        drop(there);
        let mut buffer = vec![0; channel::MAX_PACKET];
        for number in 0..3 {
            let (octets, _) = here.receive(&mut buffer).await.expect("received").expect("not the end");
            assert_eq!(octets, [number]);
            here.send_unless_gone(b"to nobody", &[]).await.expect("no failure");
        }
        assert!(here.receive(&mut buffer).await.expect("the end").is_none());
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_of_the_end() {
        let (here, there) = pair();
        let sender = tokio::spawn(async move {
            loop {
                if let Err(error) = here.send(&[7; 30_000], &[]).await {
                    return error;
                }
            }
        });
        tokio::task::yield_now().await;
        drop(there);
        let heard = sender.await.expect("sender").kind();
        assert!(matches!(heard, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{heard:?}");
    }
}
