//! The one line reader: octets in, [`Piece`]s out, under limits.
//!
//! Promise: however the network splits the octets, the pieces are the same (a body may only be cut into other
//! chunks); memory stays within what one [`Reader::feed`] brought plus one unfinished line; no octet is looked at
//! more than a constant number of times. Nothing here fails: an over-long line is a piece like any other.
//!
//! **Bodies** ([`Framing::Dot`], RFC 5321 §4.5.2) come out with LF line ends and without the sender's extra dots.
//! - `Dot(CrLf)`: only `CR LF . CR LF` ends the message, and only a dot after `CR LF` is stuffing.
//!   A bare LF becomes a line end in what is stored, but never begins a line as far as dots are concerned, so that
//!   no two servers can disagree about where the message ended.
//! - `Dot(Lf)`: LF ends lines, `LF . LF` ends the message; a CR just before LF is dropped.
//! - In both a bare CR becomes a space and a NUL stays; [`Oddities`] at the end says what was seen.
//!
//! **Lines** end with LF or CR LF; which one is told. After a body the reader goes back to lines by itself, with the
//! limit last set.

use alloc::vec::Vec;
use core::mem;

/// How the stream is cut into inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Lines of at most `limit` octets, their end not counted.
    Line {
        /// Octets before the line end.
        limit: usize,
    },
    /// Exactly this many octets.
    Octets(u64),
    /// An SMTP message up to the lone dot, unstuffed.
    Dot(LineEnd),
}

/// What ended a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// CR LF
    CrLf,
    /// A bare LF
    Lf,
}

/// What a body held that RFC 5321 §2.3.8 does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// A CR without LF; stored as a space.
    pub bare_cr: bool,
    /// An LF without CR in a CRLF session, or a CR LF in a line-feed session.
    pub mixed_ends: bool,
    /// A NUL octet; stored as it is.
    pub nul: bool,
}

/// What the reader found.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line without its end.
    Line(&'a [u8], LineEnd),
    /// A line over the limit; what follows of it will be skipped.
    LineTooLong,
    /// Octets of a body.
    Chunk(&'a [u8]),
    /// The body is complete. Always the default for [`Framing::Octets`].
    ChunkEnd(Oddities),
}

/// Buffers octets from the peer and cuts them.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    /// Octets of `buffer` already given out.
    start: usize,
    /// Octets after `start` known to hold no line end (lines only).
    scanned: usize,
    line_limit: usize,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Lines,
    /// The rest of an over-long line.
    Skipping,
    Octets(u64),
    Dot(Dot),
    /// The end of the message has been read but not yet told.
    DotSeen(Oddities),
}

/// Where we are inside a message.
#[derive(Clone, Copy, Debug)]
struct Dot {
    end: LineEnd,
    line_start: bool,
    odd: Oddities,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(8192)
    }
}

impl Reader {
    /// A reader of lines of at most `line_limit` octets.
    #[must_use]
    pub const fn new(line_limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, line_limit, mode: Mode::Lines }
    }

    /// Adds octets from the peer. Take all pieces before feeding more, else memory grows by what is fed.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// From the next octet not yet given out on, cut this way.
    pub const fn set_framing(&mut self, framing: Framing) {
        self.scanned = 0;
        self.mode = match framing {
            Framing::Line { limit } => {
                self.line_limit = limit;
                // Setting the limit anew must not make the tail of an over-long line a line.
                if matches!(self.mode, Mode::Skipping) { Mode::Skipping } else { Mode::Lines }
            }
            Framing::Octets(count) => Mode::Octets(count),
            Framing::Dot(end) => Mode::Dot(Dot {
                end,
                line_start: true,
                odd: Oddities { bare_cr: false, mixed_ends: false, nul: false },
            }),
        };
    }

    /// The octets received and not yet given out.
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The octets behind the line that [`Reader::next`] will give out, when there are any.
    #[must_use]
    pub fn behind_line(&self) -> Option<&[u8]> {
        if !matches!(self.mode, Mode::Lines) {
            return None;
        }
        let rest = self.buffered();
        let end = self.scanned + memchr::memchr(b'\n', &rest[self.scanned..])?;
        rest.get(end + 1..).filter(|behind| !behind.is_empty())
    }

    /// Takes those octets away, to hand the connection on or to refuse them before TLS.
    #[must_use]
    pub fn take_buffered(&mut self) -> Vec<u8> {
        self.scanned = 0;
        let mut all = mem::take(&mut self.buffer);
        all.drain(..mem::take(&mut self.start));
        all
    }

    /// The next piece, or `None` when more octets are needed.
    #[allow(clippy::should_implement_trait)] // the piece borrows from the reader
    pub fn next(&mut self) -> Option<Piece<'_>> {
        match self.mode {
            Mode::Lines => self.next_line(),
            Mode::Skipping => {
                self.skip();
                if matches!(self.mode, Mode::Lines) { self.next_line() } else { None }
            }
            Mode::Octets(left) => self.next_octets(left),
            Mode::Dot(dot) => self.next_dot(dot),
            Mode::DotSeen(odd) => Some(self.end_body(odd)),
        }
    }

    fn next_line(&mut self) -> Option<Piece<'_>> {
        let (start, rest) = (self.start, &self.buffer[self.start..]);
        let Some(found) = memchr::memchr(b'\n', &rest[self.scanned..]) else {
            self.scanned = rest.len();
            let may_fit = rest.strip_suffix(b"\r").unwrap_or(rest).len() <= self.line_limit;
            return if may_fit { None } else { Some(self.begin_skipping()) };
        };
        let length = self.scanned + found;
        self.scanned = 0;
        self.start += length + 1;
        let line = &self.buffer[start..start + length];
        let (line, end) = line.strip_suffix(b"\r").map_or((line, LineEnd::Lf), |line| (line, LineEnd::CrLf));
        Some(if line.len() > self.line_limit { Piece::LineTooLong } else { Piece::Line(line, end) })
    }

    fn begin_skipping(&mut self) -> Piece<'static> {
        self.mode = Mode::Skipping;
        self.drop_all();
        Piece::LineTooLong
    }

    fn skip(&mut self) {
        match memchr::memchr(b'\n', self.buffered()) {
            None => self.drop_all(),
            Some(at) => {
                self.start += at + 1;
                self.mode = Mode::Lines;
            }
        }
    }

    fn drop_all(&mut self) {
        self.start = self.buffer.len();
        self.scanned = 0;
    }

    fn next_octets(&mut self, left: u64) -> Option<Piece<'_>> {
        if left == 0 {
            return Some(self.end_body(Oddities::default()));
        }
        let start = self.start;
        let here = self.buffer.len() - start;
        if here == 0 {
            return None;
        }
        let take = usize::try_from(left).map_or(here, |left| left.min(here));
        self.mode = Mode::Octets(left - take as u64);
        self.start += take;
        Some(Piece::Chunk(&self.buffer[start..start + take]))
    }

    fn next_dot(&mut self, mut dot: Dot) -> Option<Piece<'_>> {
        let start = self.start;
        let cut = dot.cut(&mut self.buffer[start..]);
        self.start += cut.read;
        self.mode = if cut.ended { Mode::DotSeen(dot.odd) } else { Mode::Dot(dot) };
        match (cut.written, cut.ended) {
            (0, true) => Some(self.end_body(dot.odd)),
            (0, false) => None,
            (written, _) => Some(Piece::Chunk(&self.buffer[start..start + written])),
        }
    }

    const fn end_body(&mut self, odd: Oddities) -> Piece<'static> {
        self.mode = Mode::Lines;
        self.scanned = 0;
        Piece::ChunkEnd(odd)
    }
}

/// How far one pass over the buffer came.
struct Cut {
    read: usize,
    written: usize,
    ended: bool,
}

impl Dot {
    /// Unstuffs `data` in place as far as it is certain; at most `.` `CR` is left for the next octet to decide.
    fn cut(&mut self, data: &mut [u8]) -> Cut {
        let (mut read, mut written) = (0, 0);
        loop {
            if self.line_start {
                match self.dot(&data[read..]) {
                    AtDot::Unclear => return Cut { read, written, ended: false },
                    AtDot::End(length) => return Cut { read: read + length, written, ended: true },
                    AtDot::Stuffed => read += 1,
                    AtDot::Plain => {}
                }
                self.line_start = false;
            }
            let found = memchr::memchr3(b'\r', b'\n', 0, &data[read..]);
            let plain = found.unwrap_or(data.len() - read);
            if read != written {
                data.copy_within(read..read + plain, written);
            }
            read += plain;
            written += plain;
            let Some(taken) = self.odd_octet(&data[read..]) else {
                return Cut { read, written, ended: false };
            };
            data[written] = taken.1;
            read += taken.0;
            written += 1;
        }
    }

    fn dot(&self, rest: &[u8]) -> AtDot {
        match (self.end, rest) {
            (_, [] | [b'.']) | (LineEnd::CrLf, [b'.', b'\r']) => AtDot::Unclear,
            (LineEnd::CrLf, [b'.', b'\r', b'\n', ..]) => AtDot::End(3),
            (LineEnd::Lf, [b'.', b'\n', ..]) => AtDot::End(2),
            (_, [b'.', ..]) => AtDot::Stuffed,
            _ => AtDot::Plain,
        }
    }

    /// At a CR, LF or NUL: how many octets to take, and the one to store for them. `None`: more is needed.
    fn odd_octet(&mut self, rest: &[u8]) -> Option<(usize, u8)> {
        match rest {
            [] | [b'\r'] => None,
            [b'\r', b'\n', ..] => {
                self.line_start = true;
                self.odd.mixed_ends |= self.end == LineEnd::Lf;
                Some((2, b'\n'))
            }
            [b'\r', ..] => {
                self.odd.bare_cr = true;
                Some((1, b' '))
            }
            [b'\n', ..] => {
                self.line_start = self.end == LineEnd::Lf;
                self.odd.mixed_ends |= self.end == LineEnd::CrLf;
                Some((1, b'\n'))
            }
            [octet, ..] => {
                self.odd.nul = true;
                Some((1, *octet))
            }
        }
    }
}

/// What stands at the start of a line.
enum AtDot {
    /// Too few octets to tell.
    Unclear,
    /// The end of the message, this many octets long.
    End(usize),
    /// A dot the sender added.
    Stuffed,
    Plain,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn pieces(reader: &mut Reader) -> String {
        let mut text = String::new();
        while let Some(piece) = reader.next() {
            text += &match piece {
                Piece::Line(line, end) => format!("[{} {end:?}]", line.escape_ascii()),
                Piece::LineTooLong => "[long]".into(),
                Piece::Chunk(chunk) => format!("<{}>", chunk.escape_ascii()),
                Piece::ChunkEnd(odd) => format!("[end{}]", if odd == Oddities::default() { "" } else { " odd" }),
            };
        }
        text
    }

    fn cut(framing: Framing, octets: &[u8]) -> String {
        let mut reader = Reader::new(5);
        reader.set_framing(framing);
        reader.feed(octets);
        pieces(&mut reader)
    }

    #[test]
    fn lines() {
        let framing = Framing::Line { limit: 5 };
        assert_eq!(cut(framing, b"abcde\r\nx\n\r\npart"), "[abcde CrLf][x Lf][ CrLf]");
        assert_eq!(cut(framing, b"abcdef\r\nx\n"), "[long][x Lf]");
        assert_eq!(cut(framing, b"abcdefghij"), "[long]");
        assert_eq!(cut(framing, b"abcde\r"), "");
        assert_eq!(cut(framing, b"abcdef"), "[long]");
    }

    #[test]
    fn an_endless_line_is_told_once_and_takes_no_memory() {
        let mut reader = Reader::new(5);
        reader.feed(b"aaaaaaaaaa");
        assert_eq!(pieces(&mut reader), "[long]");
        for _ in 0..100 {
            reader.feed(&[b'a'; 100]);
            assert_eq!(pieces(&mut reader), "");
            assert!(reader.buffered().is_empty());
        }
        reader.feed(b"a\nb\n");
        assert_eq!(pieces(&mut reader), "[b Lf]");
    }

    #[test]
    fn counted_octets() {
        assert_eq!(cut(Framing::Octets(3), b"a\r\nNOOP\r\n"), r"<a\r\n>[end][NOOP CrLf]");
        assert_eq!(cut(Framing::Octets(0), b""), "[end]");
    }

    #[test]
    fn messages() {
        let crlf = Framing::Dot(LineEnd::CrLf);
        assert_eq!(cut(crlf, b"a\r\n..b\r\n.\r\nQUIT\r\n"), r"<a\n.b\n>[end][QUIT CrLf]");
        assert_eq!(cut(crlf, b".\r\n"), "[end]");
        assert_eq!(cut(crlf, b"a\n.\nb\r\n.\n.\r\n.\r\n"), r"<a\n.\nb\n\n.\n>[end odd]");
        assert_eq!(cut(crlf, b"a\rb\0\r\n.\r\n"), r"<a b\x00\n>[end odd]");
        let lf = Framing::Dot(LineEnd::Lf);
        assert_eq!(cut(lf, b"a\n..b\n.\nQUIT\n"), r"<a\n.b\n>[end][QUIT Lf]");
        assert_eq!(cut(lf, b"a\r\n.\r\n.\n"), r"<a\n\n>[end odd]");
    }

    #[test]
    fn what_stands_behind_a_line_is_told() {
        let mut reader = Reader::new(5);
        for (fed, behind) in [(&b"a\r"[..], None), (b"\n", None), (b"b", Some(&b"b"[..])), (b"\nc", Some(b"b\nc"))] {
            reader.feed(fed);
            assert_eq!(reader.behind_line(), behind);
        }
        assert!(reader.next().is_some());
        assert_eq!(reader.behind_line(), Some(&b"c"[..]));
        reader.set_framing(Framing::Octets(1));
        assert_eq!(reader.behind_line(), None);
    }

    #[test]
    fn the_rest_can_be_taken() {
        let mut reader = Reader::new(5);
        reader.feed(b"a\r\nrest");
        assert!(reader.next().is_some());
        assert_eq!(reader.take_buffered(), b"rest");
        assert!(reader.buffered().is_empty());
    }
}
