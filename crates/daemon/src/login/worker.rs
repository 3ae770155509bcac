//! A worker: all sessions of one user in one process, as that user.
//!
//! It gets connections from the keeper over its standard input, tells it of each session's end, offers to leave after a
//! minute without any, and ends when the keeper hangs up (sessions then still open are told goodbye first).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use accounts::packet::Malformed;
use sys::channel::MAX_PACKET;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::{Effect, Input, Machine, Security};

use super::message::{FromWorker, Message, Session, ToWorker};
use crate::channel::Channel;
use crate::pump::{self, Options, World};
use crate::stream::Stream;

/// What a protocol brings for the time after login.
pub trait Mail: Send + Sync + 'static {
    /// Its session machine. `Input::Start` makes it send the last reply of the login (`+OK Logged in.`); what it logs gets
    /// `pop3(kevin)<pid><session>: ` in front.
    type Machine: Machine<Question: Send, Answer: Send> + Send + 'static;
    /// What answers its questions.
    type World: World<Question = <Self::Machine as Machine>::Question, Answer = <Self::Machine as Machine>::Answer>
        + 'static;

    /// A machine and its world for a session. Must not block: the mailbox is opened by the first question.
    fn open(&self, session: &Session) -> (Self::Machine, Self::World);
}

/// How sessions are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the log calls a session of this service: `pop3` in `pop3(kevin)<pid><session>`.
    pub service: &'static str,
    /// The longest command line.
    pub line_limit: usize,
    /// How long a client may be silent.
    pub read_timeout: Duration,
    /// How long the worker stays without a session.
    pub idle: Duration,
}

impl Settings {
    /// With the usual minute of idleness.
    #[must_use]
    pub const fn new(service: &'static str, line_limit: usize, read_timeout: Duration) -> Self {
        Self { service, line_limit, read_timeout, idle: Duration::from_secs(60) }
    }
}

/// Serves until the keeper hangs up or `stop` is cancelled; all sessions are over then.
///
/// # Errors
/// When the keeper does not speak our language.
pub async fn run(mail: impl Mail, settings: Settings, channel: Channel, stop: CancellationToken) -> io::Result<()> {
    let sessions = TaskTracker::new();
    let (over, mut ended) = mpsc::unbounded_channel();
    let worker = Arc::new(Worker { mail, settings, stop: stop.clone(), over });
    let mut buffer = vec![0; MAX_PACKET];
    let mut received = 0;
    let mut idle_since = Instant::now();
    let result = loop {
        let alone = sessions.is_empty();
        tokio::select! {
            () = stop.cancelled() => break Ok(()),
            Some(number) = ended.recv() => {
                idle_since = Instant::now();
                if tell(&channel, FromWorker::Ended { number }).await.is_err() { break Ok(()) }
            }
            () = sleep_until(idle_since + worker.settings.idle), if alone => {
                idle_since = Instant::now();
                if tell(&channel, FromWorker::Idle { received }).await.is_err() { break Ok(()) }
            }
            message = channel.receive(&mut buffer) => match message {
                Ok(Some((message, descriptors))) => match received_session(message, descriptors) {
                    Ok((number, session, connection)) => {
                        if tell(&channel, FromWorker::Taken { number }).await.is_err() { break Ok(()) }
                        received += 1;
                        sessions.spawn(worker.clone().serve(number, session, connection));
                    }
                    Err(_) => break Err(io::Error::other("the keeper does not speak our language")),
                },
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        }
    };
    stop.cancel();
    sessions.close();
    sessions.wait().await;
    result
}

async fn tell(channel: &Channel, message: FromWorker) -> io::Result<()> {
    channel.send(message.encode().as_bytes(), &[]).await
}

fn received_session(message: &[u8], mut descriptors: Vec<OwnedFd>) -> Result<(u64, Session, OwnedFd), Malformed> {
    let ToWorker::Serve { number, session } = ToWorker::decode(message)?;
    let connection = descriptors.pop().ok_or(Malformed)?;
    Ok((number, session, connection))
}

struct Worker<P> {
    mail: P,
    settings: Settings,
    stop: CancellationToken,
    over: mpsc::UnboundedSender<u64>,
}

impl<P: Mail> Worker<P> {
    async fn serve(self: Arc<Self>, number: u64, session: Session, connection: OwnedFd) {
        let _over = Over { number, tell: self.over.clone() };
        match adopt(connection, session.security) {
            Ok(Connection::Tcp(stream)) => self.run(stream, session).await,
            Ok(Connection::Pipe(stream)) => self.run(stream, session).await,
            Err(error) => tracing::error!("cannot take over a connection: {error}"),
        }
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin + Send>(&self, stream: S, mut session: Session) {
        let buffered = std::mem::take(&mut session.buffered);
        let (machine, mut world) = self.mail.open(&session);
        let name = format!("{}({})<{}><{}>: ", self.settings.service, session.user, std::process::id(), session.id);
        let mut machine = Named { machine, name };
        let options = Options {
            security: Some(session.security),
            line_limit: self.settings.line_limit,
            read_timeout: self.settings.read_timeout,
            stop: self.stop.clone(),
            buffered,
            ..Options::default()
        };
        pump::serve(Stream::Clear(stream), &mut machine, &mut world, options).await;
    }
}

/// Tells of the end even if the session panicked.
struct Over {
    number: u64,
    tell: mpsc::UnboundedSender<u64>,
}

impl Drop for Over {
    fn drop(&mut self) {
        let _ = self.tell.send(self.number);
    }
}

/// A machine whose log lines say whose session it is.
struct Named<M> {
    machine: M,
    name: String,
}

impl<M: Machine> Machine for Named<M> {
    type Question = M::Question;
    type Answer = M::Answer;

    fn handle(&mut self, input: Input<'_, M::Answer>, effects: &mut Vec<Effect<M::Question>>) {
        let before = effects.len();
        self.machine.handle(input, effects);
        for effect in &mut effects[before..] {
            if let Effect::Log(event) = effect {
                *event = mail::Event::Line(format!("{}{event}", self.name));
            }
        }
    }
}

/// The client itself, or the front's end of a pipe.
enum Connection {
    Tcp(TcpStream),
    Pipe(UnixStream),
}

fn adopt(descriptor: OwnedFd, security: Security) -> io::Result<Connection> {
    match security {
        Security::Clear => {
            let stream = std::net::TcpStream::from(descriptor);
            stream.set_nonblocking(true)?;
            TcpStream::from_std(stream).map(Connection::Tcp)
        }
        Security::Tls => {
            let stream = std::os::unix::net::UnixStream::from(descriptor);
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream).map(Connection::Pipe)
        }
    }
}
