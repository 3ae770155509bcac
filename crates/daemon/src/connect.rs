//! Connections we make: TCP or a local socket, with a time limit and, if wanted, from a certain address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

/// A connection.
#[derive(Debug)]
pub enum Socket {
    /// To an address.
    Tcp(TcpStream),
    /// To a program on this machine.
    Unix(UnixStream),
}

/// Connects to an address, from this one of ours if it is of the same family.
///
/// # Errors
/// The system's, or that the time is up.
pub async fn tcp(address: SocketAddr, from: Option<IpAddr>, limit: Duration) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(from) = from.filter(|from| from.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = timeout(limit, socket.connect(address)).await.map_err(|_| timed_out())??;
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

/// Connects to a local socket.
///
/// # Errors
/// The system's, or that the time is up.
pub async fn unix(path: &Path, limit: Duration) -> io::Result<Socket> {
    timeout(limit, UnixStream::connect(path)).await.map_err(|_| timed_out())?.map(Socket::Unix)
}

/// Why it failed, in the system's words: `Connection refused`.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// The trouble is this machine's: no descriptors, no memory, no such address to bind to.
#[must_use]
pub fn is_ours(error: &io::Error) -> bool {
    use Errno::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    let number = error.raw_os_error().map(Errno::from_raw);
    number.is_some_and(|number| [EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&number))
}

fn timed_out() -> io::Error {
    io::Error::from(Errno::ETIMEDOUT)
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reason_is_the_system_s() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = taken.local_addr().expect("address");
        let second = Duration::from_secs(1);
        let from: IpAddr = [127, 0, 0, 9].into();
        let Ok(Socket::Tcp(stream)) = tcp(address, Some(from), second).await else { panic!("not connected") };
        assert_eq!(stream.local_addr().expect("address").ip(), from);
        drop(taken);
        let error = tcp(address, None, second).await.expect_err("refused");
        assert_eq!(reason(&error), "Connection refused");
        assert_eq!(reason(&timed_out()), "Connection timed out");
        assert!(is_ours(&io::Error::from(Errno::EMFILE)) && !is_ours(&error));
        let error = unix(Path::new("/nowhere/lmtp"), second).await.expect_err("missing");
        assert_eq!(reason(&error), "No such file or directory");
    }
}
