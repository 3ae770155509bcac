//! One connection at the front, from its first octet to its login or its end.

use std::io;
use std::mem::take;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use sys::channel::MAX_PACKET;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use wire::{Effect, Input, Machine, Security};

use super::connection::{Connection, Trail};
use super::front::{Admission, DEADLINE, Front, MOST_OCTETS, Protocol, SILENCE};
use super::message::{Outcome, Session, ToKeeper};
use super::proxy;
use crate::limits::Pass;
use crate::pump::{self, Ended, Handshake, Options, Why, World};
use crate::stream::Stream;

pub(super) struct Visit<P> {
    front: Arc<Front<P>>,
    pass: Pass,
    peer: SocketAddr,
    began: Instant,
}

impl<P: Protocol> Visit<P> {
    pub(super) fn new(front: Arc<Front<P>>, pass: Pass, peer: SocketAddr) -> Self {
        Self { front, pass, peer, began: Instant::now() }
    }

    pub(super) async fn run(self, stream: TcpStream, security: Security) {
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else { return };
        let cleartext = (self.front.settings.cleartext)(self.peer.ip().to_canonical(), local.ip().to_canonical());
        let tls_available = self.front.tls().is_some();
        let connection = Connection { tls_available, ..Connection::new(self.peer, local, cleartext) };
        let trail = Trail::from(security);
        match self.secured(Stream::Clear(stream), security).await {
            Ok(stream) => self.log_in(stream, connection, trail).await,
            Err(error) => {
                let reason = format!("Connection closed: TLS handshaking: {error}");
                tracing::info!("{}", connection.end_line(&trail, reason, self.began.elapsed()));
            }
        }
    }

    /// The stream as its port wants it.
    async fn secured(&self, stream: Stream<TcpStream>, security: Security) -> io::Result<Stream<TcpStream>> {
        match security {
            Security::Clear => Ok(stream),
            Security::Tls => {
                let tls = self.front.tls().ok_or_else(|| io::Error::other("no certificate"))?;
                tokio::select! {
                    secured = timeout(SILENCE, stream.secure(&tls)) => secured.map_err(io::Error::from).flatten(),
                    () = self.pass.leave().cancelled() => Err(io::Error::other("no room")),
                    () = self.front.stop.cancelled() => Err(io::Error::other("stopping")),
                }
            }
        }
    }

    async fn log_in(self, stream: Stream<TcpStream>, connection: Connection, trail: Trail) {
        let tls = self.front.tls();
        let mut machine = Watched::<P::Machine>::new(self.front.protocol.machine(&connection));
        let mut world = Desk { front: self.front.clone(), connection, trail, admission: None, tag: Vec::new() };
        let options = Options {
            line_limit: LINE_LIMIT,
            read_timeout: SILENCE,
            deadline: Some(DEADLINE),
            tls: tls.as_ref().map(Handshake::Accept),
            stop: self.front.stop.clone(),
            read_at_once: READ_AHEAD,
            pass: Some(&self.pass),
            ..Options::default()
        };
        let ended = pump::serve(stream, &mut machine, &mut world, options).await;
        world.trail.remark = machine.remark.take().or(world.trail.remark.take());
        world.trail.tls |= machine.secured;
        match (ended.why, world.admission.take()) {
            (Why::Detached, Some(admission)) => {
                let ended = Ended { why: Why::Detached, ..ended };
                self.hand_over(world, admission, ended).await;
            }
            (why, admission) => {
                if let Some(admission) = admission {
                    let _ = self.front.tell(&ToKeeper::Abandon { id: admission.id }, &[]).await;
                }
                let reason = machine.reason(&why);
                tracing::info!("{}", world.connection.end_line(&world.trail, reason, self.began.elapsed()));
            }
        }
    }

    /// Passes the connection on; under TLS stays as the proxy.
    async fn hand_over(self, mut desk: Desk<P>, admission: Admission, ended: Ended<TcpStream>) {
        let Some(stream) = ended.stream else { return };
        tracing::info!("{}", desk.connection.login_line(&desk.trail, &admission.user, admission.pid));
        let session = Session {
            user: admission.user,
            id: take(&mut desk.connection.session),
            rip: desk.connection.peer.ip(),
            lip: desk.connection.local.ip(),
            security: stream.security(),
            tag: take(&mut desk.tag),
            buffered: ended.buffered,
        };
        let id = admission.id;
        let message = ToKeeper::HandOver { id, session };
        let result = match stream {
            Stream::Clear(stream) => self.pass_on(stream, &message).await,
            Stream::Tls(stream) => {
                self.pass.settle();
                match self.open_pipe(&message).await {
                    Ok(pipe) => {
                        let stop = self.front.stop.clone();
                        tokio::select! {
                            _ = proxy::run(stream, pipe) => {}
                            () = stop_and_grace(&stop) => {}
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = result {
            tracing::error!("cannot hand a session over: {error}");
            let _ = self.front.tell(&ToKeeper::Abandon { id }, &[]).await;
        }
    }

    async fn pass_on(&self, stream: TcpStream, message: &ToKeeper) -> io::Result<()> {
        let stream = OwnedFd::from(stream.into_std()?);
        self.front.tell(message, &[stream.as_fd()]).await
    }

    async fn open_pipe(&self, message: &ToKeeper) -> io::Result<UnixStream> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        self.front.tell(message, &[theirs.as_fd()]).await?;
        UnixStream::from_std(ours)
    }
}

/// The worker says goodbye through us when all stops: it gets time for that.
async fn stop_and_grace(stop: &tokio_util::sync::CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// Answers the login machine.
struct Desk<P: Protocol> {
    front: Arc<Front<P>>,
    connection: Connection,
    trail: Trail,
    admission: Option<Admission>,
    tag: Vec<u8>,
}

impl<P: Protocol> World for Desk<P> {
    type Question = <P::Machine as Machine>::Question;
    type Answer = <P::Machine as Machine>::Answer;

    async fn answer(&mut self, question: Self::Question) -> Self::Answer {
        let wish = P::wish(question);
        self.trail.user.clone_from(&wish.name);
        self.trail.method = wish.method;
        self.tag.clone_from(&wish.tag);
        let admission = self.front.ask(wish, self.connection.peer.ip()).await;
        let outcome = admission.outcome;
        match outcome {
            Outcome::Admitted => self.admission = Some(admission),
            Outcome::Refused => self.trail.attempts += 1,
            Outcome::TooMany => self.trail.remark = Some("too many connections of this user from this address".into()),
            Outcome::Unavailable => self.trail.remark = Some("internal failure".into()),
        }
        P::answer(outcome)
    }
}

/// A login machine under watch: how much came in, how it ended, what it remarked.
struct Watched<M> {
    machine: M,
    octets: usize,
    remark: Option<String>,
    secured: bool,
    last: Last,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Command,
    Silence,
    Shutdown,
    TooMuch,
}

impl<M: Machine> Watched<M> {
    fn new(machine: M) -> Self {
        Self { machine, octets: 0, remark: None, secured: false, last: Last::Command }
    }

    fn reason(&self, why: &Why) -> String {
        match (why, self.last) {
            (Why::Closed, Last::Command) => "Aborted login by logging out".into(),
            (Why::Closed, Last::Silence) | (Why::Deadline | Why::SendTimedOut, _) => "Inactivity".into(),
            (Why::Closed, Last::Shutdown) => "Server shutting down.".into(),
            (Why::Closed, Last::TooMuch) => "Too much input before login".into(),
            (Why::PeerGone | Why::Detached, _) => "Connection closed".into(),
            (Why::PlaintextBeforeTls, _) => "Connection closed: plaintext after the command that starts TLS".into(),
            (Why::TlsFailed(error), _) => format!("Connection closed: TLS handshaking: {error}"),
        }
    }
}

impl<M: Machine> Machine for Watched<M> {
    type Question = M::Question;
    type Answer = M::Answer;

    fn handle(&mut self, input: Input<'_, M::Answer>, effects: &mut Vec<Effect<M::Question>>) {
        match &input {
            Input::Line(line, _) => {
                self.octets += line.len();
                self.last = Last::Command;
            }
            Input::LineTooLong => self.octets += LINE_LIMIT,
            Input::TimedOut => self.last = Last::Silence,
            Input::Shutdown => self.last = Last::Shutdown,
            Input::Secured | Input::Start(Security::Tls) => self.secured = true,
            Input::Start(Security::Clear)
            | Input::Chunk(_)
            | Input::ChunkEnd(_)
            | Input::Answer(_)
            | Input::Notice
            | Input::End => {}
        }
        if self.octets > MOST_OCTETS {
            self.last = Last::TooMuch;
            effects.push(Effect::Close);
            return;
        }
        self.machine.handle(input, effects);
        effects.retain(|effect| match effect {
            Effect::Log(event) => {
                self.remark = Some(event.to_string());
                false
            }
            _ => true,
        });
    }
}

/// No command before login is longer (a SASL response may be 1 KiB of password in base64).
const LINE_LIMIT: usize = 4096;
/// What came with the last line before login goes to the keeper in one packet, with an unfinished line before it.
const READ_AHEAD: usize = 16 * 1024;
const _: () = assert!(READ_AHEAD + 4 * LINE_LIMIT < MAX_PACKET, "user, tag and all");
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);
