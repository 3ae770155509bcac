//! Messages with open descriptors over a unix socket (`SCM_RIGHTS`), the receiver owning what it gets.
//!
//! A received descriptor is closed on exec and closed when dropped; more than [`MOST`] in one message are refused.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Descriptors in one message.
pub const MOST: usize = 64;

/// Two connected sockets that keep message borders, both closed on exec.
///
/// # Errors
/// When descriptors are short.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The socket a program got from its parent as standard input.
///
/// # Errors
/// When standard input is closed.
pub fn inherited() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Sends one message with these descriptors; `WouldBlock` on a non-blocking socket that is full.
///
/// # Errors
/// Those of `sendmsg`; a message of nothing at all is refused, since it would read as the end.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if message.is_empty() || descriptors.len() > MOST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one message into `buffer`: its length (0: the peer is gone) and its descriptors.
///
/// # Errors
/// Those of `recvmsg`; a message longer than `buffer` or with too many descriptors is `InvalidData`.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        })
        .flatten()
        .collect();
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((got.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_file_travels_with_its_message() {
        let (here, there) = pair().expect("pair");
        let file = std::fs::File::open("/proc/self/comm").expect("open");
        send(&here, b"read this", &[file.as_fd()]).expect("send");
        let mut buffer = [0; 64];
        let (length, mut got) = receive(&there, &mut buffer).expect("receive");
        assert_eq!(&buffer[..length], b"read this");
        let mut text = String::new();
        std::fs::File::from(got.remove(0)).read_to_string(&mut text).expect("read");
        assert!(!text.is_empty() && got.is_empty());
        drop(here);
        assert_eq!(receive(&there, &mut buffer).expect("end").0, 0);
    }

    #[test]
    fn a_message_too_long_is_refused() {
        let (here, there) = pair().expect("pair");
        send(&here, &[7; 100], &[]).expect("send");
        assert_eq!(receive(&there, &mut [0; 10]).expect_err("cut").kind(), io::ErrorKind::InvalidData);
    }
}
