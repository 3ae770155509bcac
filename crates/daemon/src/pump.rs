//! The pump: the only place where octets, a protocol [`Machine`] and the [`World`] meet.
//!
//! Promise: the machine sees one input at a time and nothing else while its question is open; what it sends is gathered
//! and flushed before anything is waited for; every wait has a limit; octets read in clear never survive into TLS.
//! Notices come only when no unread octets are at hand; a machine that is between the parts of one command then
//! remembers the notice. Nothing here is an error to the caller: [`Why`] tells how a session ended.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use wire::{Effect, Framing, Input, Machine, Piece, Reader, Security};

mod line;

use crate::limits::Pass;
use crate::stream::Stream;
use crate::tls::Tls;
use crate::tls::client::{Trust, Wanted};
use line::{Line, left, read_into};

pub use line::READ_AT_ONCE;

/// Answers a machine's questions. `async` ends here: disk work goes to the blocking pool.
pub trait World: Send {
    /// The protocol's questions.
    type Question: Send;
    /// Its answers.
    type Answer: Send;

    /// Answers one question.
    fn answer(&mut self, question: Self::Question) -> impl Future<Output = Self::Answer> + Send;

    /// Returns when there is news for the machine ([`Input::Notice`]). May be dropped at any await and called anew.
    fn notice(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// TLS has begun after [`Effect::StartTls`]: `TLSv1.3 with cipher …`, for the log.
    fn secured(&mut self, _details: &str) {}

    /// What the certificate of the server we speak to is worth; told just before [`World::secured`].
    fn trusts(&mut self, _trust: Trust) {}

    /// No TLS began after [`Effect::StartTls`], and why.
    fn not_secured(&mut self, _why: &io::Error) {}
}

/// Our part in a TLS handshake.
#[derive(Clone, Copy, Debug)]
pub enum Handshake<'a> {
    /// We are the server.
    Accept(&'a Tls),
    /// We are the client.
    Connect(&'a Wanted),
}

/// How a session is run.
#[derive(Debug)]
pub struct Options<'a> {
    /// What [`Input::Start`] says. `None`: as the stream is. Set it when TLS ends elsewhere.
    pub security: Option<Security>,
    /// The longest line before the machine sets a framing.
    pub line_limit: usize,
    /// How long to wait for the next whole line or some octets of a body, and for the peer to take what we send; unless the
    /// machine says ([`Machine::patience`]).
    pub read_timeout: Duration,
    /// How long the session may take in all.
    pub deadline: Option<Duration>,
    /// For [`Effect::StartTls`].
    pub tls: Option<Handshake<'a>>,
    /// Cancelled when the server stops.
    pub stop: CancellationToken,
    /// The most octets taken from the connection at a time: with one unfinished line, all that can be left over when the
    /// machine detaches. Not more than [`READ_AT_ONCE`].
    pub read_at_once: usize,
    /// The session's place among the others.
    pub pass: Option<&'a Pass>,
    /// Octets that came with the connection.
    pub buffered: Vec<u8>,
}

/// A session that is over.
#[derive(Debug)]
pub struct Ended<S> {
    /// How it came.
    pub why: Why,
    /// Octets received, TLS taken off.
    pub octets_in: u64,
    /// Octets sent, before TLS.
    pub octets_out: u64,
    /// The connection, after [`Why::Detached`]; closed else.
    pub stream: Option<Stream<S>>,
    /// After [`Why::Detached`]: octets received and not given to the machine.
    pub buffered: Vec<u8>,
}

/// How a session ended.
#[derive(Debug)]
pub enum Why {
    /// The machine closed it.
    Closed,
    /// The machine wants it carried on elsewhere.
    Detached,
    /// The peer closed, or the transport failed.
    PeerGone,
    /// The peer stopped taking what we send.
    SendTimedOut,
    /// [`Options::deadline`] passed.
    Deadline,
    /// Octets followed the command that starts TLS: an attack (RFC 3207 §4.2).
    PlaintextBeforeTls,
    /// The handshake failed, or no TLS is set up.
    TlsFailed(io::Error),
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            security: None,
            line_limit: 8192,
            read_timeout: Duration::from_secs(300),
            deadline: None,
            tls: None,
            stop: CancellationToken::new(),
            read_at_once: READ_AT_ONCE,
            pass: None,
            buffered: Vec::new(),
        }
    }
}

/// Runs a session to its end.
pub async fn serve<S, M, W>(stream: Stream<S>, machine: &mut M, world: &mut W, options: Options<'_>) -> Ended<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    M: Machine<Question = W::Question, Answer = W::Answer> + Send,
    W: World,
{
    let mut reader = Reader::new(options.line_limit);
    reader.feed(&options.buffered);
    let deadline = options.deadline.map(|limit| Instant::now() + limit);
    let leave = options.pass.map(|pass| pass.leave().clone());
    let limit = options.read_timeout;
    let (stream, out) = (Some(stream), Vec::new());
    let line = Line { stream, reader, out, octets_in: 0, octets_out: 0, gone: false, limit, leave };
    let mut pump = Pump {
        line,
        machine,
        world,
        options,
        deadline,
        effects: Vec::new(),
        in_body: false,
        stopped: false,
        since: Instant::now(),
        fed: true,
    };
    let why = pump.run().await;
    pump.line.finish(why).await
}

struct Pump<'a, S, M: Machine, W> {
    line: Line<S>,
    machine: &'a mut M,
    world: &'a mut W,
    options: Options<'a>,
    deadline: Option<Instant>,
    effects: Vec<Effect<M::Question>>,
    in_body: bool,
    /// The machine has been told of the shutdown.
    stopped: bool,
    /// When we began to wait for the present piece: octets that make none do not count, so that no peer dawdles in a line.
    since: Instant,
    /// The machine got a piece, so the wait begins anew.
    fed: bool,
}

/// What ended a wait for octets.
enum Woken {
    Octets,
    Gone,
    TimedOut,
    Deadline,
    Notice,
    Stop,
}

impl<S, M, W> Pump<'_, S, M, W>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    M: Machine<Question = W::Question, Answer = W::Answer> + Send,
    W: World,
{
    async fn run(&mut self) -> Why {
        let security = self.options.security.or(self.line.stream.as_ref().map(Stream::security));
        match self.give(Input::Start(security.unwrap_or(Security::Clear))).await {
            Ok(()) => {}
            Err(why) => return self.over(why).await,
        }
        loop {
            let step = match self.cut().await {
                Ok(()) => self.wait().await,
                Err(why) => Err(why),
            };
            if let Err(why) = step {
                return self.over(why).await;
            }
        }
    }

    /// Gives the machine every piece that is complete.
    async fn cut(&mut self) -> Result<(), Why> {
        loop {
            if let Some(octets) = self.line.reader.behind_line() {
                self.machine.ahead(octets);
            }
            let Some(piece) = self.line.reader.next() else { return Ok(()) };
            self.fed = true;
            let input = match piece {
                Piece::Line(line, end) => Input::Line(line, end),
                Piece::LineTooLong => Input::LineTooLong,
                Piece::Chunk(octets) => Input::Chunk(octets),
                Piece::ChunkEnd(oddities) => {
                    self.in_body = false;
                    Input::ChunkEnd(oddities)
                }
            };
            self.machine.handle(input, &mut self.effects);
            self.carry_out().await?;
        }
    }

    /// Flushes, then waits for octets or anything else that may happen.
    async fn wait(&mut self) -> Result<(), Why> {
        self.line.limit = self.patience();
        self.line.flush().await?;
        if std::mem::take(&mut self.fed) {
            self.since = Instant::now();
        }
        match self.next().await {
            Woken::Octets => {
                if let Some(pass) = self.options.pass {
                    pass.heard();
                }
                Ok(())
            }
            Woken::Gone => Err(Why::PeerGone),
            Woken::Deadline => Err(Why::Deadline),
            Woken::TimedOut => {
                self.fed = true;
                self.give(Input::TimedOut).await
            }
            Woken::Notice => self.give(Input::Notice).await,
            Woken::Stop => {
                self.stopped = true;
                self.give(Input::Shutdown).await
            }
        }
    }

    fn patience(&self) -> Duration {
        self.machine.patience().unwrap_or(self.options.read_timeout)
    }

    async fn next(&mut self) -> Woken {
        let Some(stream) = self.line.stream.as_mut() else { return Woken::Gone };
        let may_notice = !self.in_body && self.line.reader.buffered().is_empty();
        let may_stop = !self.stopped;
        let (reader, most) = (&mut self.line.reader, self.options.read_at_once);
        let patience = self.since + self.line.limit;
        let (until, late) = match self.deadline {
            Some(deadline) if deadline < patience => (deadline, Woken::Deadline),
            _ => (patience, Woken::TimedOut),
        };
        let evicted = left(self.line.leave.as_ref(), Duration::ZERO);
        let received = poll_fn(|cx| read_into(stream, reader, most, cx));
        tokio::select! {
            biased;
            () = self.options.stop.cancelled(), if may_stop => Woken::Stop,
            () = evicted, if may_stop => Woken::Stop,
            received = received => match received {
                Ok(0) | Err(_) => Woken::Gone,
                Ok(count) => { self.line.octets_in += count as u64; Woken::Octets }
            },
            () = self.world.notice(), if may_notice => Woken::Notice,
            () = sleep_until(until) => late,
        }
    }

    async fn give(&mut self, input: Input<'_, W::Answer>) -> Result<(), Why> {
        self.machine.handle(input, &mut self.effects);
        self.carry_out().await
    }

    /// Carries out the effects, and those of the answers they ask for.
    async fn carry_out(&mut self) -> Result<(), Why> {
        self.line.limit = self.patience();
        let mut effects = std::mem::take(&mut self.effects);
        let mut result = Ok(());
        while !effects.is_empty() && result.is_ok() {
            let mut next = Vec::new();
            for effect in effects.drain(..) {
                result = self.carry_out_one(effect, &mut next).await;
                if result.is_err() {
                    break;
                }
            }
            if !next.is_empty() {
                effects = next;
            }
        }
        effects.clear();
        self.effects = effects;
        result
    }

    async fn carry_out_one(
        &mut self,
        effect: Effect<M::Question>,
        next: &mut Vec<Effect<M::Question>>,
    ) -> Result<(), Why> {
        match effect {
            Effect::Send(octets) => self.line.send(&octets).await?,
            Effect::Ask(question) => {
                let answer = self.ask(question).await?;
                self.machine.handle(Input::Answer(answer), next);
                self.line.limit = self.patience();
            }
            Effect::Pause(time) => self.pause(time).await?,
            Effect::Frame(framing) => {
                self.in_body = !matches!(framing, Framing::Line { .. });
                self.line.reader.set_framing(framing);
            }
            Effect::StartTls => {
                self.start_tls().await?;
                self.machine.handle(Input::Secured, next);
            }
            Effect::Log(event) => tracing::info!("{event}"),
            Effect::Detach => return Err(Why::Detached),
            Effect::Close => return Err(Why::Closed),
        }
        Ok(())
    }

    /// An answer that is at hand costs no flush; before one that takes time, the peer gets what is due to it.
    async fn ask(&mut self, question: M::Question) -> Result<W::Answer, Why> {
        let mut answer = pin!(self.world.answer(question));
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            return Ok(answer);
        }
        if let Some(pass) = self.options.pass {
            pass.settle();
        }
        // A question once asked is answered, even if the peer has gone: what it stores must be stored.
        let flushed = self.line.flush().await;
        let answer = answer.await;
        if let Some(pass) = self.options.pass {
            pass.heard();
            pass.unsettle();
        }
        flushed.map(|()| answer)
    }

    /// Lets time pass, unless the server stops or the place is wanted by somebody else.
    async fn pause(&mut self, time: Duration) -> Result<(), Why> {
        self.line.flush().await?;
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.options.stop.cancelled() => {}
            () = left(self.line.leave.as_ref(), Duration::ZERO) => {}
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), Why> {
        self.line.flush().await?;
        if !self.line.reader.buffered().is_empty() {
            return Err(Why::PlaintextBeforeTls);
        }
        let stream = self.line.stream.take().ok_or(Why::PeerGone)?;
        let handshake = async {
            match self.options.tls {
                Some(Handshake::Accept(tls)) => stream.secure(tls).await,
                Some(Handshake::Connect(wanted)) => stream.secure_as_client(wanted).await,
                None => Err(io::Error::other("no TLS is set up")),
            }
        };
        let secured = tokio::select! {
            secured = timeout(self.line.limit.min(HANDSHAKE), handshake) => secured,
            () = left(self.line.leave.as_ref(), Duration::ZERO) => return Err(Why::PeerGone),
        };
        let secured = secured.unwrap_or_else(|_| Err(io::Error::other("the handshake timed out")));
        let stream = secured.inspect_err(|why| self.world.not_secured(why)).map_err(Why::TlsFailed)?;
        if let Some(Handshake::Connect(wanted)) = self.options.tls {
            self.world.trusts(stream.trust(wanted));
        }
        self.world.secured(&stream.tls_details().unwrap_or_default());
        self.line.stream = Some(stream);
        Ok(())
    }

    /// Tells the machine that the session is over, unless it knows.
    async fn over(&mut self, why: Why) -> Why {
        if !matches!(why, Why::Closed | Why::Detached) {
            self.line.gone = true;
            self.effects.clear();
            // A machine that counts the time itself is to know that it was up.
            if matches!(why, Why::SendTimedOut) && self.machine.patience().is_some() {
                let _ = self.give(Input::TimedOut).await;
            }
            let _ = self.last_words(&why).await;
            let _ = self.give(Input::End).await;
        }
        why
    }

    /// A server that wants no more of what we send says why before it goes; a client's machine hears that.
    async fn last_words(&mut self, why: &Why) -> Result<(), Why> {
        if !matches!(why, Why::PeerGone) || self.machine.patience().is_none() {
            return Ok(());
        }
        let Some(stream) = self.line.stream.as_mut() else { return Ok(()) };
        let reader = &mut self.line.reader;
        if let Ok(Ok(count)) = timeout(LAST_WORDS, poll_fn(|cx| read_into(stream, reader, READ_AT_ONCE, cx))).await {
            self.line.octets_in += count as u64;
        }
        self.cut().await
    }
}

/// What a peer that has gone left behind is at hand, or not.
const LAST_WORDS: Duration = Duration::from_secs(1);
const HANDSHAKE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
