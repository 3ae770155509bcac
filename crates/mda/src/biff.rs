//! `biff`: tells comsat, where it runs, that a user has new mail. One datagram to this machine, whose answer nobody awaits.

use std::net::{Ipv4Addr, UdpSocket};

/// UDP, as in `/etc/services`.
const COMSAT: u16 = 512;

/// `user@offset`: where in his mailbox the message begins; a Maildir has no such place. Whether anybody listens does not
/// matter.
pub fn notify(user: &str, offset: u64) {
    tell(user, offset, COMSAT);
}

fn tell(user: &str, offset: u64, port: u16) {
    if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
        let _ = socket.send_to(format!("{user}@{offset}").as_bytes(), (Ipv4Addr::LOCALHOST, port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comsat_hears_of_it_and_its_absence_is_no_trouble() {
        let comsat = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = comsat.local_addr().expect("an address").port();
        tell("kevin", 42, port);
        let mut buffer = [0; 64];
        let (length, _) = comsat.recv_from(&mut buffer).expect("a word");
        assert_eq!(&buffer[..length], b"kevin@42");
        drop(comsat);
        tell("kevin", 42, port);
    }
}
