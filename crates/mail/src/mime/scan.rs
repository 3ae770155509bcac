//! The one pass over the lines of a message that finds its parts.
//!
//! A stack holds the parts under way, outermost first; the boundaries of the multiparts among them are open until their
//! closing line or their multipart's end. Every line costs at most one comparison per open boundary ([`MAX_DEPTH`] of them).

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::content::{ContentFields, DefaultType};
use super::{Kind, MAX_DEPTH, MAX_PARTS, Part};

pub(super) fn parts(message: &[u8]) -> Vec<Part> {
    let mut scan = Scan {
        message,
        parts: Vec::new(),
        stack: Vec::new(),
        boundaries: Vec::new(),
        here: Position::default(),
        before_break: Position::default(),
    };
    scan.begin_part(DefaultType::Text);
    while scan.here.at < message.len() {
        let start = scan.here;
        let end = memchr::memchr(b'\n', &message[start.at..]).map_or(message.len(), |at| start.at + at + 1);
        scan.line(start.at..end);
    }
    let end = scan.here;
    scan.end_parts(0, end);
    scan.parts
}

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
    /// Where its body began; `None` while in the header.
    body: Option<Position>,
}

struct Boundary {
    text: Vec<u8>,
    /// The multipart's height in the stack.
    height: usize,
    child_default: DefaultType,
}

struct Scan<'a> {
    message: &'a [u8],
    parts: Vec<Part>,
    stack: Vec<Open>,
    boundaries: Vec<Boundary>,
    here: Position,
    /// Before the line break that ended the last line.
    before_break: Position,
}

impl Scan<'_> {
    fn line(&mut self, range: Range<usize>) {
        let line = &self.message[range];
        let found = if line.starts_with(b"--") { self.boundary(line) } else { None };
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
        } else if line == b"\n" || line == b"\r\n" {
            self.end_header();
        }
    }

    /// Moves past a line.
    fn pass(&mut self, line: &[u8]) {
        let start = self.here;
        let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        self.before_break = Position { at: start.at + text.map_or(line.len(), <[u8]>::len), ..start };
        let bare = text.is_some_and(|text| text.len() + 1 == line.len());
        self.here = Position {
            at: start.at + line.len(),
            lines: start.lines + usize::from(text.is_some()),
            bare: start.bare + usize::from(bare),
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
        if let Some(parent) = self.stack.last() {
            self.parts[parent.part].children.push(part);
        }
        let at = self.here.at;
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
        self.stack.push(Open { part, start: self.here, default, body: None });
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
        part.content = ContentFields::of(&self.message[part.header.clone()], open.default);
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
            if deep || full {
                part.content.make_opaque();
            } else {
                part.kind = Kind::Message;
                self.begin_part(DefaultType::Text);
            }
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
                    part.content = ContentFields::of(&self.message[part.header.clone()], open.default);
                    if part.content.is("multipart", "*") || is_message(&part.content) {
                        part.content.make_opaque();
                    }
                    body
                }
            };
            end = later(body, end);
            part.body = body.at..end.at;
            part.lines = end.lines - body.lines;
            part.body_bare = end.bare - body.bare;
        }
        self.boundaries.retain(|boundary| boundary.height < height);
    }
}

fn later(a: Position, b: Position) -> Position {
    if a.at > b.at { a } else { b }
}

/// `message/rfc822` and `message/global`, unless they are encoded, which the RFCs forbid.
fn is_message(content: &ContentFields) -> bool {
    (content.is("message", "rfc822") || content.is("message", "global")) && content.is_plain()
}
