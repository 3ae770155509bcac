//! `sendmail -bs`: an SMTP session on standard input and output, as mail programs run it. Messages go the way of all
//! messages of this user: through `facteur-drop`.
//!
//! No log and no TLS: the other end is the program that started us. Whether a recipient exists is found out at delivery.

use std::io::{self, Read, Write};

use bytes::Bytes;
use config::Config;
use mail::{Domain, Envelope};
use smtp::Reply;
use smtp::server::{Answer, Auth, Client, Limits, Policy, Question, Session, Settings};
use spool::Names;
use wire::{Effect, Input, Machine, Piece, Reader, Security};

use super::Exit;
use super::submit::Helper;

/// Runs the session to its end.
pub(super) fn run(config: &Config) -> Result<(), Exit> {
    let settings = settings(config)?;
    let reader = Reader::new(settings.limits.line_length);
    let world = World { config, names: Names::default(), open: None };
    let mut pump = Pump { machine: Session::new(settings), world, reader, open: true };
    let lost = |error: io::Error| Exit::temporary(format!("the session broke off: {error}"));
    pump.give(Input::Start(Security::Clear)).map_err(lost)?;
    let mut chunk = vec![0; 64 * 1024];
    while pump.open {
        match io::stdin().read(&mut chunk) {
            Ok(0) => return pump.give(Input::End).map_err(lost),
            Ok(n) => pump.feed(&chunk[..n]).map_err(lost)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(())
}

fn settings(config: &Config) -> Result<Settings, Exit> {
    let origin = Domain::parse(config.text("myorigin")).map_err(|_| Exit::config("myorigin is no domain"))?;
    let line_length = usize::try_from(config.bytes("line_length_limit")).unwrap_or(2048);
    let recipients = usize::try_from(config.number("smtpd_recipient_limit")).unwrap_or(1000);
    Ok(Settings {
        hostname: config.text("myhostname").to_owned(),
        banner: format!("ESMTP {}", config.text("mail_name")),
        origin,
        client: Client { name: "localhost".into(), address: "127.0.0.1".into() },
        policy: Policy { in_my_networks: true, line_feeds: true, auth: Auth::Off, ..Policy::default() },
        limits: Limits {
            message_size: config.bytes("message_size_limit"),
            recipients,
            line_length,
            ..Limits::default()
        },
        discarded: Vec::new(),
    })
}

/// The blocking brother of the daemons' pump, for one peer that is never waited for.
struct Pump<'a> {
    machine: Session,
    world: World<'a>,
    reader: Reader,
    open: bool,
}

impl Pump<'_> {
    fn feed(&mut self, octets: &[u8]) -> io::Result<()> {
        self.reader.feed(octets);
        while self.open {
            let mut effects = Vec::new();
            let input = match self.reader.next() {
                None => break,
                Some(Piece::Line(line, end)) => Input::Line(line, end),
                Some(Piece::LineTooLong) => Input::LineTooLong,
                Some(Piece::Chunk(octets)) => Input::Chunk(octets),
                Some(Piece::ChunkEnd(oddities)) => Input::ChunkEnd(oddities),
            };
            self.machine.handle(input, &mut effects);
            self.carry_out(effects)?;
        }
        io::stdout().flush()
    }

    fn give(&mut self, input: Input<'_, Answer>) -> io::Result<()> {
        let mut effects = Vec::new();
        self.machine.handle(input, &mut effects);
        self.carry_out(effects)?;
        io::stdout().flush()
    }

    fn carry_out(&mut self, mut effects: Vec<Effect<Question>>) -> io::Result<()> {
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send(octets) => io::stdout().write_all(&octets)?,
                    Effect::Ask(question) => {
                        let answer = self.world.answer(question);
                        self.machine.handle(Input::Answer(answer), &mut next);
                    }
                    Effect::Frame(framing) => self.reader.set_framing(framing),
                    // The peer is a program of a user of ours.
                    Effect::Log(_) | Effect::Pause(_) => {}
                    // Neither TLS nor a login is offered.
                    Effect::StartTls | Effect::Detach | Effect::Close => self.open = false,
                }
            }
            effects = next;
        }
        Ok(())
    }
}

struct World<'a> {
    config: &'a Config,
    names: Names,
    open: Option<(Helper, usize)>,
}

impl World<'_> {
    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Authenticate(_) | Question::Flush(_) => Answer::Unavailable,
            Question::Sender | Question::Recipient { .. } | Question::Verify(_) => Answer::Accepted,
            Question::Name => Answer::Named(self.names.next()),
            Question::Open(transaction) => self.open(&transaction.envelope),
            Question::Write(octets) => self.write(&octets),
            Question::Commit(octets) => self.commit(&octets),
            Question::Discard => {
                self.open.take().into_iter().for_each(|(helper, _)| helper.abandon());
                Answer::Accepted
            }
        }
    }

    fn open(&mut self, envelope: &Envelope) -> Answer {
        match Helper::start(self.config, envelope) {
            Ok(helper) => {
                self.open = Some((helper, envelope.recipients.len()));
                Answer::Accepted
            }
            Err(_) => Answer::Refused(Reply::write_error()),
        }
    }

    fn write(&mut self, octets: &Bytes) -> Answer {
        match self.open.as_mut().map(|(helper, _)| helper.write(octets)) {
            Some(Ok(())) => Answer::Accepted,
            _ => {
                self.open = None;
                Answer::Refused(Reply::write_error())
            }
        }
    }

    fn commit(&mut self, octets: &Bytes) -> Answer {
        let Some((mut helper, recipients)) = self.open.take() else { return Answer::Unavailable };
        // A helper that stopped listening has the status that says so.
        let sent = helper.write(octets).and_then(|()| helper.end(recipients));
        match (sent, helper.outcome()) {
            (Ok(()), Ok(())) => Answer::Accepted,
            _ => Answer::Refused(Reply::write_error()),
        }
    }
}
