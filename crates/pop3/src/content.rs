//! A message on its way out: dots stuffed (RFC 1939 §3), a last line end supplied, cut short for TOP.

use alloc::vec::Vec;

use bytes::Bytes;
use wire::Effect;

/// How much of a message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// The header, the empty line, and this many lines.
    Top(u64),
}

/// The state between chunks.
#[derive(Debug)]
pub(crate) struct Content {
    part: Part,
    in_header: bool,
    /// Octets of the present line so far, a CR not counted.
    line: u64,
    at_line_start: bool,
    /// Octets sent.
    pub(crate) sent: u64,
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    Wanted,
    Enough,
}

impl Content {
    pub(crate) const fn new(part: Part) -> Self {
        Self { part, in_header: true, line: 0, at_line_start: true, sent: 0 }
    }

    /// Sends what is wanted of a chunk.
    pub(crate) fn chunk<Q>(&mut self, chunk: Bytes, effects: &mut Vec<Effect<Q>>) -> More {
        let (chunk, more) = match self.cut(&chunk) {
            Some(end) => (chunk.slice(..end), More::Enough),
            None => (chunk, More::Wanted),
        };
        let mut from = 0;
        for dot in memchr::memchr_iter(b'.', &chunk) {
            let starts_line = match dot.checked_sub(1) {
                Some(before) => chunk[before] == b'\n',
                None => self.at_line_start,
            };
            if starts_line {
                self.send(chunk.slice(from..dot), effects);
                self.send(Bytes::from_static(b"."), effects);
                from = dot;
            }
        }
        self.at_line_start = chunk.last().map_or(self.at_line_start, |last| *last == b'\n');
        self.send(chunk.slice(from..), effects);
        more
    }

    /// Ends the multi-line reply.
    pub(crate) fn end<Q>(&mut self, effects: &mut Vec<Effect<Q>>) {
        if !self.at_line_start {
            self.send(Bytes::from_static(b"\r\n"), effects);
        }
        effects.push(Effect::Send(Bytes::from_static(b".\r\n")));
    }

    fn send<Q>(&mut self, octets: Bytes, effects: &mut Vec<Effect<Q>>) {
        if !octets.is_empty() {
            self.sent += octets.len() as u64;
            effects.push(Effect::Send(octets));
        }
    }

    /// Where TOP has enough, if it is in this chunk.
    fn cut(&mut self, chunk: &[u8]) -> Option<usize> {
        let Part::Top(wanted) = &mut self.part else { return None };
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let line = &chunk[from..end];
            let length = self.line + line.len() as u64 - u64::from(line.last() == Some(&b'\r'));
            from = end + 1;
            self.line = 0;
            if self.in_header {
                self.in_header = length > 0;
            } else {
                *wanted = wanted.saturating_sub(1);
            }
            if !self.in_header && *wanted == 0 {
                return Some(from);
            }
        }
        let rest = &chunk[from..];
        self.line += rest.len() as u64 - u64::from(rest.last() == Some(&b'\r'));
        None
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn sent(message: &[u8], part: Part, cuts: &[usize]) -> Vec<u8> {
        let mut content = Content::new(part);
        let mut effects: Vec<Effect<()>> = vec![];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (message.len() + 1)).collect();
        cuts.extend([0, message.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            let chunk = Bytes::copy_from_slice(&message[pair[0]..pair[1]]);
            if content.chunk(chunk, &mut effects) == More::Enough {
                break;
            }
        }
        content.end(&mut effects);
        let mut all = vec![];
        for effect in effects {
            if let Effect::Send(octets) = effect {
                all.extend_from_slice(&octets);
            }
        }
        all
    }

    #[test]
    fn dots_line_ends_and_tops() {
        let message = b"A: b\r\n\r\n.one\r\n..two\r\n.";
        assert_eq!(sent(message, Part::Whole, &[]), b"A: b\r\n\r\n..one\r\n...two\r\n..\r\n.\r\n");
        assert_eq!(sent(message, Part::Top(0), &[]), b"A: b\r\n\r\n.\r\n");
        assert_eq!(sent(message, Part::Top(1), &[]), b"A: b\r\n\r\n..one\r\n.\r\n");
        assert_eq!(sent(message, Part::Top(9), &[]), sent(message, Part::Whole, &[]));
        assert_eq!(sent(b"", Part::Whole, &[]), b".\r\n");
        assert_eq!(sent(b"only: header\r\n", Part::Top(3), &[]), b"only: header\r\n.\r\n");
        assert_eq!(sent(b"\r\nbody\r\n", Part::Top(0), &[]), b"\r\n.\r\n");
    }

    /// What a client makes of it.
    fn unstuffed(sent: &[u8]) -> Vec<u8> {
        let body = sent.strip_suffix(b".\r\n").expect("ends with the lone dot");
        let mut message = vec![];
        for line in body.split_inclusive(|octet| *octet == b'\n') {
            assert_ne!(line, b".\r\n");
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        message
    }

    proptest! {
        #[test]
        fn a_client_gets_the_message_back_however_it_is_cut(
            lines in prop::collection::vec("[.a]{0,3}", 0..12), cuts in prop::collection::vec(any::<usize>(), 0..6), top in 0u64..5
        ) {
            let message = lines.iter().fold(vec![], |text, line| [&text[..], line.as_bytes(), b"\r\n"].concat());
            prop_assert_eq!(unstuffed(&sent(&message, Part::Whole, &cuts)), message.clone());
            prop_assert_eq!(sent(&message, Part::Top(top), &cuts), sent(&message, Part::Top(top), &[]));
        }
    }
}
