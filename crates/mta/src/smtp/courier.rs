//! One connection: hands messages to its session and what became of them back, and keeps the connection at rest in between.
//!
//! Each [`Parcel`] gets one [`Verdict`]; a parcel whose answer never comes (the connection ended just then) was not looked at
//! and may be given to another connection.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::World;
use daemon::tls::client::Trust;
use smtp::client::{Answer, Host, Message, Outcome, Part, Question, Report};
use tokio::sync::{mpsc, oneshot};

use super::content::Content;
use super::exit::Head;
use super::ledger::Visit;
use super::policy::Level;
use super::pool::{Key, Pool, Warm};

/// A message on its way to a session.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) message: Message,
    pub(super) file: Arc<File>,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) head: Option<Head>,
    /// Since when the message waits for a connection.
    pub(super) since: Instant,
    pub(super) verdict: oneshot::Sender<Verdict>,
}

/// What became of a parcel.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The host answered for each recipient.
    Reported(Box<Report>, Visit),
    /// The session never came to the message.
    Failed(Box<Outcome>, Visit, Handshake),
}

/// How the TLS handshake of a failed session went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// It failed: another try without TLS may do better.
    Failed,
    /// It was not that.
    Otherwise,
}

/// What a connection is and how long it may live.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) key: Key,
    pub(super) host: Host,
    /// Who we are there.
    pub(super) user: Option<String>,
    pub(super) port: u16,
    pub(super) level: Level,
    /// `smtp_tls_loglevel`
    pub(super) log_tls: bool,
    pub(super) reuse: Reuse,
}

/// When a connection may be used again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reuse {
    /// At all.
    pub(super) allowed: bool,
    /// So many messages; 0: any number.
    pub(super) most: u64,
    /// For so long; zero: without end.
    pub(super) longest: Duration,
}

/// The world of one session.
pub(super) struct Courier {
    terms: Terms,
    pool: Arc<Pool>,
    number: u64,
    mail: (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>),
    /// Came, and the session does not have it yet.
    next: Option<Parcel>,
    at_hand: Option<AtHand>,
    /// The session waits for a notice that there is mail.
    resting: bool,
    /// It was told of a parcel and has not asked for it yet.
    announced: bool,
    began: Instant,
    uses: u64,
    trust: Option<Trust>,
    handshake: Handshake,
}

struct AtHand {
    content: Content,
    set_up: Duration,
    begun: Instant,
    verdict: oneshot::Sender<Verdict>,
}

impl Courier {
    pub(super) fn new(terms: Terms, pool: Arc<Pool>, first: Parcel) -> Self {
        Self {
            number: pool.number(),
            terms,
            pool,
            mail: mpsc::channel(1),
            next: Some(first),
            at_hand: None,
            resting: false,
            announced: false,
            began: Instant::now(),
            uses: 0,
            trust: None,
            handshake: Handshake::Otherwise,
        }
    }

    /// What TLS from the first octet has shown.
    pub(super) fn began_secured(&mut self, trust: Trust, details: &str) -> Result<(), String> {
        self.trust = Some(trust);
        self.tell_of_tls(details);
        self.judge()
    }

    /// The session is over.
    pub(super) fn leave(self) {
        self.pool.leave(&self.terms.key, self.number);
    }

    /// The first parcel, when the session could not even begin.
    pub(super) fn give_back(mut self, outcome: Outcome, handshake: Handshake) {
        self.handshake = handshake;
        self.fail(Box::new(outcome));
        self.leave();
    }

    fn place(&self) -> String {
        format!("{}:{}", self.terms.host, self.terms.port)
    }

    fn tell_of_tls(&self, details: &str) {
        let place = self.place();
        if let Some(Trust::Untrusted(why)) = self.trust.as_ref().filter(|_| self.terms.level.verifies()) {
            tracing::warn!("certificate verification failed for {place}: {why}");
        }
        if self.terms.log_tls {
            let level = match &self.trust {
                None | Some(Trust::Untrusted(_)) => "Untrusted",
                Some(Trust::Trusted) => "Trusted",
                Some(Trust::Verified) => "Verified",
            };
            tracing::info!("{level} TLS connection established to {place}: {details}");
        }
    }

    fn judge(&self) -> Result<(), String> {
        match (&self.trust, self.terms.level.verifies()) {
            (_, false) | (Some(Trust::Verified), true) => Ok(()),
            (Some(Trust::Trusted), true) => Err("Server certificate not verified".into()),
            (None | Some(Trust::Untrusted(_)), true) => Err("Server certificate not trusted".into()),
        }
    }

    fn begin(&mut self, parcel: Parcel) -> Answer {
        self.uses += 1;
        self.announced = false;
        self.at_hand = Some(AtHand {
            content: Content::new(parcel.file, parcel.start, parcel.length, parcel.head),
            set_up: parcel.since.elapsed(),
            begun: Instant::now(),
            verdict: parcel.verdict,
        });
        Answer::Message(Box::new(parcel.message))
    }

    /// Comes to rest in the pool, if it may be used again.
    fn rest(&mut self) -> Answer {
        let Reuse { allowed, most, longest } = self.terms.reuse;
        let young = longest.is_zero() || self.began.elapsed() < longest;
        if !allowed || !young || (most != 0 && self.uses >= most) || self.pool.closed.is_cancelled() {
            return Answer::Finish;
        }
        self.resting = true;
        let Terms { key, host, user, .. } = &self.terms;
        let (host, user) = (host.clone(), user.clone());
        self.pool.rest(key, Warm { number: self.number, mail: self.mail.0.clone(), host, user });
        Answer::Later
    }

    fn visit(&self, set_up: Duration, sending: Duration) -> Visit {
        Visit { host: self.terms.host.clone(), port: self.terms.port, set_up, sending }
    }

    fn done(&mut self, report: Box<Report>) {
        if let Some(at_hand) = self.at_hand.take() {
            let visit = self.visit(at_hand.set_up, at_hand.begun.elapsed());
            // Nobody waits for it when the program ends.
            let _ = at_hand.verdict.send(Verdict::Reported(report, visit));
        }
    }

    fn fail(&mut self, outcome: Box<Outcome>) {
        if let Some(parcel) = self.next.take() {
            let visit = self.visit(parcel.since.elapsed(), Duration::ZERO);
            let _ = parcel.verdict.send(Verdict::Failed(outcome, visit, self.handshake));
        }
    }
}

impl World for Courier {
    type Question = Question;
    type Answer = Answer;

    async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Secured => match self.judge() {
                Ok(()) => Answer::Trusted,
                Err(why) => Answer::Distrusted(why),
            },
            Question::Next => match self.next.take().or_else(|| self.mail.1.try_recv().ok()) {
                Some(parcel) => self.begin(parcel),
                None => self.rest(),
            },
            Question::Content(part) => {
                let Some(at_hand) = self.at_hand.as_mut() else { return Answer::Unreadable };
                if part == Part::First {
                    at_hand.content.rewind();
                }
                match at_hand.content.next().await {
                    Ok(octets) => Answer::Content(octets),
                    Err(error) => {
                        tracing::error!("cannot read a message: {error}");
                        Answer::Unreadable
                    }
                }
            }
            Question::Done(report) => {
                self.done(report);
                Answer::Noted
            }
            Question::Failed(outcome) => {
                self.fail(outcome);
                Answer::Noted
            }
        }
    }

    async fn notice(&mut self) {
        if std::mem::take(&mut self.announced) {
            // The session is on its way out: back to the giver, who finds another.
            self.next = None;
        }
        if !self.resting {
            return std::future::pending().await;
        }
        tokio::select! {
            // Our own sender keeps the channel open.
            parcel = self.mail.1.recv() => self.next = parcel,
            () = self.pool.closed.cancelled() => {}
        }
        (self.resting, self.announced) = (false, true);
    }

    fn trusts(&mut self, trust: Trust) {
        self.trust = Some(trust);
    }

    fn secured(&mut self, details: &str) {
        self.tell_of_tls(details);
    }

    fn not_secured(&mut self, why: &io::Error) {
        self.handshake = Handshake::Failed;
        tracing::info!("SSL_connect error to {}: {why}", self.place());
    }
}
