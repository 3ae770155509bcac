//! The header block of a message on its way in, looked at while it streams by: what is missing is added at its end,
//! bare names in address fields are completed, what must not arrive is dropped (RFC 5322 §3.6; RFC 6409 §8 for completion).
//!
//! Input and output have the line ends it is told: LF, or for BODY=BINARYMIME the CR LF of the wire. The body passes octet for
//! octet. Memory: one unfinished line of at most [`MAX_HELD`] octets,
//! one address field of at most [`MAX_ADDRESS_FIELD`], and a message id.
//! Nothing fails: text that is no header ends the block, and an empty line is put before it, as Postfix does.

use alloc::string::String;
use alloc::vec::Vec;

use wire::LineEnd;

use crate::rewrite::{self, Addresses};

/// An unfinished line longer than this is passed on as it is.
pub const MAX_HELD: usize = 2048;
/// An address field longer than this is passed on as it is.
pub const MAX_ADDRESS_FIELD: usize = 64 * 1024;
/// A header block longer than this is taken as body from there on.
pub const MAX_BLOCK: usize = 1 << 20;

/// What to add where it is missing, for mail of our own users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// With its angle brackets.
    pub message_id: String,
    /// As in RFC 5322 §3.3.
    pub date: String,
    /// The sender, with a full name where one is known.
    pub from: String,
}

/// The filter for one message: [`Head::push`] all its octets, then [`Head::end`].
#[derive(Debug)]
pub struct Head {
    /// How the lines end that are put in.
    line_end: LineEnd,
    completion: Option<Completion>,
    /// What addresses in fields become; `None`: they stay.
    rewriting: Option<Addresses>,
    place: Place,
    held: Vec<u8>,
    /// The address field that may still go on, when addresses are rewritten.
    addresses: Vec<u8>,
    seen: Seen,
    message_id: Option<String>,
    hops: usize,
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first line.
    Start,
    /// After a field that was written.
    Field,
    /// After a field that was dropped.
    Dropped,
    /// Inside a line too long to hold; what holds for its field.
    LongLine {
        dropped: bool,
    },
    Body,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    message_id: bool,
    date: bool,
    from: bool,
    resent: bool,
    resent_message_id: bool,
    resent_date: bool,
    resent_from: bool,
}

impl Head {
    /// Adds what is missing when `completion` says what with, and rewrites addresses when told how; passes the rest on,
    /// less what is dropped. Lines end as `line_end` says.
    #[must_use]
    pub const fn new(line_end: LineEnd, completion: Option<Completion>, rewriting: Option<Addresses>) -> Self {
        let seen = Seen {
            message_id: false,
            date: false,
            from: false,
            resent: false,
            resent_message_id: false,
            resent_date: false,
            resent_from: false,
        };
        Self {
            line_end,
            completion,
            rewriting,
            place: Place::Start,
            held: Vec::new(),
            addresses: Vec::new(),
            seen,
            message_id: None,
            hops: 0,
            length: 0,
        }
    }

    /// Takes octets of the message and appends what is to be stored.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while self.place != Place::Body {
            let Some(at) = rest.iter().position(|octet| *octet == b'\n') else {
                self.hold(rest, out);
                return;
            };
            let (line, tail) = rest.split_at(at + 1);
            rest = tail;
            if self.held.is_empty() {
                self.line(line, out);
            } else {
                let mut whole = core::mem::take(&mut self.held);
                whole.extend_from_slice(line);
                self.line(&whole, out);
            }
        }
        out.extend_from_slice(rest);
    }

    /// The message is complete.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let last = core::mem::take(&mut self.held);
        let open = !last.is_empty() || self.place == Place::LongLine { dropped: false };
        if !last.is_empty() {
            self.line(&last, out);
        }
        if self.place != Place::Body {
            // Only the last chunk of BDAT can end in the middle of a field.
            if open && self.place != Place::Dropped {
                self.write(self.end_of_line(), out);
            }
            self.complete(out);
            self.place = Place::Body;
        }
    }

    /// The message id, its own or the one added, once the header is over.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.message_id.as_deref()
    }

    /// How many Received fields there were: the hops so far.
    #[must_use]
    pub const fn hops(&self) -> usize {
        self.hops
    }

    /// Keeps the beginning of a line, within the limit.
    fn hold(&mut self, part: &[u8], out: &mut Vec<u8>) {
        if let Place::LongLine { dropped } = self.place {
            if !dropped {
                self.write(part, out);
            }
            return;
        }
        self.held.extend_from_slice(part);
        if self.held.len() > MAX_HELD {
            let start = core::mem::take(&mut self.held);
            self.line(&start, out);
            if self.place != Place::Body {
                self.place = Place::LongLine { dropped: self.place == Place::Dropped };
            }
        }
    }

    /// A whole line with its end, or the beginning of a long one.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.length += line.len();
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match (self.place, text.first()) {
            (Place::LongLine { dropped }, _) => {
                self.place = if dropped { Place::Dropped } else { Place::Field };
                if !dropped {
                    self.write(line, out);
                }
            }
            (Place::Field, Some(b' ' | b'\t')) => self.write(line, out),
            (Place::Dropped, Some(b' ' | b'\t')) => {}
            (_, None) => self.body(line, out),
            // An mbox separator in front, as `sendmail` is fed by old programs.
            (Place::Start, Some(_)) if text.starts_with(b"From ") || text.starts_with(b">From ") => {
                out.extend_from_slice(b"X-Mailbox-Line: ");
                out.extend_from_slice(line);
                self.place = Place::Field;
            }
            (_, Some(_)) => match field_name(text) {
                Some(name) if self.length <= MAX_BLOCK => self.field(name, line, out),
                _ => {
                    self.complete(out);
                    out.extend_from_slice(self.end_of_line());
                    out.extend_from_slice(line);
                    self.place = Place::Body;
                }
            },
        }
    }

    const fn end_of_line(&self) -> &'static [u8] {
        match self.line_end {
            LineEnd::CrLf => b"\r\n",
            LineEnd::Lf => b"\n",
        }
    }

    fn body(&mut self, line: &[u8], out: &mut Vec<u8>) {
        self.complete(out);
        out.extend_from_slice(line);
        self.place = Place::Body;
    }

    fn field(&mut self, name: &[u8], line: &[u8], out: &mut Vec<u8>) {
        self.flush_addresses(out);
        if DROPPED.iter().any(|dropped| name.eq_ignore_ascii_case(dropped)) {
            self.place = Place::Dropped;
            return;
        }
        self.place = Place::Field;
        self.note(name, line);
        if self.rewriting.is_some() && rewrite::is_address_field(name) {
            self.addresses.extend_from_slice(line);
        } else {
            out.extend_from_slice(line);
        }
    }

    /// Goes on with the present field.
    fn write(&mut self, part: &[u8], out: &mut Vec<u8>) {
        if self.addresses.is_empty() {
            return out.extend_from_slice(part);
        }
        self.addresses.extend_from_slice(part);
        if self.addresses.len() > MAX_ADDRESS_FIELD {
            out.append(&mut self.addresses);
        }
    }

    fn flush_addresses(&mut self, out: &mut Vec<u8>) {
        let field = core::mem::take(&mut self.addresses);
        let colon = field.iter().position(|octet| *octet == b':').map_or(field.len(), |at| at + 1);
        let (name, value) = field.split_at(colon);
        out.extend_from_slice(name);
        match &self.rewriting {
            Some(addresses) => {
                let name = name.strip_suffix(b":").unwrap_or(name).trim_ascii_end();
                out.extend_from_slice(&addresses.value(name, value));
            }
            None => out.extend_from_slice(value),
        }
    }

    fn note(&mut self, name: &[u8], line: &[u8]) {
        let lower = name.to_ascii_lowercase();
        self.seen.resent |= lower.starts_with(b"resent-");
        match lower.as_slice() {
            b"message-id" => {
                self.seen.message_id = true;
                let value = line.splitn(2, |octet| *octet == b':').nth(1).unwrap_or_default().trim_ascii();
                self.message_id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"date" => self.seen.date = true,
            b"from" => self.seen.from = true,
            b"resent-message-id" => self.seen.resent_message_id = true,
            b"resent-date" => self.seen.resent_date = true,
            b"resent-from" => self.seen.resent_from = true,
            b"received" => self.hops += 1,
            _ => {}
        }
    }

    /// Writes the fields that are missing; of a message sent on by a reader, those of its new block.
    fn complete(&mut self, out: &mut Vec<u8>) {
        self.flush_addresses(out);
        let Some(completion) = self.completion.take() else { return };
        let seen = self.seen;
        let (prefix, missing) = if seen.resent {
            ("Resent-", [!seen.resent_message_id, !seen.resent_date, !seen.resent_from])
        } else {
            ("", [!seen.message_id, !seen.date, !seen.from])
        };
        let fields = [("Message-Id", &completion.message_id), ("Date", &completion.date), ("From", &completion.from)];
        for ((name, value), _) in fields.into_iter().zip(missing).filter(|(_, missing)| *missing) {
            for part in [prefix, name, ": ", value] {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(self.end_of_line());
        }
        if self.message_id.is_none() && missing[0] {
            self.message_id = Some(completion.message_id);
        }
    }
}

/// `field-name = 1*ftext`, with the blanks before the colon that RFC 5322 §4.5 asks readers to bear.
fn field_name(text: &[u8]) -> Option<&[u8]> {
    let name = text.split(|octet| *octet == b':').next().filter(|name| name.len() < text.len())?.trim_ascii_end();
    (!name.is_empty() && name.iter().all(|octet| (33..=126).contains(octet))).then_some(name)
}

/// Fields that never arrive (`message_drop_headers`).
const DROPPED: [&[u8]; 4] = [b"Bcc", b"Content-Length", b"Resent-Bcc", b"Return-Path"];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn completion() -> Completion {
        Completion { message_id: "<i@vm>".into(), date: "D".into(), from: "a@b".into() }
    }

    fn run(parts: &[&[u8]], completion: Option<Completion>) -> (String, Option<String>) {
        let rewriting = completion.as_ref().map(|_| Addresses { origin: "o".into(), change: None });
        let mut head = Head::new(LineEnd::Lf, completion, rewriting);
        let mut out = Vec::new();
        for part in parts {
            head.push(part, &mut out);
        }
        head.end(&mut out);
        (String::from_utf8_lossy(&out).into_owned(), head.message_id().map(ToString::to_string))
    }

    #[test]
    fn what_is_missing_is_added() {
        let all = "Message-Id: <i@vm>\nDate: D\nFrom: a@b\n";
        for (message, stored) in [
            ("Subject: x\n\nbody\n", "Subject: x\nMessage-Id: <i@vm>\nDate: D\nFrom: a@b\n\nbody\n".to_string()),
            ("hello\n", [all, "\nhello\n"].concat()),
            ("", all.to_string()),
            ("\nbody\n", [all, "\nbody\n"].concat()),
            ("DATE : x\nmessage-id:<1>\nFrom: z@z\n\n", "DATE : x\nmessage-id:<1>\nFrom: z@z\n\n".to_string()),
            (
                "From: z@z\n (more)\nBcc: a\n b\nTo: c@c\nno header\n",
                "From: z@z\n (more)\nTo: c@c\nMessage-Id: <i@vm>\nDate: D\n\nno header\n".to_string(),
            ),
            (
                "From x y\nFrom: z@z\n\n",
                "X-Mailbox-Line: From x y\nFrom: z@z\nMessage-Id: <i@vm>\nDate: D\n\n".to_string(),
            ),
            (
                "Resent-From: z@z\nDate: x\n\n",
                "Resent-From: z@z\nDate: x\nResent-Message-Id: <i@vm>\nResent-Date: D\n\n".to_string(),
            ),
            (
                "To: kevin,\n foo\nDate: x\n\n",
                "To: kevin@o,\n foo@o\nDate: x\nMessage-Id: <i@vm>\nFrom: a@b\n\n".to_string(),
            ),
            (" leading\n", [all, "\n leading\n"].concat()),
        ] {
            assert_eq!(run(&[message.as_bytes()], Some(completion())).0, stored);
        }
    }

    #[test]
    fn without_completion_only_what_must_not_arrive_goes() {
        assert_eq!(run(&[b"Return-Path: <x>\nTo: c\n\nBcc: body\n"], None), ("To: c\n\nBcc: body\n".into(), None));
        assert_eq!(run(&[b"Message-ID: <1@x>\n\n"], None).1.as_deref(), Some("<1@x>"));
    }

    #[test]
    fn lines_of_the_wire_keep_their_ends() {
        let all = "Message-Id: <i@vm>\r\nDate: D\r\nFrom: a@b\r\n";
        for (message, stored) in [
            (
                "Bcc: x\r\n y\r\nTo: kevin,\r\n foo\r\nDate: x\r\n\r\nBcc: \0\n\r",
                "To: kevin@o,\r\n foo@o\r\nDate: x\r\nMessage-Id: <i@vm>\r\nFrom: a@b\r\n\r\nBcc: \0\n\r".to_string(),
            ),
            ("\0\r\n", [all, "\r\n\0\r\n"].concat()),
            ("From: a\r\nMessage-Id: <1>\r\nDate: D", "From: a@o\r\nMessage-Id: <1>\r\nDate: D\r\n".to_string()),
            ("Message-Id: <1>\r\nDate: D\r\nFrom: a", "Message-Id: <1>\r\nDate: D\r\nFrom: a@o\r\n".to_string()),
            ("To: a", ["To: a@o\r\n", all].concat()),
            ("Bcc: a", all.to_string()),
        ] {
            let rewriting = Addresses { origin: "o".into(), change: None };
            let mut head = Head::new(LineEnd::CrLf, Some(completion()), Some(rewriting));
            let mut out = Vec::new();
            head.push(message.as_bytes(), &mut out);
            head.end(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), stored);
        }
    }

    #[test]
    fn hops_are_counted_in_lines_of_the_wire() {
        let mut head = Head::new(LineEnd::CrLf, None, None);
        let mut out = Vec::new();
        head.push(b"Received: a\r\n\tb\r\nReceived: c\r\n\r\nReceived: d\r\n", &mut out);
        head.end(&mut out);
        assert_eq!(head.hops(), 2);
    }

    #[test]
    fn long_lines_take_no_memory() {
        let mut head = Head::new(LineEnd::Lf, None, None);
        let mut out = Vec::new();
        head.push(b"Bcc: ", &mut out);
        for _ in 0..100 {
            head.push(&[b'a'; 1000], &mut out);
            assert!(head.held.len() <= MAX_HELD);
        }
        head.push(b"\n b\nTo: ", &mut out);
        for _ in 0..3 {
            head.push(&[b'a'; 1000], &mut out);
        }
        head.push(b"\n\nx", &mut out);
        head.end(&mut out);
        assert_eq!(out.len(), "To: \n\nx".len() + 3000);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "(From: a|To: b|Bcc: c| d|x|\n|From ){0,12}", cut in 0..80usize) {
            let octets = text.as_bytes();
            let (first, second) = octets.split_at(cut.min(octets.len()));
            prop_assert_eq!(run(&[octets], Some(completion())), run(&[first, second], Some(completion())));
        }
    }
}
