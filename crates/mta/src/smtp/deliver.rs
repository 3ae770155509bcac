//! One order, from its arrival to the last word about each recipient.
//!
//! The next hops of a list take their turn; what is not settled at one is tried at the next. For each, a connection at rest
//! first; else the hosts in turn: at most `smtp_mx_session_limit` that talk, and those that cannot be reached cost nothing but
//! time. Recipients that one host puts off are tried at the next. With TLS that may be left out, a host with which the
//! handshake fails is tried again in clear at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::Stream;
use daemon::connect::{self, Socket};
use daemon::pump::{self, Handshake as OurPart, Options};
use daemon::tls::client::{Client, Wanted};
use handover::Outcome;
use handover::relay::{Dialect, Hop};
use mail::EnhancedStatus;
use sasl::client::Login;
use smtp::client::{self, Host, Myself, Session, TlsWish, text};
use tokio::sync::oneshot;

use super::courier::{Courier, Handshake, Parcel, Reuse, Terms, Verdict};
use super::exit::Changes;
use super::find::Lost;
use super::hop::{self, Place, Target};
use super::hosts::Candidate;
use super::ledger::{Ledger, Others};
use super::logins::Choice;
use super::names::Names;
use super::nature;
use super::policy::{Level, Policy};
use super::pool::{Key, Warm};
use super::settings::Settings;

/// A delivery under way.
pub(super) struct Delivery {
    pub(super) settings: Arc<Settings>,
    pub(super) names: Arc<Names>,
    pub(super) ledger: Ledger,
}

/// What is known of the next hop before any host is.
struct Plan {
    /// Whether another next hop is left.
    others: Others,
    target: Target,
    policy: Policy,
    /// `None`: no TLS can be had.
    tls: Option<Client>,
    logins: Choice,
    key: Key,
    changes: Changes,
}

impl Plan {
    /// Who we are for this host; a socket has no name that tables know.
    fn login(&self, host: &Host) -> Result<Option<Login>, String> {
        let is_socket = matches!(self.target.place, Place::Socket(_));
        self.logins.at((!is_socket).then_some(host.name.as_str()))
    }
}

/// A host to be tried.
struct Attempt<'a> {
    plan: &'a Plan,
    host: Host,
    address: Option<SocketAddr>,
    best: bool,
    level: Level,
    login: Option<Login>,
}

impl Delivery {
    /// Delivers, logs and reports.
    pub(super) async fn run(mut self) {
        self.ledger.look().await;
        let mut hops = hop::each(&self.ledger.order.hop).into_iter().peekable();
        while let Some(hop) = hops.next() {
            let others = if hops.peek().is_some() { Others::Left } else { Others::None };
            match self.plan(&hop, others) {
                Ok(plan) => self.carry_out(&plan).await,
                Err(outcome) => self.ledger.useless(outcome, others),
            }
            if self.ledger.is_finished() || self.ledger.is_abandoned() {
                break;
            }
        }
        self.ledger.settle();
    }

    fn plan(&self, hop: &Hop, others: Others) -> Result<Plan, Outcome> {
        let order = &self.ledger.order;
        let trouble =
            |subject, detail, text: &str| Outcome::Deferred(EnhancedStatus::new(4, subject, detail), text.to_owned());
        let target = Target::read(hop, &self.settings.defaults).ok_or_else(|| {
            tracing::warn!("\"{}\" is no next hop", hop.text);
            trouble(3, 5, &format!("next hop \"{}\" makes no sense", hop.text))
        })?;
        let policy = self.settings.policies.of(hop, &target, order.terms.stage).map_err(|why| {
            tracing::warn!("{}: {why}", order.id);
            trouble(7, 5, "client TLS configuration problem")
        })?;
        let logins = self.settings.logins.of(hop, &target, order.terms.sender.as_ref()).map_err(|why| {
            tracing::warn!("{}: smtp_sasl_password_maps: {why}", order.id);
            trouble(3, 5, NO_PASSWORDS)
        })?;
        let tls = self.settings.reaching.tls_for(&policy).map_err(|why| {
            tracing::warn!("{}: TLS policy for \"{}\": {why}", order.id, hop.text);
            trouble(7, 5, "client TLS configuration problem")
        })?;
        let key = Key { hop: hop.clone(), policy: policy.clone() };
        let changes = self.settings.exit.changes(order, &self.ledger.file).map_err(|why| {
            tracing::warn!("{}: smtp_generic_maps: {why}", order.id);
            trouble(3, 0, "mapping of addresses is not possible now")
        })?;
        Ok(Plan { others, target, policy, tls, logins, key, changes })
    }

    async fn carry_out(&mut self, plan: &Plan) {
        let used = self.try_warm(plan).await;
        if self.ledger.is_finished() {
            return;
        }
        if let Place::Socket(path) = &plan.target.place {
            let address = path.display().to_string();
            let host = Host { name: self.settings.speaking.hostname.clone(), address };
            let attempt = Attempt { plan, host, address: None, best: true, level: Level::None, login: None };
            self.attempt(attempt, plan.others).await;
            return;
        }
        match self.settings.finding.hosts(&self.names, &plan.target).await {
            Ok(hosts) => self.try_hosts(plan, hosts, used).await,
            Err(Lost::Missed(status, text)) => self.ledger.missed(status, text),
            Err(Lost::Ruled(outcome)) => self.ledger.useless(outcome, plan.others),
        }
    }

    /// Uses connections at rest; the address of the one that answered.
    async fn try_warm(&mut self, plan: &Plan) -> Option<String> {
        let same_login = |warm: &Warm| {
            plan.login(&warm.host).is_ok_and(|login| login.as_ref().map(|login| &login.user) == warm.user.as_ref())
        };
        while let Some(warm) = self.settings.pool.take(&plan.key, same_login) {
            let (parcel, verdict) = self.parcel(plan);
            if warm.mail.send(parcel).await.is_err() {
                continue;
            }
            match verdict.await {
                Ok(Verdict::Reported(report, visit)) if !report.stale => {
                    self.ledger.heard(*report, &visit, Others::Left);
                    return Some(warm.host.address);
                }
                // It had died at rest, or ended just then: the next one, in the end a new one.
                Ok(Verdict::Reported(..) | Verdict::Failed(..)) | Err(_) => {}
            }
        }
        None
    }

    async fn try_hosts(&mut self, plan: &Plan, mut hosts: Vec<Candidate>, used: Option<String>) {
        let mut sessions = usize::from(used.is_some());
        let most = match self.settings.reaching.most_sessions {
            0 => usize::MAX,
            most => most,
        };
        hosts.retain(|host| used.as_ref() != Some(&host.address.to_string()));
        let mut hosts = hosts.into_iter().peekable();
        while let Some(candidate) = hosts.next() {
            if sessions >= most || self.ledger.is_finished() || self.ledger.is_abandoned() {
                return;
            }
            let others = if hosts.peek().is_some() && sessions + 1 < most { Others::Left } else { plan.others };
            let attempt = Attempt {
                plan,
                host: Host { name: candidate.name, address: candidate.address.to_string() },
                address: Some(SocketAddr::new(candidate.address, plan.target.port)),
                best: candidate.best,
                level: plan.policy.level,
                login: None,
            };
            if self.attempt(attempt, others).await == Talked::Yes {
                sessions += 1;
            }
        }
    }

    /// One host, with TLS and then perhaps without.
    async fn attempt(&mut self, mut attempt: Attempt<'_>, others: Others) -> Talked {
        attempt.login = match attempt.plan.login(&attempt.host) {
            Ok(login) => login,
            Err(why) => {
                tracing::warn!("{}: smtp_sasl_password_maps: {why}", self.ledger.order.id);
                self.ledger.missed(EnhancedStatus::new(4, 3, 5), NO_PASSWORDS.to_owned());
                return Talked::No;
            }
        };
        loop {
            let socket = match self.connect(&attempt).await {
                Ok(socket) => socket,
                Err(error) if connect::is_ours(&error) => {
                    let said = format!("cannot connect: {}", connect::reason(&error));
                    tracing::warn!("{said}");
                    self.ledger.ruled(Outcome::Deferred(EnhancedStatus::new(4, 3, 0), said));
                    return Talked::No;
                }
                Err(error) => {
                    let said = cannot_connect(&attempt, &connect::reason(&error));
                    tracing::info!("{said}");
                    self.ledger.missed(EnhancedStatus::new(4, 4, 1), said);
                    return Talked::No;
                }
            };
            let (parcel, verdict) = self.parcel(attempt.plan);
            self.open(&attempt, socket, parcel);
            match verdict.await {
                Ok(Verdict::Reported(report, visit)) => {
                    self.ledger.heard(*report, &visit, others);
                    return Talked::Yes;
                }
                Ok(Verdict::Failed(_, _, Handshake::Failed)) if attempt.level == Level::May => {
                    tracing::info!("trying {} again without TLS", attempt.host);
                    attempt.level = Level::None;
                }
                Ok(Verdict::Failed(outcome, visit, _)) => {
                    self.ledger.refused(*outcome, &visit);
                    return Talked::No;
                }
                Err(_) => {
                    let said = format!("the session with {} was given up", attempt.host);
                    self.ledger.missed(EnhancedStatus::new(4, 3, 0), said);
                    return Talked::No;
                }
            }
        }
    }

    async fn connect(&self, attempt: &Attempt<'_>) -> std::io::Result<Socket> {
        let limit = match self.settings.reaching.connect_timeout {
            Duration::ZERO => NO_LIMIT,
            limit => limit,
        };
        match (attempt.address, &attempt.plan.target.place) {
            (None, Place::Socket(path)) => connect::unix(path, limit).await,
            (Some(address), _) => connect::tcp(address, self.settings.reaching.source(address.ip()), limit).await,
            (None, _) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Starts a session that lives on by itself.
    fn open(&self, attempt: &Attempt<'_>, socket: Socket, first: Parcel) {
        let plan = attempt.plan;
        let terms = Terms {
            key: plan.key.clone(),
            host: attempt.host.clone(),
            user: attempt.login.as_ref().map(|login| login.user.clone()),
            port: plan.target.port,
            level: attempt.level,
            log_tls: self.settings.reaching.log_tls,
            reuse: Reuse {
                allowed: self.settings.reaching.reuse.allowed && plan.policy.reuse,
                ..self.settings.reaching.reuse
            },
        };
        let courier = Courier::new(terms, self.settings.pool.clone(), first);
        let wanted = plan.tls.clone().map(|client| Wanted {
            client,
            name: plan.policy.server_name(&attempt.host.name, &plan.target),
            names: plan.policy.names(&attempt.host.name, &plan.target),
        });
        let wrapped = self.settings.policies.wrapper && attempt.level != Level::None;
        match self.session_settings(attempt, wanted.is_some()) {
            Ok(settings) => drop(tokio::spawn(converse(socket, settings, courier, Cover { wanted, wrapped }))),
            Err(error) => {
                tracing::error!("no random numbers: {error}");
                courier.leave();
            }
        }
    }

    fn session_settings(&self, attempt: &Attempt<'_>, has_tls: bool) -> std::io::Result<client::Settings> {
        let Settings { speaking, logins, finding, .. } = &*self.settings;
        let login = attempt.login.clone().map(|login| logins.authentication(login)).transpose()?;
        let order = &self.ledger.order;
        let ours = order.hop.dialect == Dialect::Smtp && attempt.plan.target.port == finding.own_port;
        let domain = match &attempt.plan.target.place {
            Place::Domain(name) | Place::Host(name) => Some(name.clone()),
            Place::Address(address) => Some(format!("[{address}]")),
            Place::Socket(_) => None,
        };
        Ok(client::Settings {
            dialect: match order.hop.dialect {
                Dialect::Lmtp => client::Dialect::Lmtp,
                Dialect::Smtp => client::Dialect::Smtp,
            },
            helo: speaking.helo.clone(),
            host: attempt.host.clone(),
            tls: match attempt.level {
                Level::None => TlsWish::Off,
                Level::May if !has_tls => TlsWish::Off,
                Level::May => TlsWish::May,
                Level::Encrypt | Level::Verify | Level::Secure => TlsWish::Must,
            },
            login,
            timeouts: speaking.timeouts,
            manner: speaking.manner.clone(),
            myself: domain.filter(|_| ours).map(|domain| Myself {
                hostname: speaking.hostname.clone(),
                domain,
                best: attempt.best,
            }),
        })
    }

    fn parcel(&self, plan: &Plan) -> (Parcel, oneshot::Receiver<Verdict>) {
        let (verdict, answer) = oneshot::channel();
        let order = &self.ledger.order;
        let mut message = self.ledger.message();
        plan.changes.apply(&mut message.envelope);
        message.in_ascii = nature::in_ascii(&message.envelope).map(Box::new);
        let parcel = Parcel {
            message,
            head: plan.changes.head.clone(),
            file: self.ledger.file.clone(),
            start: order.offset,
            length: order.length,
            since: self.ledger.received,
            verdict,
        };
        (parcel, answer)
    }
}

/// Whether a host took part in the dialogue about the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talked {
    Yes,
    No,
}

fn cannot_connect(attempt: &Attempt<'_>, why: &str) -> String {
    match attempt.address {
        Some(address) => text::cannot_connect(&attempt.host, address.port(), why),
        None => format!("connect to {}: {why}", attempt.host),
    }
}

/// How a connection is to be covered.
struct Cover {
    /// For STARTTLS, or from the first octet.
    wanted: Option<Wanted>,
    wrapped: bool,
}

/// A connection from its first octet to its end.
async fn converse(socket: Socket, settings: client::Settings, mut courier: Courier, cover: Cover) {
    let Cover { wanted, wrapped } = cover;
    let mut stream = Stream::Clear(socket);
    if let Some(wanted) = wanted.as_ref().filter(|_| wrapped) {
        match wrap(stream, wanted, &mut courier, settings.timeouts.starttls).await {
            Ok(secured) => stream = secured,
            Err(outcome) => return courier.give_back(outcome, Handshake::Otherwise),
        }
    }
    let mut session = Session::new(settings);
    let options = Options { tls: wanted.as_ref().map(OurPart::Connect), ..Options::default() };
    pump::serve(stream, &mut session, &mut courier, options).await;
    courier.leave();
}

/// TLS from the first octet (RFC 8314).
async fn wrap(
    stream: Stream<Socket>,
    wanted: &Wanted,
    courier: &mut Courier,
    limit: Duration,
) -> Result<Stream<Socket>, client::Outcome> {
    let secured = match tokio::time::timeout(limit, stream.secure_as_client(wanted)).await {
        Ok(secured) => secured,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    let stream = secured.map_err(|error| {
        daemon::World::not_secured(courier, &error);
        untrusted(text::handshake_failed())
    })?;
    let details = stream.tls_details().unwrap_or_default();
    courier.began_secured(stream.trust(wanted), &details).map_err(untrusted)?;
    Ok(stream)
}

fn untrusted(text: String) -> client::Outcome {
    client::Outcome {
        fate: client::Fate::Deferred,
        status: EnhancedStatus::new(4, 7, 5),
        text,
        reply: None,
        blame: Some(client::Blame::Host),
    }
}

/// What the sender may learn of it; the log has the reason.
const NO_PASSWORDS: &str = "SASL authentication failed; the password table cannot be used";

/// `smtp_connect_timeout: 0`: the system's own limit comes first.
const NO_LIMIT: Duration = Duration::from_secs(3600);
