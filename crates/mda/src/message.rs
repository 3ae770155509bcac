//! The message of one task: its octets, and the lines that go in front of it.
//!
//! A small message is read into memory when its task arrives: the queue writes small files anew in place once all
//! recipients are done, and by then nobody may still be reading. Files of large messages are never written again.

use std::io;
use std::sync::Arc;

use durable::File;
use handover::{Body, Task};
use mail::date::Moment;
use spool::Origin;

/// Up to here a message is taken into memory. Not less than the largest file the queue reuses.
pub const SMALL: u64 = 64 * 1024;
/// How much of a message is searched for the end of its headers.
const HEADERS: u64 = 256 * 1024;
/// How much of a queue file holds the record about its origin.
const ORIGIN: u64 = 4096;

/// A message to deliver.
pub struct Message {
    /// What is to be done with it.
    pub task: Task,
    /// The first octets of its queue file, which tell how it came.
    origin: Vec<u8>,
    /// The octets, of a small one; else only its first part.
    head: Vec<u8>,
    /// The queue file, of a large one.
    file: Option<File>,
}

impl Message {
    /// The message of `task` in its queue file.
    ///
    /// # Errors
    /// When the file is shorter than the task says or cannot be read.
    pub fn open(task: Task, body: Body) -> io::Result<Self> {
        let file = match body {
            Body::Enclosed(octets) => File::from_octets(octets),
            Body::File(fd) => File::from_fd(Arc::into_inner(fd).ok_or(io::ErrorKind::ResourceBusy)?),
        };
        let end = task.offset.saturating_add(task.length);
        if file.meta()?.size < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let small = task.length <= SMALL;
        let wanted = if small { task.length } else { task.length.min(HEADERS) };
        // In one read, where nothing but a few records stand before it.
        let before = if task.offset <= ORIGIN { task.offset } else { 0 };
        let size = |octets: u64| usize::try_from(octets).map_err(|_| io::ErrorKind::FileTooLarge);
        let mut origin = vec![0; size(before + wanted)?];
        file.read_exact_at(&mut origin, task.offset - before)?;
        let head = origin.split_off(size(before)?);
        if before == 0 {
            origin = vec![0; size(task.offset.min(ORIGIN))?];
            file.read_exact_at(&mut origin, 0)?;
        }
        Ok(Self { task, origin, head, file: (!small).then_some(file) })
    }

    /// How the message came to this machine.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        spool::format::read_origin(&self.origin)
    }

    /// The message has been here before: it bears our own `Delivered-To`.
    #[must_use]
    pub fn has_been_here(&self) -> bool {
        let recipient = shown(&self.task.recipient).to_lowercase();
        header_lines(&self.head).any(|line| {
            let Some((name, value)) = line.split_once(':') else { return false };
            name.trim_end().eq_ignore_ascii_case("delivered-to") && value.trim().to_lowercase() == recipient
        })
    }

    /// `Return-Path`, `X-Original-To`, `Delivered-To`, and for a small message all of it. Their lines end as its own do: in
    /// CR LF for binary content.
    #[must_use]
    pub fn prefix(&self) -> Vec<u8> {
        let first = self.head.split_inclusive(|octet| *octet == b'\n').next().unwrap_or_default();
        let end = if first.ends_with(b"\r\n") { "\r\n" } else { "\n" };
        let mut prefix = format!(
            "Return-Path: <{}>{end}X-Original-To: {}{end}Delivered-To: {}{end}",
            self.sender(),
            shown(&self.task.original),
            shown(&self.task.recipient),
        )
        .into_bytes();
        if self.file.is_none() {
            prefix.extend_from_slice(&self.head);
        }
        prefix
    }

    /// The queue file and where in it the message is, unless `prefix` has it all.
    #[must_use]
    pub fn rest(&self) -> Option<(&File, u64, u64)> {
        self.file.as_ref().map(|file| (file, self.task.offset, self.task.length))
    }

    /// The envelope sender, empty for the null sender.
    #[must_use]
    pub fn sender(&self) -> String {
        self.task.sender.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The line that begins a message in an mbox, as commands expect it too.
    #[must_use]
    pub fn from_line(&self, now: Moment) -> String {
        let sender = self.sender();
        format!("From {}  {}\n", if sender.is_empty() { "MAILER-DAEMON" } else { &sender }, now.asctime())
    }
}

/// An address as headers show it, without the signs of [`handover::target`] in its local part.
fn shown(address: &mail::Address) -> String {
    address.to_string()
}

/// Now, in local time.
#[must_use]
pub fn now() -> Moment {
    let zoned = jiff::Zoned::now();
    let minutes = i16::try_from(zoned.offset().seconds() / 60).unwrap_or(0);
    Moment { seconds: zoned.timestamp().as_second(), offset: minutes }
}

/// The header lines up to the empty one; a line that is not UTF-8 is passed over.
fn header_lines(head: &[u8]) -> impl Iterator<Item = &str> {
    head.split(|octet| *octet == b'\n')
        .take_while(|line| !line.is_empty() && *line != b"\r")
        .filter_map(|line| std::str::from_utf8(line).ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use handover::What;
    use mail::{Address, QueueId};

    use super::*;

    fn message(content: &str, to: &str) -> io::Result<Message> {
        let mut file = tempfile::tempfile()?;
        file.write_all(b"prologue")?;
        file.write_all(content.as_bytes())?;
        open(content, to, Body::File(Arc::new(file.into())))
    }

    fn open(content: &str, to: &str, body: Body) -> io::Result<Message> {
        let to = Address::parse(to).expect(to);
        let task = Task {
            number: 1,
            id: QueueId::new(1, 1),
            sender: None,
            recipient: to.clone(),
            original: to,
            extension: String::new(),
            offset: 8,
            length: content.len() as u64,
            what: What::User,
        };
        Message::open(task, body)
    }

    #[test]
    fn the_lines_in_front_come_in_order() {
        let message = message("Received: x\n\nbody\n", "kevin@m3102.com").expect("readable");
        let front =
            "Return-Path: <>\nX-Original-To: kevin@m3102.com\nDelivered-To: kevin@m3102.com\nReceived: x\n\nbody\n";
        assert_eq!(message.prefix(), front.as_bytes());
        assert!(message.rest().is_none() && !message.has_been_here());
        let binary = self::message("Received: x\r\n\r\n\n\0", "kevin").expect("readable");
        let front = "Return-Path: <>\r\nX-Original-To: kevin\r\nDelivered-To: kevin\r\nReceived: x\r\n\r\n\n\0";
        assert_eq!(binary.prefix(), front.as_bytes());
        let from = message.from_line(Moment { seconds: 1_795_191_067, offset: 0 });
        assert_eq!(from, "From MAILER-DAEMON  Fri Nov 20 16:11:07 2026\n");
    }

    #[test]
    fn an_enclosed_message_is_the_same_as_one_in_a_file() {
        let content = "Received: x\n\nbody\n";
        let enclosed = |octets: String| open(content, "kevin", Body::Enclosed(octets.into_bytes().into()));
        let message = enclosed(format!("prologue{content}and records")).expect("whole");
        assert_eq!(message.prefix(), self::message(content, "kevin").expect("readable").prefix());
        assert_eq!(enclosed("prologueRec".into()).err().map(|e| e.kind()), Some(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_message_that_was_here_is_known() {
        for (content, here) in [
            ("delivered-to:  Kevin@m3102.com\n\n", true),
            ("Delivered-To: toto@m3102.com\n\nDelivered-To: kevin@m3102.com\n", false),
            ("Subject: \u{e9}\nDelivered-To: kevin@m3102.com\r\n\r\n", true),
        ] {
            assert_eq!(message(content, "kevin@m3102.com").expect("readable").has_been_here(), here, "{content:?}");
        }
    }

    #[test]
    fn a_large_message_stays_in_its_file() {
        let content = "x".repeat(100_000);
        let message = message(&content, "kevin").expect("readable");
        assert_eq!(message.rest().map(|(_, offset, length)| (offset, length)), Some((8, 100_000)));
        assert!(message.prefix().len() < 200);
    }
}
