//! Finding the messages of an mbox, reading it once from start to end and holding one line at a time.
//!
//! A message begins at a line `From sender date` at the start of the file or after an empty line. A `Content-Length` is
//! believed only where a message or the end of the file follows it. Notes are read as c-client and Dovecot write them.

use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

use durable::File;
use mail::date::Moment;
use mail::{Flag, Flags, Uid, UidValidity};

use super::quoting::is_note;
use crate::Error;

/// Longest part of a line that is looked at.
const LINE: usize = 16 * 1024;
/// A base that has given this one is believed no more: no mailbox comes here, but a sender's forged field.
const LAST_UID: u32 = u32::MAX - (1 << 20);
/// A uid without a base above this one is a sender's forged field.
const HIGHEST_STRAY: u32 = 1 << 30;

/// One message and where its pieces are in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The `From ` line.
    pub(crate) start: u64,
    /// The line after it.
    pub(crate) header: u64,
    /// After the empty line that ends the header.
    pub(crate) body: u64,
    /// Where the body ends, before the empty line that divides messages.
    pub(crate) end: u64,
    /// Where the next message begins.
    pub(crate) next: u64,
    /// Fields that are notes.
    pub(crate) notes: Vec<Range<u64>>,
    /// The end of the file cut off the last line of the body: it is given its end when it is read.
    pub(crate) cut_off: bool,
    /// Octets with CRLF line ends, notes left out.
    pub(crate) size: u64,
    /// From the `From ` line, as if it were UTC.
    pub(crate) date: i64,
    pub(crate) uid: Option<Uid>,
    pub(crate) flags: Flags,
    /// Its end is known from `Content-Length`: inside may stand what looks like a `From ` line.
    pub(crate) counted: bool,
    /// A reader has seen that it is there (`Status: O`).
    pub(crate) old: bool,
}

impl Entry {
    /// What is missing at the end of the body.
    pub(crate) const fn missing_end(&self) -> &'static [u8] {
        if self.cut_off { b"\n" } else { b"" }
    }
}

/// `X-IMAPbase: 1795191091 0000000012 $Junk work`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) validity: UidValidity,
    pub(crate) last: u32,
    pub(crate) keywords: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) entries: Vec<Entry>,
    pub(crate) base: Option<Base>,
    /// The first entry is c-client's message about the folder, hidden from clients.
    pub(crate) pseudo: bool,
    /// The base is not in the file: another program removed the message that carried it.
    pub(crate) orphaned: bool,
    /// The highest uid that stands in the file without a base that covers it.
    pub(crate) stray: u32,
}

/// Reads the whole file; `known` is the base it had when we last looked.
pub(crate) fn parse(file: &File, known: Option<&Base>) -> Result<Parsed, Error> {
    let mut parser = Parser { file, lines: Lines::of(file), parsed: Parsed::default(), now: None, inside: 0 };
    while parser.step()? {}
    let end = parser.lines.at;
    parser.finish(end);
    let mut parsed = parser.parsed;
    if parsed.base.is_none() && parsed.entries.first().is_some_and(|entry| entry.uid.is_some()) {
        parsed.base = known.cloned();
        parsed.orphaned = parsed.base.is_some();
    }
    if parsed.base.is_none() {
        let strays = parsed.entries.iter().filter_map(|entry| entry.uid).map(Uid::get);
        parsed.stray = strays.filter(|uid| *uid <= HIGHEST_STRAY).max().unwrap_or(0);
    }
    parsed.trust_uids();
    Ok(parsed)
}

impl Parsed {
    /// Uids count as long as they ascend and the base covers them; from the first that does not, none counts.
    fn trust_uids(&mut self) {
        let limit = self.base.as_ref().map_or(0, |base| base.last);
        let mut last = 0;
        let mut trusted = true;
        for entry in self.entries.iter_mut().skip(usize::from(self.pseudo)) {
            let good = entry.uid.is_some_and(|uid| uid.get() > last && uid.get() <= limit);
            trusted &= good;
            match entry.uid.filter(|_| trusted) {
                Some(uid) => last = uid.get(),
                None => entry.uid = None,
            }
        }
    }
}

/// What is known of the message under way.
struct Current {
    entry: Entry,
    in_header: bool,
    /// The note under way: its start and text.
    note: Option<(u64, Vec<u8>)>,
    content_length: Option<u64>,
    /// Where the last line began, if it was empty and in the body.
    blank: Option<u64>,
}

struct Parser<'a> {
    file: &'a File,
    lines: Lines<'a>,
    parsed: Parsed,
    now: Option<Current>,
    /// Before here no message begins: a `Content-Length` said so and was right.
    inside: u64,
}

impl Parser<'_> {
    fn step(&mut self) -> Result<bool, Error> {
        let may_begin = (self.lines.at == 0 || self.lines.was_blank) && self.lines.at >= self.inside;
        let start = self.lines.at;
        if !self.lines.next()? {
            return Ok(false);
        }
        if let Some(date) = from_date(&self.lines.text).filter(|_| may_begin) {
            self.finish(start);
            let entry = Entry { start, header: self.lines.at, date, ..Entry::default() };
            self.now = Some(Current { entry, in_header: true, note: None, content_length: None, blank: None });
            return Ok(true);
        }
        let Some(now) = &mut self.now else { return Ok(true) };
        if !now.in_header {
            now.entry.size += self.lines.wide;
            now.blank = self.lines.was_blank.then_some(start);
            return Ok(true);
        }
        let continues = matches!(self.lines.text.first(), Some(b' ' | b'\t'));
        match &mut now.note {
            Some((_, text)) if continues => text.extend_from_slice(&self.lines.text),
            _ => {
                self.end_note(start);
                self.header_line(start)?;
            }
        }
        Ok(true)
    }

    fn header_line(&mut self, start: u64) -> Result<(), Error> {
        let Some(now) = &mut self.now else { return Ok(()) };
        if is_note(&self.lines.text) {
            now.note = Some((start, self.lines.text.clone()));
            return Ok(());
        }
        now.entry.size += self.lines.wide;
        if self.lines.was_blank {
            now.in_header = false;
            now.entry.body = self.lines.at;
            let end =
                now.content_length.filter(|length| *length > 0).and_then(|length| self.lines.at.checked_add(length));
            if let Some(end) = end.filter(|end| message_follows(self.file, *end)) {
                now.entry.counted = true;
                self.inside = end;
            }
        }
        Ok(())
    }

    fn end_note(&mut self, end: u64) {
        let first = self.parsed.entries.is_empty();
        let Some(now) = &mut self.now else { return };
        let Some((start, text)) = now.note.take() else { return };
        now.entry.notes.push(start..end);
        let Some(field) = mail::header::fields(&text).next() else { return };
        let value = String::from_utf8_lossy(&field.unfolded()).into_owned();
        if field.is("X-IMAPbase") || field.is("X-IMAP") {
            if let Some(base) = read_base(&value).filter(|_| first) {
                self.parsed.base = Some(base);
                self.parsed.pseudo = field.is("X-IMAP");
            }
        } else if field.is("Content-Length") {
            now.content_length = value.parse().ok();
        } else {
            read_note(&mut now.entry, (&field, &value));
        }
    }

    fn finish(&mut self, next: u64) {
        self.end_note(next);
        let Some(mut now) = self.now.take() else { return };
        if now.in_header {
            now.entry.body = next;
            now.entry.size += 2;
        }
        now.entry.next = next;
        now.entry.end = next;
        if let Some(blank) = now.blank {
            now.entry.end = blank;
            now.entry.size -= 2;
        } else {
            now.entry.cut_off = !self.lines.ended && next > now.entry.body;
        }
        self.parsed.entries.push(now.entry);
    }
}

/// No base where it leaves no uids to give: the messages are then numbered anew.
fn read_base(value: &str) -> Option<Base> {
    let mut words = value.split_ascii_whitespace();
    let validity = UidValidity::new(words.next()?.parse().ok()?)?;
    let last = words.next()?.parse().ok().filter(|last| *last < LAST_UID)?;
    Some(Base { validity, last, keywords: words.map(str::to_owned).collect() })
}

fn read_note(entry: &mut Entry, (field, value): (&mail::header::Field<'_>, &str)) {
    if field.is("X-UID") {
        entry.uid = value.parse().ok().and_then(Uid::new);
    } else if field.is("X-Keywords") {
        entry.flags.keywords.extend(value.split_ascii_whitespace().map(str::to_owned));
    } else {
        for letter in value.bytes() {
            match letter {
                b'R' => entry.flags.set(Flag::Seen),
                b'O' => entry.old = true,
                b'A' => entry.flags.set(Flag::Answered),
                b'F' => entry.flags.set(Flag::Flagged),
                b'T' => entry.flags.set(Flag::Draft),
                b'D' => entry.flags.set(Flag::Deleted),
                _ => (),
            }
        }
    }
}

/// The date of a `From ` line; senders may hold blanks.
pub(crate) fn from_date(line: &[u8]) -> Option<i64> {
    let rest = line.strip_prefix(b"From ")?;
    let mut at = 0;
    for _ in 0..6 {
        at += memchr::memchr(b' ', &rest[at..])? + 1;
        if let Some(moment) = Moment::parse_asctime(&rest[at..]) {
            return Some(moment.seconds);
        }
    }
    None
}

/// Reads lines, however long, keeping the start of each.
struct Lines<'a> {
    reader: BufReader<At<'a>>,
    /// Where the next line begins.
    at: u64,
    text: Vec<u8>,
    /// Octets of the last line when it ends in CRLF, as one that the end of the file cut off will.
    wide: u64,
    was_blank: bool,
    /// The last line had its line feed.
    ended: bool,
}

impl<'a> Lines<'a> {
    fn of(file: &'a File) -> Self {
        let reader = BufReader::with_capacity(256 * 1024, At { file, at: 0 });
        Self { reader, at: 0, text: Vec::new(), wide: 0, was_blank: false, ended: true }
    }

    fn next(&mut self) -> io::Result<bool> {
        self.text.clear();
        let (mut length, mut last, mut ended) = (0_u64, 0_u8, false);
        while !ended {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let piece = match memchr::memchr(b'\n', buffer) {
                Some(at) => &buffer[..=at],
                None => buffer,
            };
            ended = piece.ends_with(b"\n");
            let before = piece[..piece.len() - usize::from(ended)].last().copied();
            last = before.unwrap_or(last);
            self.text.extend_from_slice(&piece[..piece.len().min(LINE.saturating_sub(self.text.len()))]);
            length += piece.len() as u64;
            let used = piece.len();
            self.reader.consume(used);
        }
        let line = length - u64::from(ended);
        self.wide = line + if line > 0 && last == b'\r' { 1 } else { 2 };
        self.was_blank = self.text == b"\n" || self.text == b"\r\n" || !ended && self.text == b"\r";
        self.at += length;
        self.ended = ended || length == 0 && self.ended;
        Ok(length > 0)
    }
}

/// Whether at `end`, or after an empty line there, a message begins or the file ends. A body without a last line end is
/// given one by who appends the next message.
fn message_follows(file: &File, end: u64) -> bool {
    let mut start = [0; 512];
    let Ok(size) = file.meta().map(|meta| meta.size) else { return false };
    let Some(got) = file.read_at(&mut start, end - 1).ok().filter(|_| end <= size) else { return false };
    let text = match &start[..got] {
        [b'\n', text @ ..] => text,
        [_, text @ ..] => without_line_end(text),
        [] => return false,
    };
    let text = without_line_end(text);
    text.is_empty() || text.split(|b| *b == b'\n').next().is_some_and(|line| from_date(line).is_some())
}

fn without_line_end(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\r\n").or_else(|| text.strip_prefix(b"\n")).unwrap_or(text)
}

/// Reads a file from a place on.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
