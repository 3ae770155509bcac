//! One message to the mailhub, with a runtime of its own.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use daemon::pump::{self, Handshake, Options};
use daemon::stream::Stream;
use daemon::tls::client::{Client, Names, Trust, Wanted};
use daemon::{World, connect};
use sasl::client::{Login, Mechanism};
use smtp::client::{Answer, Authentication, Fate, Host, Message, Outcome, Question, Session, Settings, TlsWish};
use wire::Secret;

use super::letter::Complete;
use super::site::Site;

/// Sends, and returns the mailhub's last words.
pub(super) fn send(site: &Site, message: &Complete) -> Result<String> {
    let runtime = daemon::runtime::build(&mut tokio::runtime::Builder::new_current_thread())?;
    runtime.block_on(converse(site, message))
}

async fn converse(site: &Site, message: &Complete) -> Result<String> {
    let place = format!("{}:{}", site.hub, site.port());
    let (socket, address) = open(site).await.with_context(|| format!("Cannot open {place}"))?;
    let wanted = wanted(site)?;
    let wrapped = site.tls && !site.start_tls;
    let mut stream = Stream::Clear(socket);
    let mut world = Hub::new(site, message);
    if wrapped {
        stream = stream
            .secure_as_client(&wanted)
            .await
            .map_err(|error| anyhow!("Cannot start TLS with {place}: {error}"))?;
        world.trusts(stream.trust(&wanted));
        world.judge().map_err(|why| anyhow!("{why}"))?;
    }
    let mut session = Session::new(settings(site, address)?);
    let options = Options { tls: Some(Handshake::Connect(&wanted)), ..Options::default() };
    pump::serve(stream, &mut session, &mut world, options).await;
    world.verdict()
}

/// The first address that answers.
async fn open(site: &Site) -> Result<(connect::Socket, SocketAddr)> {
    let addresses =
        (site.hub.as_str(), site.port()).to_socket_addrs().with_context(|| format!("{} has no address", site.hub))?;
    let mut last = anyhow!("{} has no address", site.hub);
    for address in addresses {
        match connect::tcp(address, None, PATIENCE).await {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => last = anyhow!("{}", connect::reason(&error)),
        }
    }
    Err(last)
}

fn wanted(site: &Site) -> Result<Wanted> {
    let system = || fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
    let authorities = match &site.authorities {
        Some(file) => fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?,
        None => system(),
    };
    let client = Client::new(&authorities).map_err(|error| anyhow!("TLS: {error}"))?;
    let names = Names { exact: vec![site.hub.clone()], below: Vec::new() };
    Ok(Wanted { client, name: site.hub.clone(), names })
}

fn settings(site: &Site, address: SocketAddr) -> Result<Settings> {
    let host = Host { name: site.hub.clone(), address: address.ip().to_string() };
    let mut settings = Settings::new(site.hostname.clone(), host);
    settings.tls = if site.start_tls { TlsWish::Must } else { TlsWish::Off };
    if !site.user.is_empty() {
        settings.login = Some(authentication(site)?);
    }
    Ok(settings)
}

/// The method named, or whatever the mailhub offers; in clear only where the file asks for no TLS at all.
fn authentication(site: &Site) -> Result<Authentication> {
    let mechanisms = match site.method.is_empty() {
        true => vec![Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login],
        false => {
            vec![Mechanism::parse(&site.method).with_context(|| format!("AuthMethod={} is not known", site.method))?]
        }
    };
    let mut random = [0; 18];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(Authentication {
        login: Login { user: site.user.clone(), secret: Secret::new(site.password.clone()) },
        in_clear: if site.tls { Vec::new() } else { mechanisms.clone() },
        mechanisms,
        nonce: sasl::base64::encode(&random),
        soft_bounce: false,
    })
}

/// What the session asks: one message, then what became of it.
struct Hub<'a> {
    site: &'a Site,
    message: &'a Complete,
    given: bool,
    /// The content has been handed out.
    read: bool,
    outcomes: Vec<Outcome>,
    trust: Option<Trust>,
}

impl<'a> Hub<'a> {
    const fn new(site: &'a Site, message: &'a Complete) -> Hub<'a> {
        Hub { site, message, given: false, read: false, outcomes: Vec::new(), trust: None }
    }

    /// As sSMTP: a certificate counts only where `TLS_CA_File` names who may sign it; else it is only remarked upon.
    fn judge(&self) -> Result<(), String> {
        let why = match &self.trust {
            Some(Trust::Verified) => return Ok(()),
            Some(Trust::Trusted) => format!("it is not for {}", self.site.hub),
            Some(Trust::Untrusted(why)) => why.clone(),
            None => "there is none".to_owned(),
        };
        let sentence = format!("the certificate of {} cannot be trusted: {why}", self.site.hub);
        match self.site.authorities {
            Some(_) => Err(sentence),
            None => {
                eprintln!("ssmtp: warning: {sentence}");
                Ok(())
            }
        }
    }

    /// The last reply, or the first refusal.
    fn verdict(self) -> Result<String> {
        let Some(bad) = self.outcomes.iter().find(|outcome| outcome.fate != Fate::Sent) else {
            let last = self.outcomes.last().context("the mailhub hung up")?;
            return Ok(last.reply.clone().unwrap_or_else(|| last.text.clone()));
        };
        let words = bad.reply.clone().unwrap_or_else(|| bad.text.clone());
        match bad.text.contains("SASL authentication failed") {
            true => bail!("Authorization failed ({words})"),
            false => bail!("{words}"),
        }
    }
}

impl World for Hub<'_> {
    type Question = Question;
    type Answer = Answer;

    fn trusts(&mut self, trust: Trust) {
        self.trust = Some(trust);
    }

    async fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Secured => match self.judge() {
                Ok(()) => Answer::Trusted,
                Err(why) => Answer::Distrusted(why),
            },
            Question::Next if self.given => Answer::Finish,
            Question::Next => {
                self.given = true;
                let header = mail::header::length(&self.message.octets);
                let header = self.message.octets.get(..header).unwrap_or_default();
                Answer::Message(Box::new(Message {
                    envelope: self.message.envelope.clone(),
                    size: self.message.octets.len() as u64,
                    sealed: smtp::downgrade::Sealed::Nothing,
                    in_ascii: None,
                    utf8_headers: !header.is_ascii(),
                }))
            }
            Question::Content(part) => {
                self.read = self.read && part != smtp::client::Part::First;
                match std::mem::replace(&mut self.read, true) {
                    true => Answer::Content(Bytes::new()),
                    false => Answer::Content(Bytes::copy_from_slice(&self.message.octets)),
                }
            }
            Question::Done(report) => {
                self.outcomes.extend(report.recipients);
                Answer::Noted
            }
            Question::Failed(outcome) => {
                self.outcomes.push(*outcome);
                Answer::Noted
            }
        }
    }
}

/// How long a mailhub may take to accept the connection.
const PATIENCE: Duration = Duration::from_secs(30);
