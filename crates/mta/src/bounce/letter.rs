//! The text of a notice: a multipart/report of words for people, a part for programs, and the message or its headers.

use std::fmt::Write as _;
use std::io;
use std::time::SystemTime;

use mail::date::Moment;
use mail::{Address, Body, Envelope, QueueId, Recipient, Ret};
use smtp::unitext::{self, Letters};
use spool::{QueueFile, Spool};

use super::words::Reader;
use super::{Action, Fate, Kind, Letter, Notice, Sender};

impl Sender {
    /// Enters one letter; durable when this returns.
    pub(super) fn write(&self, spool: &Spool, letter: Letter<'_>) -> io::Result<QueueId> {
        let notice = letter.notice;
        let id = spool.new_id();
        let part = self.returned(notice.about, notice.kind, letter.reader)?;
        let human = self.human(id, &letter);
        let report = self.report(id, notice);
        let plain = part.is_ascii() && human.is_ascii() && report.is_ascii();
        let envelope = Envelope {
            reverse_path: letter.from.cloned(),
            recipients: vec![Recipient::new(letter.to.clone())],
            body: if plain { Body::SevenBit } else { Body::EightBitMime },
            smtputf8: notice.about.envelope.smtputf8,
            ..Envelope::default()
        };
        let mut incoming = self.begin(spool, id, &envelope)?;
        let subject = self.words.subject(notice.kind, letter.reader);
        incoming.write(self.head(id, letter.to, subject).as_bytes())?;
        incoming.write(self.kind_of_content(id).as_bytes())?;
        incoming.write(human.as_bytes())?;
        incoming.write(report.as_bytes())?;
        incoming.write(format!("\n--{}\n", self.boundary(id)).as_bytes())?;
        incoming.write(&part)?;
        incoming.write(format!("\n--{}--\n", self.boundary(id)).as_bytes())?;
        incoming.commit()
    }

    fn boundary(&self, id: QueueId) -> String {
        format!("{id}/{}", self.host)
    }

    /// The header of whatever we write ourselves, but for what kind of content it has.
    pub(super) fn head(&self, id: QueueId, to: &Address, subject: &str) -> String {
        let Self { host, mail_name, origin, .. } = self;
        let (date, stamp) = now();
        format!(
            "Received: by {host} ({mail_name})\n\tid {id}; {date}\n\
             Date: {date}\nFrom: MAILER-DAEMON@{origin} (Mail Delivery System)\nSubject: {}\nTo: {to}\n\
             Auto-Submitted: auto-replied\nMIME-Version: 1.0\nMessage-Id: <{stamp}.{id}@{host}>\n",
            encoded(subject)
        )
    }

    fn kind_of_content(&self, id: QueueId) -> String {
        format!(
            "Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{}\"\n\
             Content-Transfer-Encoding: 8bit\n\nThis is a MIME-encapsulated message.\n",
            self.boundary(id)
        )
    }

    fn human(&self, id: QueueId, letter: &Letter<'_>) -> String {
        let Notice { id: about, kind, fates, .. } = letter.notice;
        let days = self.lifetime.as_secs() / 86_400;
        let mut text = format!(
            "\n--{}\nContent-Description: Notification\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: 8bit\n\n{}\n\n{}\n\n",
            self.boundary(id),
            self.words.from(&self.host),
            self.words.body(kind, letter.reader, days)
        );
        for fate in fates {
            let _ = writeln!(text, "<{}>: {}", shown(&fate.recipient.address), one_line(&fate.text));
            if fate.action == Action::Relayed {
                let _ = writeln!(text, "    {}", self.words.relayed());
            }
            text.push('\n');
        }
        let _ = writeln!(text, "{}", self.words.message(&about.name()));
        text
    }

    fn report(&self, id: QueueId, Notice { id: message, about, sender, kind, fates }: Notice<'_>) -> String {
        let mut text = format!(
            "\n--{}\nContent-Description: Delivery report\nContent-Type: {}\n\n\
             Reporting-MTA: dns; {}\nX-Facteur-Queue-ID: {message}\n",
            self.boundary(id),
            if about.envelope.smtputf8 { "message/global-delivery-status" } else { "message/delivery-status" },
            self.host,
        );
        if let Some(envid) = &about.envelope.envid {
            let _ = writeln!(text, "Original-Envelope-Id: {}", one_line(envid));
        }
        if let Some(from) = sender {
            let _ = writeln!(text, "X-Facteur-Sender: {}", typed("; ", &from.to_string(), letters(about)));
        }
        let _ = writeln!(text, "Arrival-Date: {}", date(about.arrival));
        for fate in fates {
            text.push('\n');
            self.report_one(fate, letters(about), &mut text);
            if kind == Kind::Delayed {
                let _ = writeln!(text, "Will-Retry-Until: {}", date(about.arrival + self.lifetime));
            }
        }
        text
    }

    /// The group of fields about one recipient (RFC 3464 §2.3, RFC 6533 §3).
    fn report_one(&self, fate: &Fate, letters: Letters, text: &mut String) {
        let _ = writeln!(text, "Final-Recipient: {}", typed("; ", &shown(&fate.recipient.address), letters));
        if let Some(original) = original(&fate.recipient, letters) {
            let _ = writeln!(text, "Original-Recipient: {original}");
        }
        let action = match fate.action {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        };
        let _ = writeln!(text, "Action: {action}\nStatus: {}", fate.status);
        if let Some(remote) = &fate.remote {
            let _ = writeln!(text, "Remote-MTA: dns; {}", one_line(&remote.name));
        }
        match &fate.remote {
            Some(remote) if !remote.words.is_empty() => {
                let _ = writeln!(text, "Diagnostic-Code: smtp; {}", one_line(&remote.words));
            }
            _ => {
                let _ = writeln!(text, "Diagnostic-Code: X-{}; {}", self.mail_name, one_line(&fate.text));
            }
        }
    }

    /// The part with the message, or with its headers: for notices that are no failure, for the postmaster, when the sender
    /// asked for no more, or when it is long.
    fn returned(&self, about: &QueueFile, notice: Kind, reader: Reader) -> io::Result<Vec<u8>> {
        let wants_headers = about.envelope.ret == Some(Ret::Headers) && reader == Reader::Sender
            || about.envelope.body == Body::BinaryMime
            || reader == Reader::Postmaster;
        let whole = notice == Kind::Failed && !wants_headers && about.size() <= self.size_limit;
        let limit = if whole { about.size() } else { about.size().min(MAX_HEADERS) };
        let mut octets = vec![0; usize::try_from(limit).map_err(|_| io::ErrorKind::FileTooLarge)?];
        about.file.read_exact_at(&mut octets, about.content.start)?;
        let kind = match (whole, about.envelope.smtputf8) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        };
        if !whole {
            let end = octets.windows(2).position(|pair| pair == b"\n\n").map(|at| at + 1);
            let last = end.or_else(|| octets.iter().rposition(|octet| *octet == b'\n').map(|at| at + 1));
            octets.truncate(last.unwrap_or(octets.len()));
        }
        let coding = if octets.is_ascii() { "7bit" } else { "8bit" };
        // The part for a success and the one for a warning are of messages that are not undelivered (yet).
        let described = match (notice, whole) {
            (Kind::Failed, true) => "Undelivered Message",
            (Kind::Failed, false) => "Undelivered Message Headers",
            (Kind::Delayed | Kind::Delivered, true) => "Message",
            (Kind::Delayed | Kind::Delivered, false) => "Message Headers",
        };
        let head =
            format!("Content-Description: {described}\nContent-Type: {kind}\nContent-Transfer-Encoding: {coding}\n\n");
        Ok([head.into_bytes(), octets].concat())
    }
}

/// How much is searched for the end of the headers.
const MAX_HEADERS: u64 = 128 * 1024;

/// Text of ours for a header field: as an encoded word (RFC 2047 §4.2) where it has letters that are not ASCII. Ours is
/// short: at most 75 octets of encoded word are promised, cut between characters.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.into();
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        let mut buffer = [0; 4];
        let mut piece = String::new();
        for octet in c.encode_utf8(&mut buffer).bytes() {
            match octet {
                b' ' => piece.push('_'),
                b if b.is_ascii_alphanumeric() => piece.push(char::from(b)),
                b => drop(write!(piece, "={b:02X}")),
            }
        }
        match words.last_mut() {
            Some(word) if word.len() + piece.len() <= 63 => word.push_str(&piece),
            _ => words.push(piece),
        }
    }
    words.iter().map(|word| format!("=?utf-8?Q?{word}?=")).collect::<Vec<_>>().join("\n ")
}

/// An address without the signs of an expanded item.
fn shown(address: &Address) -> String {
    let local = address.local().trim_start_matches('\\');
    let end = local.find(['\\', '|', '/']).filter(|at| *at > 0).unwrap_or(local.len());
    let plain = Address::new(&local[..end], address.domain().cloned()).ok();
    plain.as_ref().unwrap_or(address).to_string()
}

/// What a report about this message may hold: after SMTPUTF8 it is one of the global kind.
const fn letters(about: &QueueFile) -> Letters {
    if about.envelope.smtputf8 { Letters::Utf8 } else { Letters::Ascii }
}

/// An address with its type in front.
fn typed(between: &str, address: &str, letters: Letters) -> String {
    let kind = unitext::kind(address);
    format!("{kind}{between}{}", unitext::shown(kind, address, letters))
}

/// To whom the sender wrote, where that is known.
fn original(recipient: &Recipient, letters: Letters) -> Option<String> {
    match (&recipient.orcpt, &recipient.original) {
        (Some(orcpt), _) => {
            let (kind, address) = orcpt.split_once(';')?;
            Some(one_line(&format!("{kind};{}", unitext::shown(kind, address, letters))))
        }
        (None, Some(original)) => Some(typed(";", &original.to_string(), letters)),
        (None, None) => None,
    }
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
mod tests {
    use super::*;

    #[test]
    fn subjects_are_ascii() {
        assert_eq!(encoded("plain: yes"), "plain: yes");
        assert_eq!(encoded("été à"), "=?utf-8?Q?=C3=A9t=C3=A9_=C3=A0?=");
        let long = encoded(&"é".repeat(40));
        assert!(long.lines().count() > 1 && long.lines().all(|line| line.trim().len() <= 75), "{long}");
    }
}
