//! Lets clients in: finds each a place among the others, a name, and a session.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use daemon::Stream;
use daemon::limits::{Full, Pass};
use daemon::listen::{self, Accepted};
use daemon::pump::{self, Handshake, Options, Why};
use smtp::server::{Client, Faults, Session};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rates::Event;
use super::rules::Visit;
use super::server::{Configured, Server};
use super::world;
use crate::control::Service;

/// Serves a listening socket until we stop.
pub(super) fn open(server: &Arc<Server>, (service, descriptor): (Service, OwnedFd)) {
    let doors = server.doors.clone();
    let server = server.clone();
    doors.spawn(async move {
        let mut acceptor = match listen::adopt(descriptor) {
            Ok(acceptor) => acceptor,
            Err(e) => return give_up(&server, service, &e),
        };
        loop {
            let accepted = tokio::select! {
                () = server.signals.stop.cancelled() => return,
                () = server.signals.retire.cancelled() => return,
                accepted = acceptor.accept() => accepted,
            };
            match accepted {
                Ok(Accepted::Client(stream, peer)) => admit(&server, service, (stream, peer)),
                Ok(Accepted::LastDescriptor(stream)) => {
                    tracing::warn!("out of descriptors: a client was sent away");
                    send_away(&server, stream, "Error: too many connections");
                }
                Err(e) => return give_up(&server, service, &e),
            }
        }
    });
}

/// A port that nobody serves is worse than a new start: master gives one.
fn give_up(server: &Server, service: Service, error: &std::io::Error) {
    tracing::error!("cannot listen for {}: {error}", service.name());
    server.signals.stop.cancel();
}

fn admit(server: &Arc<Server>, service: Service, (stream, peer): (TcpStream, SocketAddr)) {
    let address = peer.ip().to_canonical();
    let configured = server.configured();
    let trusted = match service {
        // Bound to loopback addresses: nobody else comes this way.
        Service::Reinject => address.is_loopback(),
        Service::Smtp | Service::Submission | Service::Smtps => configured.rules.trusts(address),
    };
    let most =
        if service == Service::Reinject || configured.limits.excepts(address) { 0 } else { configured.limits.sessions };
    if service != Service::Reinject
        && let Some(count) = server.rates.exceeded(Event::Connection, address, &configured.limits)
    {
        let name = Event::Connection.name();
        tracing::warn!("{name} rate limit exceeded: {count} from unknown[{address}] for service {}", service.name());
        return send_away(server, stream, &format!("Error: too many connections from {address}"));
    }
    let place = server.sessions.enter_up_to(most, address);
    match place {
        Ok(pass) => {
            let guest = Guest { service, stream, address, trusted, pass };
            drop(server.tasks.spawn(serve(server.clone(), configured, guest)));
        }
        Err(Full::Peer) => {
            let (count, service) = (most + 1, service.name());
            tracing::warn!(
                "Connection concurrency limit exceeded: {count} from unknown[{address}] for service {service}"
            );
            send_away(server, stream, &format!("Error: too many connections from {address}"));
        }
        Err(Full::All) => {
            tracing::warn!("too many connections: [{address}] was sent away");
            send_away(server, stream, "Error: too many connections");
        }
    }
}

/// Says 421 without waiting for anything: a new socket has room for it.
fn send_away(server: &Server, stream: TcpStream, text: &str) {
    let reply = format!("421 4.7.0 {} {text}\r\n", server.configured().rules.hostname);
    let _ = stream.try_write(reply.as_bytes());
}

/// A client with a place.
struct Guest {
    service: Service,
    stream: TcpStream,
    address: IpAddr,
    trusted: bool,
    pass: Pass,
}

async fn serve(server: Arc<Server>, configured: Arc<Configured>, guest: Guest) {
    let Guest { service, stream, address, trusted, pass } = guest;
    let Ok(local) = stream.local_addr().map(|local| local.ip().to_canonical()) else { return };
    let tls = server.tls();
    let client = Client { name: server.names.of(address).await, address: address.to_string() };
    let forbidden = configured.rules.forbid_pipelining;
    let early_talker = forbidden && !trusted && service != Service::Smtps && has_spoken(&stream);
    let mut stream = Stream::Clear(stream);
    if service == Service::Smtps {
        let secured = tokio::select! {
            secured = secure(stream, tls.as_ref(), &client) => secured,
            () = pass.leave().cancelled() => return,
        };
        let Some(secured) = secured else { return };
        stream = secured;
    }
    let counts_messages = configured.limits.counts(Event::Message) && !configured.limits.excepts(address);
    let transcript = configured.notices.wants_sessions();
    let visit = Visit { address, local, trusted, early_talker, tls_loaded: tls.is_some(), counts_messages, transcript };
    let mut session = Session::new(configured.rules.settings(service, client.clone(), &visit));
    let mut world = world::Session {
        server: server.clone(),
        configured: configured.clone(),
        client: client.clone(),
        service,
        entry: None,
        sending: None,
    };
    let options = Options {
        read_timeout: configured.rules.timeout,
        tls: tls.as_ref().map(Handshake::Accept),
        stop: server.signals.stop.clone(),
        pass: Some(&pass),
        ..Options::default()
    };
    let ended = pump::serve(stream, &mut session, &mut world, options).await;
    match ended.why {
        Why::TlsFailed(e) => tracing::info!("SSL_accept error from {client}: {e}"),
        Why::PlaintextBeforeTls => tracing::warn!("improper command pipelining after STARTTLS from {client}"),
        Why::Closed | Why::Detached | Why::PeerGone | Why::SendTimedOut | Why::Deadline => {}
    }
    drop(pass);
    if let Some((faults, transcript)) = session.report().filter(|(faults, _)| *faults != Faults::default()) {
        let tell = move || tell(&server, &configured, &client.to_string(), (faults, &transcript));
        let _ = tokio::task::spawn_blocking(tell).await;
    }
}

/// Tells the postmaster of a session in which something went wrong. Should that fail, the log has told.
fn tell(server: &Server, configured: &Configured, client: &str, report: (Faults, &str)) {
    match configured.notices.tell_session(&server.spool, client, report) {
        Ok(None) => {}
        Ok(Some(id)) => {
            tracing::info!("{id}: postmaster notification of errors from {client}");
            server.wake_qmgr(id);
        }
        Err(error) => tracing::warn!("postmaster notification of errors from {client}: {error}"),
    }
}

/// TLS from the first octet (RFC 8314).
async fn secure(
    stream: Stream<TcpStream>,
    tls: Option<&daemon::tls::Tls>,
    client: &Client,
) -> Option<Stream<TcpStream>> {
    let Some(tls) = tls else {
        tracing::warn!("no certificate: {client} was sent away");
        return None;
    };
    match timeout(HANDSHAKE, stream.secure(tls)).await {
        Ok(Ok(stream)) => {
            log_tls(client, &stream.tls_details().unwrap_or_default());
            Some(stream)
        }
        Ok(Err(e)) => {
            tracing::info!("SSL_accept error from {client}: {e}");
            None
        }
        Err(_) => {
            tracing::info!("SSL_accept error from {client}: timeout");
            None
        }
    }
}

/// The line about TLS; nobody's certificate was asked for.
pub(super) fn log_tls(client: &Client, details: &str) {
    tracing::info!("Anonymous TLS connection established from {client}: {details}");
}

/// Whether the client has sent something before our greeting, which real clients do not.
fn has_spoken(stream: &TcpStream) -> bool {
    use std::os::fd::AsFd;
    let mut octet = [0_u8; 1];
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
    rustix::net::recv(stream.as_fd(), &mut octet, flags).is_ok_and(|(count, _)| count > 0)
}

const HANDSHAKE: Duration = Duration::from_secs(60);
