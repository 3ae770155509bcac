//! The one line reader: octets in, [`Piece`]s out, under limits.

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

/// What the reader found.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line without its end.
    Line(&'a [u8], LineEnd),
    /// A line over the limit, now skipped.
    LineTooLong,
    /// Octets of a body.
    Chunk(&'a [u8]),
    /// The body is complete.
    ChunkEnd,
}

/// Buffers octets from the peer and cuts them.
#[derive(Debug, Default)]
pub struct Reader {}
