//! What `master` tells `smtpd` over the socket that is smtpd's standard input, beside the replies about passwords
//! (`accounts::check`): the listening sockets, and the certificate with its key whenever that changes.
//!
//! Layout: `'L'` and one octet per descriptor saying which service it is; `'T'` with two descriptors, certificate and key.

use std::os::fd::OwnedFd;

/// Which SMTP this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Port 25: from servers, and from clients of our networks.
    Smtp,
    /// Port 587: users, after AUTH.
    Submission,
    /// Port 465: as submission, TLS from the first octet.
    Smtps,
    /// `content_filter_reinject`: mail that comes back from a content filter.
    Reinject,
}

/// A message from master.
#[derive(Debug)]
pub enum Order {
    /// Serve these. Sent once.
    Listen(Vec<(Service, OwnedFd)>),
    /// Use this certificate and key, both open for reading.
    Certificate(OwnedFd, OwnedFd),
    /// Some other message, such as a reply about a password.
    Other,
}

impl Service {
    /// Those with a port that everybody knows.
    pub const ALL: [Self; 3] = [Self::Smtp, Self::Submission, Self::Smtps];

    /// As in `smtpd_services`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Smtps => "smtps",
            Self::Reinject => "reinject",
        }
    }

    /// The standard port, if there is one.
    #[must_use]
    pub const fn port(self) -> Option<u16> {
        match self {
            Self::Smtp => Some(25),
            Self::Submission => Some(587),
            Self::Smtps => Some(465),
            Self::Reinject => None,
        }
    }

    /// Users send here, after AUTH.
    #[must_use]
    pub const fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Smtps)
    }

    fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Reinject]).find(|service| *service as u8 == octet)
    }
}

/// The message that hands over listening sockets of these services, in the order of the descriptors.
#[must_use]
pub fn listen(services: &[Service]) -> Vec<u8> {
    std::iter::once(LISTEN).chain(services.iter().map(|service| *service as u8)).collect()
}

/// The message that hands over certificate and key.
#[must_use]
pub const fn certificate() -> [u8; 1] {
    [CERTIFICATE]
}

/// Reads a message. `None`: it claims to be one of these and is not.
#[must_use]
pub fn read(message: &[u8], descriptors: Vec<OwnedFd>) -> Option<Order> {
    match message {
        [LISTEN, services @ ..] if services.len() == descriptors.len() => {
            let pairs = services.iter().zip(descriptors);
            pairs
                .map(|(octet, fd)| Service::from_octet(*octet).map(|service| (service, fd)))
                .collect::<Option<_>>()
                .map(Order::Listen)
        }
        [CERTIFICATE] => match <[OwnedFd; 2]>::try_from(descriptors) {
            Ok([certificate, key]) => Some(Order::Certificate(certificate, key)),
            Err(_) => None,
        },
        [LISTEN | CERTIFICATE, ..] => None,
        _ => Some(Order::Other),
    }
}

const LISTEN: u8 = b'L';
const CERTIFICATE: u8 = b'T';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_keep_their_services() {
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("open"));
        let message = listen(&[Service::Reinject, Service::Smtp]);
        let Some(Order::Listen(got)) = read(&message, vec![fd(), fd()]) else { panic!("no listeners") };
        assert_eq!(got.iter().map(|(service, _)| *service).collect::<Vec<_>>(), [Service::Reinject, Service::Smtp]);
        assert!(read(&message, vec![fd()]).is_none());
        assert!(read(&certificate(), vec![fd()]).is_none());
        assert!(matches!(read(&certificate(), vec![fd(), fd()]), Some(Order::Certificate(..))));
        assert!(matches!(read(b"A", Vec::new()), Some(Order::Other)));
    }
}
