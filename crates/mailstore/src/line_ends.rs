//! LF on disk, CRLF for clients.

use std::borrow::Cow;

/// With every bare line feed as CRLF.
pub(crate) fn to_crlf(octets: Vec<u8>) -> Vec<u8> {
    widen(octets, 0)
}

/// The same for a piece that follows the octet `last`.
pub(crate) fn widen(octets: Vec<u8>, last: u8) -> Vec<u8> {
    let count = Bare::after(last).count(&octets);
    if count == 0 {
        return octets;
    }
    let mut out = Vec::with_capacity(octets.len() + usize::try_from(count).unwrap_or(0));
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', &octets) {
        out.extend_from_slice(&octets[from..at]);
        let before = if at == 0 { last } else { octets[at - 1] };
        if before != b'\r' {
            out.push(b'\r');
        }
        from = at;
    }
    out.extend_from_slice(&octets[from..]);
    out
}

/// With every CRLF as a line feed.
pub(crate) fn to_lf(octets: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(octets, b"\r\n").is_none() {
        return Cow::Borrowed(octets);
    }
    let mut out = Vec::with_capacity(octets.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(octets, b"\r\n") {
        out.extend_from_slice(&octets[from..at]);
        from = at + 1;
    }
    out.extend_from_slice(&octets[from..]);
    Cow::Owned(out)
}

/// Counts line feeds with no carriage return before them, chunk by chunk.
#[derive(Default)]
pub(crate) struct Bare {
    last: u8,
}

impl Bare {
    /// Begins after this octet.
    pub(crate) const fn after(last: u8) -> Self {
        Self { last }
    }

    /// The octet counted last.
    pub(crate) const fn last(&self) -> u8 {
        self.last
    }

    pub(crate) fn count(&mut self, chunk: &[u8]) -> u64 {
        let mut bare = 0;
        for at in memchr::memchr_iter(b'\n', chunk) {
            let before = if at == 0 { self.last } else { chunk[at - 1] };
            bare += u64::from(before != b'\r');
        }
        self.last = chunk.last().copied().unwrap_or(self.last);
        bare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (lf, crlf) in [("", ""), ("\n", "\r\n"), ("a\nb", "a\r\nb"), ("a\rb\n\n", "a\rb\r\n\r\n")] {
            assert_eq!(to_crlf(lf.into()), crlf.as_bytes());
            assert_eq!(to_lf(crlf.as_bytes()), lf.as_bytes());
        }
        assert_eq!(to_crlf(b"a\r\nb\n".to_vec()), b"a\r\nb\r\n");
        let mut bare = Bare::default();
        assert_eq!((bare.count(b"a\r"), bare.count(b"\nb\n")), (0, 1));
    }
}
