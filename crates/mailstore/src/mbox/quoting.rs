//! What happens to a message on its way into an mbox: `From ` at the start of a line becomes `>From `, and header fields
//! that readers use for their notes are left out, so that a sender cannot set them.

/// Fields in which readers keep their notes; hidden from clients.
pub(crate) const NOTES: [&str; 7] =
    ["Content-Length", "Status", "X-IMAP", "X-IMAPbase", "X-Keywords", "X-Status", "X-UID"];

/// Longer than the longest thing looked for at the start of a line.
const LOOK: usize = 32;

/// Takes a message in pieces.
pub(crate) struct Quoting {
    from: FromLines,
    in_header: bool,
    dropping: bool,
    at_line_start: bool,
    held: Vec<u8>,
    last: u8,
}

/// What becomes of a line that would begin a message in an mbox.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FromLines {
    Kept,
    Quoted,
}

/// A message on its way to a program that may append it to an mbox itself: without the header fields that readers use for
/// their notes, since a sender could set them; else as it came.
pub struct WithoutNotes(Quoting);

impl WithoutNotes {
    /// Of a message that begins now.
    #[must_use]
    pub const fn new() -> Self {
        Self(Quoting::beginning(FromLines::Kept))
    }

    /// Takes the next octets and adds to `out` what is to be passed on.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.0.is_in_body() { out.extend_from_slice(chunk) } else { self.0.feed(chunk, out) }
    }

    /// Nothing more comes: adds what was held back.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.0.release(out);
    }
}

impl Default for WithoutNotes {
    fn default() -> Self {
        Self::new()
    }
}

impl Quoting {
    pub(crate) const fn new() -> Self {
        Self::beginning(FromLines::Quoted)
    }

    const fn beginning(from: FromLines) -> Self {
        Self { from, in_header: true, dropping: false, at_line_start: true, held: Vec::new(), last: b'\n' }
    }

    /// Whether the header is over, and nothing is held back.
    pub(crate) const fn is_in_body(&self) -> bool {
        !self.in_header && self.held.is_empty()
    }

    pub(crate) fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        for piece in chunk.split_inclusive(|b| *b == b'\n') {
            if !self.at_line_start {
                self.push(piece, out);
                self.at_line_start = piece.ends_with(b"\n");
                continue;
            }
            if self.held.is_empty() && (piece.len() >= LOOK || piece.ends_with(b"\n")) {
                self.line_start(piece, out);
                continue;
            }
            self.held.extend_from_slice(piece);
            if self.held.len() >= LOOK || self.held.ends_with(b"\n") {
                let held = std::mem::take(&mut self.held);
                self.line_start(&held, out);
            }
        }
    }

    /// The last line ends, and an empty line follows.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) {
        self.release(out);
        if self.last != b'\n' {
            out.push(b'\n');
        }
        out.push(b'\n');
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.line_start(&held, out);
        }
    }

    /// `text` begins a line and is long enough to tell what it is.
    fn line_start(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.at_line_start = text.ends_with(b"\n");
        if self.in_header && (text == b"\n" || text == b"\r\n") {
            (self.in_header, self.dropping) = (false, false);
        } else if self.in_header && !matches!(text.first(), Some(b' ' | b'\t')) {
            self.dropping = is_note(text);
        }
        if !self.dropping && self.from == FromLines::Quoted && text.starts_with(b"From ") {
            out.push(b'>');
        }
        self.push(text, out);
    }

    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if !self.dropping {
            out.extend_from_slice(text);
            self.last = text.last().copied().unwrap_or(self.last);
        }
    }
}

/// Whether a header line begins a field of [`NOTES`].
pub(crate) fn is_note(line: &[u8]) -> bool {
    let Some(colon) = line.iter().take(LOOK).position(|b| *b == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    NOTES.iter().any(|note| note.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut quoting, mut out) = (Quoting::new(), Vec::new());
        for piece in pieces {
            quoting.feed(piece, &mut out);
        }
        quoting.finish(&mut out);
        out
    }

    #[test]
    fn from_lines_and_notes() {
        let message = b"Subject: a\nStatus: RO\nx-uid : 5\n folded\nTo: b\n\nFrom here\n>From there\nStatus: kept\nend";
        let want = b"Subject: a\nTo: b\n\n>From here\n>From there\nStatus: kept\nend\n\n";
        assert_eq!(quoted(&[message]).escape_ascii().to_string(), want.escape_ascii().to_string());
        assert_eq!(quoted(&[b""]), b"\n");
        assert_eq!(quoted(&[b"a\n\nFrom"]), b"a\n\nFrom\n\n");
    }

    #[test]
    fn a_program_gets_the_message_without_notes() {
        let message =
            b"Subject: a\nX-IMAPbase: 1 4294967295\nX-UID: 5\n folded\nTo: b\n\nFrom here\nStatus: kept\nFrom";
        let want = "Subject: a\nTo: b\n\nFrom here\nStatus: kept\nFrom";
        for size in 1..message.len() {
            let (mut without, mut out) = (WithoutNotes::new(), Vec::new());
            message.chunks(size).for_each(|chunk| without.feed(chunk, &mut out));
            without.end(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(lines in proptest::collection::vec("(From |Status: |X-UID:| |)[a-z]{0,40}", 0..8), cuts in proptest::collection::vec(0_usize..400, 0..6)) {
            let message = lines.join("\n").into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(message.len())).collect();
            cuts.sort_unstable();
            cuts.insert(0, 0);
            cuts.push(message.len());
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &message[pair[0]..pair[1]]).collect();
            prop_assert_eq!(quoted(&pieces), quoted(&[&message]));
        }
    }
}
