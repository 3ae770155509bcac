//! What the peer offers, from its reply to EHLO or LHLO (RFC 5321 §4.1.1.1).

use alloc::vec::Vec;

use sasl::client::Mechanism;

use super::reply::Heard;

/// The extensions that we know how to use.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// RFC 2920
    pub(super) pipelining: bool,
    /// RFC 1870: offered, with a limit or without.
    pub(super) size: Option<Option<u64>>,
    /// RFC 6152
    pub(super) eight_bit: bool,
    /// RFC 3030, both parts of it.
    chunking: bool,
    binary: bool,
    /// RFC 6531
    pub(super) smtputf8: bool,
    /// RFC 3461
    pub(super) dsn: bool,
    /// RFC 3207
    pub(super) starttls: bool,
    /// RFC 4954: offered, with those mechanisms that we know.
    pub(super) auth: Option<Vec<Mechanism>>,
}

impl Peer {
    /// `ehlo-line = ehlo-keyword *( SP ehlo-param )`, one per line after the first.
    pub(super) fn read(heard: &Heard, discarded: &[alloc::string::String]) -> Self {
        let mut peer = Self::default();
        for line in heard.lines().skip(1) {
            // `AUTH=LOGIN`: what servers said before the RFC, and some still do.
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            if !discarded.iter().any(|word| word.eq_ignore_ascii_case(keyword)) {
                peer.note(keyword, words);
            }
        }
        peer
    }

    fn note<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>) {
        match keyword.to_ascii_uppercase().as_str() {
            "8BITMIME" => self.eight_bit = true,
            "AUTH" => self.auth.get_or_insert_default().extend(words.filter_map(Mechanism::parse)),
            "BINARYMIME" => self.binary = true,
            "CHUNKING" => self.chunking = true,
            "DSN" => self.dsn = true,
            "PIPELINING" => self.pipelining = true,
            "SIZE" => {
                let limit = words.next().and_then(|word| word.parse().ok());
                self.size = Some(limit.filter(|limit| *limit > 0));
            }
            "SMTPUTF8" => self.smtputf8 = true,
            "STARTTLS" => self.starttls = true,
            _ => {}
        }
    }

    /// Binary content can be sent, which needs chunks.
    pub(super) const fn takes_binary(&self) -> bool {
        self.chunking && self.binary
    }

    /// The most it takes.
    pub(super) fn size_limit(&self) -> Option<u64> {
        self.size.flatten()
    }
}
