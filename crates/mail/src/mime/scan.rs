//! The one pass over the lines of a message that finds its parts.
//!
//! A stack holds the parts under way, outermost first; the boundaries of the multiparts among them are open until their
//! closing line or their multipart's end. Every line costs at most one comparison per open boundary ([`MAX_DEPTH`] of them).

use alloc::vec;
use alloc::vec::Vec;

use super::content::{ContentFields, DefaultType};
use super::{Kind, MAX_DEPTH, MAX_PARTS, Part, Scanned, Structure};

/// Takes a message piece by piece, however it is cut, and finds its parts; of the message itself it keeps the header under
/// way, so that a large message need never be in memory.
pub struct Scanner {
    parts: Vec<Part>,
    stack: Vec<Open>,
    boundaries: Vec<Boundary>,
    here: Position,
    /// Before the line break that ended the last line.
    before_break: Position,
    /// The header of the innermost part, while in it.
    header: Vec<u8>,
    /// The line under way, as far as it is looked at, and how long it is so far.
    line: Vec<u8>,
    length: usize,
    last: u8,
    headers: Vec<(usize, Vec<u8>)>,
    kept: usize,
}

/// A whole line.
struct Line<'a> {
    /// Its beginning: long enough for every boundary, or all of it.
    text: &'a [u8],
    length: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    None,
    Lf,
    CrLf,
}

/// What is read of one header; the rest of a longer one counts but is not looked into.
const MAX_HEADER: usize = 1024 * 1024;
/// Octets of headers kept for [`Scanned::headers`].
const MAX_HEADERS: usize = 4 * 1024 * 1024;
/// More of a line is not compared with boundaries.
const MAX_LINE: usize = 64 * 1024;

/// An octet of the message, and what was counted up to it.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    at: usize,
    lines: usize,
    /// Line feeds with no carriage return before them.
    bare: usize,
}

/// A part under way.
struct Open {
    part: usize,
    start: Position,
    default: DefaultType,
    /// The message itself, or one inside.
    is_message: bool,
    /// Where its body began; `None` while in the header.
    body: Option<Position>,
}

struct Boundary {
    text: Vec<u8>,
    /// The multipart's height in the stack.
    height: usize,
    child_default: DefaultType,
}

impl Default for Scanner {
    fn default() -> Self {
        let mut scanner = Self {
            parts: Vec::new(),
            stack: Vec::new(),
            boundaries: Vec::new(),
            here: Position::default(),
            before_break: Position::default(),
            header: Vec::new(),
            line: Vec::new(),
            length: 0,
            last: 0,
            headers: Vec::new(),
            kept: 0,
        };
        scanner.begin_part(DefaultType::Text);
        scanner
    }
}

impl Scanner {
    /// The next octets.
    pub fn feed(&mut self, mut octets: &[u8]) {
        while let Some(at) = memchr::memchr(b'\n', octets) {
            let (piece, rest) = octets.split_at(at + 1);
            octets = rest;
            self.keep_header(piece);
            let before = at.checked_sub(1).map_or(self.last, |before| piece[before]);
            let end = if before == b'\r' { End::CrLf } else { End::Lf };
            self.last = 0;
            if self.length == 0 {
                self.take(&Line { text: piece, length: piece.len(), end });
                continue;
            }
            self.hold(piece);
            let text = core::mem::take(&mut self.line);
            let length = core::mem::take(&mut self.length);
            self.take(&Line { text: &text, length, end });
        }
        if let Some(last) = octets.last() {
            self.keep_header(octets);
            self.last = *last;
            self.hold(octets);
        }
    }

    /// The message is over.
    #[must_use]
    pub fn finish(mut self) -> Scanned {
        if self.length > 0 {
            let (text, length) = (core::mem::take(&mut self.line), self.length);
            self.take(&Line { text: &text, length, end: End::None });
        }
        let end = self.here;
        self.end_parts(0, end);
        Scanned { structure: Structure { parts: self.parts }, headers: self.headers }
    }

    fn hold(&mut self, piece: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length += piece.len();
    }

    fn keep_header(&mut self, piece: &[u8]) {
        if self.stack.last().is_some_and(|open| open.body.is_none()) {
            let room = MAX_HEADER.saturating_sub(self.header.len());
            self.header.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    fn take(&mut self, line: &Line<'_>) {
        let found = if line.text.starts_with(b"--") { self.boundary(line.text) } else { None };
        let (before, start) = (self.before_break, self.here);
        self.pass(line);
        if let Some((which, closing)) = found {
            let (height, default) = (self.boundaries[which].height, self.boundaries[which].child_default);
            if closing {
                self.boundaries.truncate(which);
                self.end_parts(height + 1, if start.at == 0 { start } else { before });
            } else if self.parts.len() < MAX_PARTS {
                self.boundaries.truncate(which + 1);
                self.end_parts(height + 1, if start.at == 0 { start } else { before });
                self.begin_part(default);
            }
        } else if line.length == line.end.length() && line.end != End::None {
            self.end_header();
        }
    }

    /// Moves past a line.
    const fn pass(&mut self, line: &Line<'_>) {
        let start = self.here;
        self.before_break = Position { at: start.at + line.length - line.end.length(), ..start };
        self.here = Position {
            at: start.at + line.length,
            lines: start.lines + (line.end.length() > 0) as usize,
            bare: start.bare + matches!(line.end, End::Lf) as usize,
        };
    }

    /// The longest open boundary this line begins with (the innermost of equals), and whether it closes.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.get(2..)?;
        let mut best: Option<usize> = None;
        for (which, boundary) in self.boundaries.iter().enumerate() {
            let longer = best.is_none_or(|best| boundary.text.len() >= self.boundaries[best].text.len());
            if longer && text.starts_with(&boundary.text) {
                best = Some(which);
            }
        }
        let which = best?;
        Some((which, text[self.boundaries[which].text.len()..].starts_with(b"--")))
    }

    fn begin_part(&mut self, default: DefaultType) {
        let part = self.parts.len();
        let mut is_message = true;
        if let Some(parent) = self.stack.last() {
            self.parts[parent.part].children.push(part);
            is_message = self.parts[parent.part].kind == Kind::Message;
        }
        let at = self.here.at;
        self.header.clear();
        self.parts.push(Part {
            header: at..at,
            body: at..at,
            kind: Kind::Leaf,
            content: ContentFields::of(&[], default),
            lines: 0,
            children: vec![],
            header_bare: 0,
            body_bare: 0,
        });
        self.stack.push(Open { part, start: self.here, default, is_message, body: None });
    }

    /// After an empty line: the innermost part's header is complete, if it was still in it.
    fn end_header(&mut self) {
        let height = self.stack.len();
        let full = self.parts.len() >= MAX_PARTS;
        let here = self.here;
        let Some(open) = self.stack.last_mut().filter(|open| open.body.is_none()) else { return };
        open.body = Some(here);
        let part = &mut self.parts[open.part];
        part.header = open.start.at..here.at;
        part.header_bare = here.bare - open.start.bare;
        part.content = ContentFields::of(&self.header, open.default);
        let (open, kept) = ((open.part, open.is_message), core::mem::take(&mut self.header));
        self.note_header(open, kept);
        let part = &mut self.parts[open.0];
        let deep = height >= MAX_DEPTH;
        if part.content.is("multipart", "*") {
            let boundary = part.content.parameter("boundary").map(<[u8]>::trim_ascii_end).unwrap_or_default().to_vec();
            if deep {
                part.content.make_opaque();
            } else if boundary.is_empty() {
                part.content = ContentFields::of(&[], DefaultType::Text);
            } else {
                part.kind = Kind::Multipart;
                let digest = part.content.is("multipart", "digest");
                let child_default = if digest { DefaultType::Message } else { DefaultType::Text };
                self.boundaries.push(Boundary { text: boundary, height: height - 1, child_default });
            }
        } else if is_message(&part.content) {
            if deep || full || !part.content.is_plain() {
                part.content.make_opaque();
            } else {
                part.kind = Kind::Message;
                self.begin_part(DefaultType::Text);
            }
        }
    }

    /// Keeps the header of a message, within the budget.
    fn note_header(&mut self, open: (usize, bool), header: Vec<u8>) {
        let (part, is_message) = open;
        if is_message && self.kept + header.len() <= MAX_HEADERS {
            self.kept += header.len();
            self.headers.push((self.parts[part].header.start, header));
        }
    }

    /// Ends all parts from this height in the stack upwards, at `end` or where their body begins, if that is later.
    fn end_parts(&mut self, height: usize, mut end: Position) {
        while self.stack.len() > height {
            let Some(open) = self.stack.pop() else { return };
            let part = &mut self.parts[open.part];
            let body = match open.body {
                Some(body) => body,
                None => {
                    // The header never ended: all of it is header.
                    let body = later(open.start, end);
                    part.header = open.start.at..body.at;
                    part.header_bare = body.bare - open.start.bare;
                    self.header.truncate(part.header.len());
                    part.content = ContentFields::of(&self.header, open.default);
                    let kept = core::mem::take(&mut self.header);
                    self.note_header((open.part, open.is_message), kept);
                    let part = &mut self.parts[open.part];
                    if part.content.is("multipart", "*") || is_message(&part.content) {
                        part.content.make_opaque();
                    }
                    body
                }
            };
            end = later(body, end);
            let part = &mut self.parts[open.part];
            part.body = body.at..end.at;
            part.lines = end.lines - body.lines;
            part.body_bare = end.bare - body.bare;
        }
        self.boundaries.retain(|boundary| boundary.height < height);
    }
}

impl End {
    const fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Lf => 1,
            Self::CrLf => 2,
        }
    }
}

fn later(a: Position, b: Position) -> Position {
    if a.at > b.at { a } else { b }
}

/// `message/rfc822` and `message/global`. One that is encoded or says something unknown is no message to look into but
/// octets (RFC 2045 §6.4), and must not be called one: clients expect an envelope then.
fn is_message(content: &ContentFields) -> bool {
    content.is("message", "rfc822") || content.is("message", "global")
}
