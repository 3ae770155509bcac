//! Notices to the sender of a message: it failed, it is late, it arrived (RFC 3461, RFC 3464, RFC 6522).
//!
//! A notice is a multipart/report: words for people, a part for programs, and the message or its headers. It is entered
//! in the spool with the null sender, so that nothing is ever told about a notice.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use mail::date::Moment;
use mail::{Address, Body, EnhancedStatus, Envelope, QueueId, Recipient, Ret};
use spool::{Origin, QueueFile, Spool};

mod words;

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// These recipients will not get it.
    Failed,
    /// These recipients have not got it yet.
    Delayed,
    /// These recipients have got it, and the sender asked to know.
    Delivered,
}

/// What a notice tells of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The recipient.
    pub recipient: Recipient,
    /// The status.
    pub status: EnhancedStatus,
    /// In words.
    pub text: String,
}

/// A notice to be made.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
    /// The message it is about.
    pub about: &'a QueueFile,
    /// What it tells.
    pub kind: Kind,
    /// Of whom.
    pub fates: &'a [Fate],
}

/// Who sends notices, and how much of a message they return.
#[derive(Clone, Debug)]
pub struct Sender {
    /// `myhostname`
    pub host: String,
    /// `mail_name`
    pub mail_name: String,
    /// `myorigin`
    pub origin: String,
    /// `bounce_size_limit`
    pub size_limit: u64,
    /// How long a message is tried.
    pub lifetime: Duration,
}

impl Kind {
    /// What the log calls it.
    #[must_use]
    pub const fn logged(self) -> &'static str {
        match self {
            Self::Failed => "sender non-delivery notification",
            Self::Delayed => "sender delay notification",
            Self::Delivered => "sender delivery status notification",
        }
    }

    /// Whether the sender wants to hear this of the recipient. What was not said is: failures and delays, no successes.
    #[must_use]
    pub fn is_wanted(self, recipient: &Recipient) -> bool {
        match (self, recipient.notify) {
            (Self::Failed, notify) => notify.is_none_or(|notify| notify.failure),
            (Self::Delayed, notify) => notify.is_none_or(|notify| notify.delay),
            (Self::Delivered, notify) => notify.is_some_and(|notify| notify.success),
        }
    }
}

impl Sender {
    /// Enters a notice in the spool: durable when this returns. `None`: the message has the null sender, nobody is told.
    ///
    /// # Errors
    /// The disk's; nothing is left then, try again later.
    pub fn send(&self, spool: &Spool, notice: Notice<'_>) -> io::Result<Option<QueueId>> {
        let Notice { about, kind, .. } = notice;
        let Some(to) = &about.envelope.reverse_path else { return Ok(None) };
        let id = spool.new_id();
        let part = self.returned(about, kind)?;
        let envelope = Envelope {
            reverse_path: None,
            recipients: vec![Recipient::new(to.clone())],
            body: if part.iter().all(u8::is_ascii) { Body::SevenBit } else { Body::EightBitMime },
            smtputf8: about.envelope.smtputf8,
            ..Envelope::default()
        };
        let mut incoming = spool.enter_as(id, &envelope, &Origin::Internal);
        incoming.write(self.head(id, to, kind).as_bytes())?;
        incoming.write(self.human(id, notice).as_bytes())?;
        incoming.write(self.report(id, notice).as_bytes())?;
        incoming.write(format!("\n--{}\n", self.boundary(id)).as_bytes())?;
        incoming.write(&part)?;
        incoming.write(format!("\n--{}--\n", self.boundary(id)).as_bytes())?;
        incoming.commit().map(Some)
    }

    fn boundary(&self, id: QueueId) -> String {
        format!("{id}/{}", self.host)
    }

    fn head(&self, id: QueueId, to: &Address, kind: Kind) -> String {
        let Self { host, mail_name, origin, .. } = self;
        let (date, stamp) = now();
        let subject = words::ENGLISH.subject(kind);
        format!(
            "Received: by {host} ({mail_name})\n\tid {id}; {date}\n\
             Date: {date}\nFrom: MAILER-DAEMON@{origin} (Mail Delivery System)\nSubject: {subject}\nTo: {to}\n\
             Auto-Submitted: auto-replied\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{}\"\n\
             Content-Transfer-Encoding: 8bit\nMessage-Id: <{stamp}.{id}@{host}>\n\n\
             This is a MIME-encapsulated message.\n",
            self.boundary(id)
        )
    }

    fn human(&self, id: QueueId, Notice { about, kind, fates }: Notice<'_>) -> String {
        let days = self.lifetime.as_secs() / 86_400;
        let mut text = format!(
            "\n--{}\nContent-Description: Notification\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: 8bit\n\nThis is the mail system at host {}.\n\n{}\n\n",
            self.boundary(id),
            self.host,
            words::ENGLISH.body(kind, days)
        );
        for fate in fates {
            let _ = writeln!(text, "<{}>: {}\n", shown(&fate.recipient.address), one_line(&fate.text));
        }
        let _ = writeln!(text, "(queue id {}, from host {})", about.id, self.host);
        text
    }

    fn report(&self, id: QueueId, Notice { about, kind, fates }: Notice<'_>) -> String {
        let mut text = format!(
            "\n--{}\nContent-Description: Delivery report\nContent-Type: message/delivery-status\n\n\
             Reporting-MTA: dns; {}\nX-Facteur-Queue-ID: {}\n",
            self.boundary(id),
            self.host,
            about.id
        );
        if let Some(envid) = &about.envelope.envid {
            let _ = writeln!(text, "Original-Envelope-Id: {}", one_line(envid));
        }
        if let Some(from) = &about.envelope.reverse_path {
            let _ = writeln!(text, "X-Facteur-Sender: rfc822; {from}");
        }
        let _ = writeln!(text, "Arrival-Date: {}", date(about.arrival));
        let action = match kind {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
            Kind::Delivered => "delivered",
        };
        for fate in fates {
            let _ = writeln!(text, "\nFinal-Recipient: rfc822; {}", shown(&fate.recipient.address));
            match (&fate.recipient.orcpt, &fate.recipient.original) {
                (Some(orcpt), _) => drop(writeln!(text, "Original-Recipient: {}", one_line(orcpt))),
                (None, Some(original)) => drop(writeln!(text, "Original-Recipient: rfc822;{original}")),
                (None, None) => {}
            }
            let _ = writeln!(text, "Action: {action}\nStatus: {}", fate.status);
            let _ = writeln!(text, "Diagnostic-Code: X-Facteur; {}", one_line(&fate.text));
            if kind == Kind::Delayed {
                let _ = writeln!(text, "Will-Retry-Until: {}", date(about.arrival + self.lifetime));
            }
        }
        text
    }

    /// The part with the message, or with its headers: for notices that are no failure, when the sender asked for no
    /// more, or when it is long.
    fn returned(&self, about: &QueueFile, kind: Kind) -> io::Result<Vec<u8>> {
        let wants_headers = about.envelope.ret == Some(Ret::Headers) || about.envelope.body == Body::BinaryMime;
        let whole = kind == Kind::Failed && !wants_headers && about.size() <= self.size_limit;
        let limit = if whole { about.size() } else { about.size().min(MAX_HEADERS) };
        let mut octets = vec![0; usize::try_from(limit).map_err(|_| io::ErrorKind::FileTooLarge)?];
        about.file.read_exact_at(&mut octets, about.content.start)?;
        let kind = if whole { "message/rfc822" } else { "text/rfc822-headers" };
        if !whole {
            let end = octets.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 1);
            let last = end.or_else(|| octets.iter().rposition(|octet| *octet == b'\n').map(|at| at + 1));
            octets.truncate(last.unwrap_or(octets.len()));
        }
        let coding = if octets.iter().all(u8::is_ascii) { "7bit" } else { "8bit" };
        let head = format!(
            "Content-Description: Undelivered Message\nContent-Type: {kind}\nContent-Transfer-Encoding: {coding}\n\n"
        );
        Ok([head.into_bytes(), octets].concat())
    }
}

/// How much is searched for the end of the headers.
const MAX_HEADERS: u64 = 128 * 1024;

/// An address without the signs of an expanded item.
fn shown(address: &Address) -> String {
    let local = address.local().trim_start_matches('\\');
    let end = local.find(['\\', '|', '/']).filter(|at| *at > 0).unwrap_or(local.len());
    let plain = Address::new(&local[..end], address.domain().cloned()).ok();
    plain.as_ref().unwrap_or(address).to_string()
}

/// Text from outside as one line that a header may hold.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(900).collect()
}

fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let zone = jiff::tz::TimeZone::system();
    let stamp = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or(0)).unwrap_or_default();
    let info = zone.to_offset_info(stamp);
    let minutes = i16::try_from(info.offset().seconds() / 60).unwrap_or(0);
    let moment = Moment { seconds: stamp.as_second(), offset: minutes };
    moment.rfc5322_with_zone(info.abbreviation())
}

fn now() -> (String, String) {
    let stamp = jiff::Zoned::now().strftime("%Y%m%d%H%M%S").to_string();
    (date(SystemTime::now()), stamp)
}

#[cfg(test)]
mod tests;
