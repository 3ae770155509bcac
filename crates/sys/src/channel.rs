//! Packets with open descriptors between our programs, over a local socket (`AF_UNIX`, `SOCK_SEQPACKET`, `SCM_RIGHTS`).
//!
//! A packet arrives whole or not at all, and its descriptors arrive owned and close-on-exec. A packet that was cut, or
//! whose descriptors were cut, is an error: the two ends do not agree and the connection is dropped.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// The longest packet.
pub const MAX_PACKET: usize = 64 * 1024;
/// The most descriptors in one packet.
pub const MAX_DESCRIPTORS: usize = 64;

/// Two connected ends, both blocking.
///
/// # Errors
/// When the system has no more descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The end a program got from its parent as standard input.
///
/// # Errors
/// When standard input is closed.
pub fn inherited() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// A socket that listens at `path`, taking the place of a dead one there. Not blocking.
///
/// # Errors
/// When the directory cannot be written or the path is longer than a socket's name may be.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

/// The next connection to a socket from [`listen`]. Not blocking.
///
/// # Errors
/// `WouldBlock` when there is none.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?)
}

/// A connection to the program that listens at `path`. Not blocking.
///
/// # Errors
/// When nobody listens there.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    // Not more than net.core.wmem_max, which is enough.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, ROOM);
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// What may be under way on a connection before the sender waits, in octets.
const ROOM: usize = 1024 * 1024;

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Makes calls on `socket` fail with `WouldBlock` instead of waiting.
///
/// # Errors
/// Never, on a socket.
pub fn do_not_block(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

/// Sends one packet, with descriptors.
///
/// # Errors
/// `WouldBlock` when the other end is behind; `BrokenPipe` when it is gone. Nothing was sent then. An empty packet is refused (it
/// would read as the end), and one longer than [`MAX_PACKET`], which would cost the other end the whole conversation.
pub fn send(socket: impl AsFd, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut extra = SendAncillaryBuffer::new(&mut space);
    let sendable = (1..=MAX_PACKET).contains(&packet.len());
    if !sendable || !descriptors.is_empty() && !extra.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        return match rustix::net::sendmsg(&socket, &[IoSlice::new(packet)], &mut extra, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Receives one packet into `buffer`: its length and its descriptors. Length 0: the other end is gone.
///
/// # Errors
/// `WouldBlock` when there is none yet; `InvalidData` when it did not fit; once `ConnectionReset` when the other end went without
/// reading all it was sent, which comes before what it said until then.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket, buffer, RecvFlags::CMSG_CLOEXEC)
}

/// As [`receive`], but `None` at once when there is no packet.
///
/// # Errors
/// As [`receive`].
pub fn receive_now(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    match receive_with(socket, buffer, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

fn receive_with(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(&socket, &mut slices, &mut extra, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in extra.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            descriptors.extend(list);
        }
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((got.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_packet_brings_its_descriptor() {
        let (here, there) = pair().expect("a pair");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"hello").expect("written");
        send(&here, b"one", &[file.as_fd()]).expect("sent");
        send(&here, b"two", &[]).expect("sent");
        let mut buffer = [0; 16];
        let (length, mut descriptors) = receive(&there, &mut buffer).expect("received");
        assert_eq!((&buffer[..length], descriptors.len()), (&b"one"[..], 1));
        let mut passed = std::fs::File::from(descriptors.remove(0));
        let mut text = String::new();
        passed.rewind().expect("rewound");
        passed.read_to_string(&mut text).expect("read");
        assert_eq!(text, "hello");
        assert_eq!(receive(&there, &mut buffer).expect("received").0, 3);
        assert!(receive_now(&there, &mut buffer).expect("nothing yet").is_none());
        drop(here);
        assert_eq!(receive(&there, &mut buffer).expect("the end").0, 0);
    }

    #[test]
    fn what_was_said_comes_after_the_word_that_not_all_was_read() {
        let (here, there) = pair().expect("a pair");
        send(&there, b"said", &[]).expect("sent");
        send(&here, b"never read", &[]).expect("sent");
        assert_eq!(send(&here, b"", &[]).expect_err("nothing").kind(), io::ErrorKind::InvalidInput);
        drop(there);
        let mut buffer = [0; 16];
        assert_eq!(receive(&here, &mut buffer).expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        assert_eq!([(); 2].map(|()| receive(&here, &mut buffer).expect("received").0), [4, 0]);
    }

    #[test]
    fn a_packet_that_does_not_fit_is_an_error() {
        let (here, there) = pair().expect("a pair");
        send(&here, &[7; 32], &[]).expect("sent");
        let error = receive(&there, &mut [0; 16]).expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = send(&here, &[7; MAX_PACKET + 1], &[]).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(receive_now(&there, &mut [0; 16]).expect("nothing came").is_none());
    }
}
