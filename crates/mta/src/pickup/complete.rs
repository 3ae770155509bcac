//! The header fields a message must have (RFC 5322 §3.6, RFC 5321 §4.4), put in where the user's program left them out.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::QueueId;
use mail::date::Moment;
use mail::header;
use smtp::rewrite::{Addresses, is_address_field};

use crate::sendmail::is_field;

/// What is known of the message.
pub(super) struct Facts<'a> {
    pub(super) id: QueueId,
    pub(super) uid: u32,
    pub(super) arrival: SystemTime,
    pub(super) host: &'a str,
    pub(super) mail_name: &'a str,
    /// Whole, or empty for the null sender.
    pub(super) sender: &'a str,
    /// What becomes of addresses in fields, as smtpd does for our own users.
    pub(super) addresses: Option<&'a Addresses>,
}

/// A whole header.
pub(super) struct Completed {
    /// With the empty line that ends it.
    pub(super) header: Vec<u8>,
    /// Where the body begins in what was given.
    pub(super) body: usize,
    /// For the log.
    pub(super) message_id: String,
    /// How many servers it has passed.
    pub(super) hops: usize,
}

/// Completes the header at the beginning of `head`.
pub(super) fn complete(head: &[u8], facts: &Facts<'_>) -> Completed {
    let (end, body) = header_end(head);
    let given = &head[..end];
    let date = local(facts.arrival);
    let mut out = received(facts, &date).into_bytes();
    for field in header::fields(given).filter(|field| !DROPPED.iter().any(|name| field.is(name))) {
        write_field(field.raw, facts.addresses, &mut out);
    }
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    // A message sent on keeps its own fields; the new ones then begin with Resent-.
    let resent = header::fields(given).any(|field| field.name.to_ascii_lowercase().starts_with(b"resent-"));
    let prefix = if resent { "Resent-" } else { "" };
    let has = |name: &str| header::find(given, &format!("{prefix}{name}")).is_some();
    let message_id = match header::find(given, &format!("{prefix}Message-Id")) {
        Some(field) => String::from_utf8_lossy(&field.unfolded()).into_owned(),
        None => {
            let made = new_message_id(facts);
            out.extend(format!("{prefix}Message-Id: {made}\n").bytes());
            made
        }
    };
    if !has("Date") {
        out.extend(format!("{prefix}Date: {date}\n").bytes());
    }
    if !has("From") {
        out.extend(format!("{prefix}From: {}\n", from(facts)).bytes());
    }
    out.push(b'\n');
    let hops = header::fields(given).filter(|field| field.is("Received")).count();
    Completed { header: out, body, message_id, hops }
}

/// One field with its continuation lines.
fn write_field(raw: &[u8], addresses: Option<&Addresses>, out: &mut Vec<u8>) {
    let colon = raw.iter().position(|octet| *octet == b':');
    match (colon.and_then(|colon| raw.split_at_checked(colon + 1)), addresses) {
        (Some((name, value)), Some(addresses)) if is_address_field(name[..name.len() - 1].trim_ascii_end()) => {
            out.extend_from_slice(name);
            out.extend_from_slice(&addresses.value(name[..name.len() - 1].trim_ascii_end(), value));
        }
        _ => out.extend_from_slice(raw),
    }
}

/// Where the fields end and where the body begins: behind the empty line, or at the first line that is no field.
fn header_end(head: &[u8]) -> (usize, usize) {
    let mut at = 0;
    for line in head.split_inclusive(|octet| *octet == b'\n') {
        let continues = at > 0 && (line.starts_with(b" ") || line.starts_with(b"\t"));
        if line == b"\n" {
            return (at, at + 1);
        }
        if !continues && !is_field(line) {
            break;
        }
        at += line.len();
    }
    (at, at)
}

fn received(facts: &Facts<'_>, date: &str) -> String {
    let Facts { host, mail_name, uid, id, .. } = facts;
    format!("Received: by {host} ({mail_name}, from userid {uid})\n\tid {id}; {date}\n")
}

fn new_message_id(facts: &Facts<'_>) -> String {
    let time = timestamp(facts.arrival).to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string();
    format!("<{time}.{}@{}>", facts.id, facts.host)
}

fn from(facts: &Facts<'_>) -> String {
    match facts.sender {
        "" => format!("Mail Delivery System <MAILER-DAEMON@{}>", facts.host),
        sender => sender.to_owned(),
    }
}

/// `Fri, 20 Nov 2026 16:11:07 +0000 (UTC)`
fn local(time: SystemTime) -> String {
    let zoned = timestamp(time).to_zoned(TimeZone::system());
    let offset = i16::try_from(zoned.offset().seconds() / 60).unwrap_or(0);
    let moment = Moment::utc(zoned.timestamp().as_second()).at_offset(offset);
    moment.rfc5322_with_zone(&zoned.strftime("%Z").to_string())
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Fields that say who else gets it, or that only delivery may write.
const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];

/// How much of a message may be its header.
pub(super) const MAX_HEADER: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn completed(head: &str) -> (String, String) {
        let addresses = Addresses { origin: "m3102.com".into(), change: None };
        let facts = Facts {
            id: QueueId::parse("660B83BE32240A7").unwrap(),
            uid: 1000,
            arrival: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_191_067),
            host: "vm",
            mail_name: "Facteur",
            sender: "kevin@m3102.com",
            addresses: Some(&addresses),
        };
        let done = complete(head.as_bytes(), &facts);
        let text = [&done.header, &head.as_bytes()[done.body..]].concat();
        let text = String::from_utf8(text).unwrap();
        let (received, rest) = text.split_once("\n\tid 660B83BE32240A7; ").unwrap();
        assert_eq!(received, "Received: by vm (Facteur, from userid 1000)");
        (rest.split_once('\n').unwrap().1.to_owned(), done.message_id)
    }

    #[test]
    fn what_is_missing_is_put_in() {
        let (text, id) = completed("Subject: x\n\nbody\n");
        assert_eq!(id, "<20261120161107.660B83BE32240A7@vm>");
        let fields: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(fields, ["Subject", "Message-Id", "Date", "From", "", "body"]);
        assert!(text.contains("\nFrom: kevin@m3102.com\n\nbody\n"));
    }

    #[test]
    fn what_is_there_stays_and_what_is_private_goes() {
        let head =
            "From: a@b\nMessage-ID: <1@x>\nBcc: secret@x,\n more@x\nDate: now\nReturn-Path: <z>\nTo: k@l\n\nbody";
        let (text, id) = completed(head);
        assert_eq!((text.as_str(), id.as_str()), ("From: a@b\nMessage-ID: <1@x>\nDate: now\nTo: k@l\n\nbody", "<1@x>"));
    }

    #[test]
    fn bare_names_in_address_fields_are_completed() {
        let head = "TO: kevin, Foo <foo>,\n \"bar\" <bar@x>\nCc:toto\nFrom: a@b\nSubject: kevin, foo\n\nTo: titi\n";
        let (text, _) = completed(head);
        let start = "TO: kevin@m3102.com, Foo <foo@m3102.com>,\n \"bar\" <bar@x>\nCc:toto@m3102.com\nFrom: a@b\n";
        assert!(text.starts_with(start) && text.contains("\nSubject: kevin, foo\n"), "{text}");
        assert!(text.ends_with("\n\nTo: titi\n"), "{text}");
    }

    #[test]
    fn a_body_without_header_gets_one() {
        for head in ["hello there\n", "\nhello there\n"] {
            let (text, _) = completed(head);
            assert!(text.starts_with("Message-Id: ") && text.ends_with("\n\nhello there\n"), "{text}");
        }
    }

    #[test]
    fn a_message_sent_on_gets_resent_fields() {
        let (text, _) = completed("From: a@b\nMessage-Id: <1@x>\nResent-To: kevin\n\n");
        assert!(text.contains("\nResent-Message-Id: <2026"), "{text}");
        assert!(text.contains("\nResent-From: kevin@m3102.com\n"), "{text}");
        assert_eq!(text.matches("\nFrom:").count() + usize::from(text.starts_with("From:")), 1);
    }
}
