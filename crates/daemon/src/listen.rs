//! Listening sockets: bound by the program that may, handed as descriptors to the one that speaks.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::TcpStream;

/// Why a port could not be bound; its text is the one line the operator reads.
#[derive(Debug)]
pub enum Error {
    /// Another program has it.
    Taken(SocketAddr),
    /// Ports under 1024 need root.
    Forbidden(SocketAddr),
    /// The address is not ours, or the system refuses otherwise.
    Refused(SocketAddr, Errno),
    /// A name in `inet_interfaces` that does not resolve.
    Unresolved(String),
}

/// The addresses `inet_interfaces` stands for: `all`, `loopback-only`, or addresses and host names.
///
/// # Errors
/// When a name has no address.
pub fn interfaces(list: &[String]) -> Result<Vec<IpAddr>, Error> {
    let mut found = Vec::new();
    for name in list {
        match name.as_str() {
            "all" => found.extend([IpAddr::V4(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()]),
            "loopback-only" => found.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]),
            name => {
                let bare = name.trim_start_matches('[').trim_end_matches(']');
                let resolved = (bare, 0).to_socket_addrs().map_err(|_| Error::Unresolved(name.into()))?;
                found.extend(resolved.map(|address| address.ip()));
            }
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|address| seen.insert(*address));
    Ok(found)
}

/// Binds one port on each address. An IPv6 address on a machine without IPv6 is passed over if another one works.
///
/// # Errors
/// The first port that cannot be had.
pub fn bind_each(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, Error> {
    let mut bound = Vec::new();
    let mut passed_over = None;
    for address in addresses {
        match bind(SocketAddr::new(*address, port)) {
            Ok(listener) => bound.push(listener),
            Err(e) if address.is_ipv6() && e.is_no_such_address() => passed_over = Some(e),
            Err(e) => return Err(e),
        }
    }
    match passed_over {
        Some(e) if bound.is_empty() => Err(e),
        _ => Ok(bound),
    }
}

/// Binds one address: address reuse on, IPv6 apart from IPv4, non-blocking.
///
/// # Errors
/// See [`Error`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = bound(address).map_err(|errno| match errno {
        Errno::ADDRINUSE => Error::Taken(address),
        Errno::ACCESS => Error::Forbidden(address),
        errno => Error::Refused(address, errno),
    })?;
    Ok(TcpListener::from(socket))
}

fn bound(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    net::bind(&fd, &address)?;
    net::listen(&fd, BACKLOG)?;
    Ok(fd)
}

/// A listening socket received from the program that bound it. Needs the runtime.
///
/// # Errors
/// When it is no listening TCP socket.
pub fn adopt(descriptor: OwnedFd) -> io::Result<Acceptor> {
    let listener = TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    // Accepted connections inherit it: replies are gathered already, none must wait for the last one's receipt.
    sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(Acceptor { listener: tokio::net::TcpListener::from_std(listener)?, spare: spare() })
}

/// Accepts connections, keeping one descriptor back for bad times.
#[derive(Debug)]
pub struct Acceptor {
    listener: tokio::net::TcpListener,
    spare: Option<std::fs::File>,
}

/// What came in.
#[derive(Debug)]
pub enum Accepted {
    /// A new client.
    Client(TcpStream, SocketAddr),
    /// A new client that got the last descriptor: say why and close it at once.
    LastDescriptor(TcpStream),
}

impl Acceptor {
    /// The local address.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next client. Clients that left before they were seen are passed over.
    ///
    /// # Errors
    /// Only what waiting cannot mend.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.spare = self.spare.take().or_else(spare);
                    return Ok(Accepted::Client(stream, peer));
                }
                Err(e) if matches!(e.raw_os_error(), Some(EMFILE | ENFILE)) => {
                    if self.spare.take().is_none() {
                        tokio::time::sleep(PAUSE).await;
                        self.spare = spare();
                        continue;
                    }
                    let accepted = self.listener.accept().await;
                    if let Ok((stream, _)) = accepted {
                        return Ok(Accepted::LastDescriptor(stream));
                    }
                }
                Err(e) if e.raw_os_error() == Some(EINVAL) => return Err(e),
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

fn spare() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}

const EINVAL: i32 = Errno::INVAL.raw_os_error();
const EMFILE: i32 = Errno::MFILE.raw_os_error();
const ENFILE: i32 = Errno::NFILE.raw_os_error();
/// The kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;
/// Out of descriptors, memory or buffers: others must finish first.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl Error {
    fn is_no_such_address(&self) -> bool {
        matches!(self, Self::Refused(_, Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(a) => write!(f, "port {} on {} is in use by another program", a.port(), a.ip()),
            Self::Forbidden(a) => write!(f, "port {} on {} needs root (or a port_offset)", a.port(), a.ip()),
            Self::Refused(a, errno) => write!(f, "port {} on {}: {}", a.port(), a.ip(), io::Error::from(*errno)),
            Self::Unresolved(name) => write!(f, "inet_interfaces: the name {name} has no address"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let first = bind("127.0.0.1:0".parse().expect("address")).expect("bind");
        let address = first.local_addr().expect("address");
        let error = bind(address).expect_err("taken").to_string();
        assert_eq!(error, format!("port {} on 127.0.0.1 is in use by another program", address.port()));
    }

    #[test]
    fn interfaces_as_people_write_them() {
        let of = |list: &[&str]| interfaces(&list.iter().map(|s| (*s).into()).collect::<Vec<String>>());
        assert_eq!(of(&["loopback-only"]).expect("both").len(), 2);
        assert_eq!(of(&["127.0.0.1", "127.0.0.1", "[::1]"]).expect("two").len(), 2);
        assert!(of(&["no-such-host.invalid"]).is_err());
    }
}
