//! The seam between a protocol and the world.
//!
//! The pump calls [`Machine::handle`] with one input, then carries out the effects in order. While a question is
//! open (an [`Effect::Ask`] not yet answered) no further octets are given to the machine, only its answer: so
//! a machine never sees two things at once, and back-pressure needs no code. At most one `Ask` per `handle`,
//! and it is the last effect.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::reader::{Framing, LineEnd, Oddities};

/// A protocol session as a plain value.
pub trait Machine {
    /// All it may want from the world.
    type Question;
    /// What the world may reply.
    type Answer;

    /// Takes one input and appends what must happen next.
    fn handle(&mut self, input: Input<'_, Self::Answer>, effects: &mut Vec<Effect<Self::Question>>);

    /// These octets stand behind the line that is handed over next: the peer did not wait for the reply to it. For a
    /// protocol that forbids that of some commands.
    fn ahead(&mut self, _octets: &[u8]) {}

    /// How long the peer may now be silent, or take to receive, before [`Input::TimedOut`]. `None`: as whoever runs the pump
    /// says. For a protocol whose steps have each their own limit; asked again before each wait.
    fn patience(&self) -> Option<Duration> {
        None
    }
}

/// What can befall a session.
#[derive(Debug)]
pub enum Input<'a, A> {
    /// The connection stands; time to greet. `Security` says whether TLS was there from the first octet.
    Start(Security),
    /// A whole line, without its end.
    Line(&'a [u8], LineEnd),
    /// A line over the limit; the rest of it has been thrown away.
    LineTooLong,
    /// Octets of a body, in the present framing ([`Framing::Octets`] or [`Framing::Dot`]).
    Chunk(&'a [u8]),
    /// The body framing is complete; lines follow. Says what a [`Framing::Dot`] body held that it should not.
    ChunkEnd(Oddities),
    /// The world's answer to the one open question.
    Answer(A),
    /// The world has news (the mailbox changed). Given only between commands or while idling.
    Notice,
    /// TLS now covers the connection, after [`Effect::StartTls`].
    Secured,
    /// Nothing came for as long as the present limit says.
    TimedOut,
    /// The peer has gone, or the transport failed. Nothing can be sent any more.
    End,
    /// The server is stopping; say goodbye in the protocol's words and close.
    Shutdown,
}

/// How the octets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In clear.
    Clear,
    /// Under TLS.
    Tls,
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Effect<Q> {
    /// Send these octets. The pump gathers them and flushes before it waits for anything.
    Send(Bytes),
    /// Answer this, then call `handle(Input::Answer(…))`.
    Ask(Q),
    /// Let this much time pass before the effects that follow: a peer that errs on and on is slowed down. Nothing is read
    /// meanwhile.
    Pause(Duration),
    /// From the next octet on, cut the stream this way.
    Frame(Framing),
    /// Flush, then start TLS as server; octets already buffered in clear end the session (RFC 3207 §4.2 and its kin).
    StartTls,
    /// Write this to the log.
    Log(mail::Event),
    /// Flush, read no more, and give the connection back to whoever runs the pump, together with all octets already
    /// read but not yet given to this machine: another machine, perhaps in another process, carries on (the end of a login).
    Detach,
    /// Flush and close. Nothing is read any more.
    Close,
}
