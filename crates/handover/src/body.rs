//! What comes with an order or a task: the open queue file, or the octets of a small one, in the same packet.
//!
//! A file in memory costs more than it holds when it is small: it is made, passed on three times, and read, each by a call of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::packet::{Malformed, Reader, Writer};

/// The most octets that go in a packet; larger ones go as a descriptor.
pub const MOST_ENCLOSED: usize = 16 * 1024;

/// A queue file.
#[derive(Clone, Debug)]
pub enum Body {
    /// Open.
    File(Arc<OwnedFd>),
    /// All of it.
    Enclosed(Arc<[u8]>),
}

impl Body {
    /// Ends a packet with what is enclosed.
    pub fn write(&self, to: &mut Writer) {
        if let Self::Enclosed(octets) = self {
            to.octets_to_the_end(octets);
        }
    }

    /// What goes with the packet of a file.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::File(file) => Some(file.as_fd()),
            Self::Enclosed(_) => None,
        }
    }

    /// The open file, of somebody who expects one.
    ///
    /// # Errors
    /// When it is enclosed.
    pub fn into_file(self) -> Result<OwnedFd, Malformed> {
        match self {
            Self::File(file) => Arc::into_inner(file).ok_or(Malformed),
            Self::Enclosed(_) => Err(Malformed),
        }
    }

    /// Reads what ends a packet, or takes the descriptor that came with it.
    ///
    /// # Errors
    /// When there is neither, or both.
    pub fn read(from: &mut Reader<'_>, mut descriptors: Vec<OwnedFd>) -> Result<Self, Malformed> {
        let octets = from.octets_to_the_end();
        match (descriptors.pop(), octets) {
            (Some(file), []) if descriptors.is_empty() => Ok(Self::File(Arc::new(file))),
            (None, [_, ..]) => Ok(Self::Enclosed(octets.into())),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("opened").into()
    }

    #[test]
    fn a_body_is_in_the_packet_or_beside_it() {
        let mut packet = Writer::default();
        packet.number(7);
        let enclosed = Body::Enclosed((*b"octets").into());
        enclosed.write(&mut packet);
        assert!(enclosed.descriptor().is_none());
        let mut reader = Reader::new(packet.octets());
        assert_eq!(reader.number(), Ok(7));
        assert!(matches!(Body::read(&mut reader, Vec::new()), Ok(Body::Enclosed(octets)) if *octets == *b"octets"));
        assert!(reader.is_empty());
        packet.clear();
        let file = Body::File(Arc::new(descriptor()));
        file.write(&mut packet);
        assert!(file.descriptor().is_some() && packet.is_empty());
        assert!(matches!(Body::read(&mut Reader::new(b""), vec![descriptor()]), Ok(Body::File(_))));
    }

    #[test]
    fn none_two_or_both_are_refused() {
        for (octets, descriptors) in [(&b""[..], 0), (b"", 2), (b"x", 1)] {
            let descriptors = (0..descriptors).map(|_| descriptor()).collect();
            assert!(matches!(Body::read(&mut Reader::new(octets), descriptors), Err(Malformed)));
        }
    }
}
