//! The peer's replies: lines gathered until one is whole (RFC 5321 §4.2.1), within limits.
//!
//! What is kept can be shown: control characters become `?`, what is not UTF-8 U+FFFD. A line that is none of a reply, lines
//! of one reply with different codes, and a reply over the limits are nonsense; whoever hears nonsense can no longer tell
//! which reply belongs to which command.

use alloc::string::String;

use mail::EnhancedStatus;
use mail::event::escaped;

/// Octets of one reply line. RFC 4954 §4 asks for 12288 for a challenge.
pub(super) const LINE: usize = 12_288 + 4;
/// Lines of one reply.
const LINES: usize = 512;
/// Octets of one reply.
const OCTETS: usize = 64 * 1024;
/// Octets of a reply, or of nonsense, that go to the log and the sender.
const SHOWN: usize = 2048;

/// A whole reply.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) code: u16,
    /// From the last line that has one, if it fits the code.
    status: Option<EnhancedStatus>,
    /// All lines, codes included, with line feeds between them.
    raw: String,
    /// More stands behind it already, which answers nothing that was asked.
    pub(super) ahead: bool,
}

/// Not a reply; what there was of it.
#[derive(Debug)]
pub(super) struct Nonsense(pub(super) String);

/// Lines of a reply not yet whole.
#[derive(Debug, Default)]
pub(super) struct Gather {
    raw: String,
    code: Option<u16>,
    status: Option<EnhancedStatus>,
    lines: usize,
}

impl Gather {
    /// Takes a line; gives the reply that it completes.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Option<Heard>, Nonsense> {
        let line = String::from_utf8_lossy(line);
        let line = escaped(&line);
        self.lines += 1;
        if self.lines > 1 {
            self.raw.push('\n');
        }
        self.raw.push_str(&line);
        let Some((code, last)) = divided(&line) else { return Err(self.nonsense()) };
        if self.code.is_some_and(|first| first != code) || self.lines > LINES || self.raw.len() > OCTETS {
            return Err(self.nonsense());
        }
        self.code = Some(code);
        self.status = line.get(4..).and_then(|text| enhanced(text, code)).or(self.status);
        if !last {
            return Ok(None);
        }
        let Self { raw, status, .. } = core::mem::take(self);
        Ok(Some(Heard { code, status, raw, ahead: false }))
    }

    /// The reply has a line over the limit.
    pub(super) fn line_too_long(&mut self) -> Nonsense {
        self.raw.push_str(" (a line too long)");
        self.nonsense()
    }

    fn nonsense(&mut self) -> Nonsense {
        Nonsense(shown(&core::mem::take(self).raw))
    }
}

impl Heard {
    /// The first digit.
    pub(super) const fn class(&self) -> u16 {
        self.code / 100
    }

    /// 2xx
    pub(super) const fn is_ok(&self) -> bool {
        self.class() == 2
    }

    /// What the peer said of it beyond the code, or the code's class: `5.0.0`.
    pub(super) fn status(&self) -> EnhancedStatus {
        self.status.unwrap_or(EnhancedStatus::new(self.class() as u8, 0, 0))
    }

    /// The status, if the peer gave one.
    pub(super) const fn own_status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// The whole reply as one line.
    pub(super) fn text(&self) -> String {
        shown(&self.raw)
    }

    /// The texts of the lines, without their codes.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.raw.split('\n').map(|line| line.get(4..).unwrap_or_default())
    }
}

/// `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`
fn divided(line: &str) -> Option<(u16, bool)> {
    let digits = line.get(..3).filter(|code| code.bytes().all(|octet| octet.is_ascii_digit()))?;
    let code = digits.parse().ok().filter(|code| (200..600).contains(code))?;
    match line.as_bytes().get(3) {
        None | Some(b' ') => Some((code, true)),
        Some(b'-') => Some((code, false)),
        Some(_) => None,
    }
}

/// RFC 2034 §4: the status' class is the code's first digit, else it is none.
fn enhanced(text: &str, code: u16) -> Option<EnhancedStatus> {
    let word = text.trim_start_matches(' ').split(' ').next()?;
    EnhancedStatus::parse(word).filter(|status| u16::from(status.class) == code / 100)
}

fn shown(raw: &str) -> String {
    let mut text = raw.replace('\n', " ");
    text.truncate(text.floor_char_boundary(SHOWN));
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn whole(lines: &[&str]) -> Result<Option<Heard>, Nonsense> {
        let mut gather = Gather::default();
        for line in &lines[..lines.len() - 1] {
            assert!(gather.line(line.as_bytes())?.is_none(), "{line}");
        }
        gather.line(lines[lines.len() - 1].as_bytes())
    }

    #[test]
    fn replies_and_their_status() {
        for (lines, code, status, text) in [
            (&["250 2.1.5 Ok"][..], 250, "2.1.5", "250 2.1.5 Ok"),
            (&["250"], 250, "2.0.0", "250"),
            (&["550 no such user"], 550, "5.0.0", "550 no such user"),
            (&["550 4.1.1 mixed up"], 550, "5.0.0", "550 4.1.1 mixed up"),
            (&["550 5.1.1000 x"], 550, "5.0.0", "550 5.1.1000 x"),
            (&["550  5.1.1 x"], 550, "5.1.1", "550  5.1.1 x"),
            (&["550-5.1.1 gone", "550 5.7.1 really"], 550, "5.7.1", "550-5.1.1 gone 550 5.7.1 really"),
            (&["550-5.7.1 gone", "550 really"], 550, "5.7.1", "550-5.7.1 gone 550 really"),
            (&["421 bye\u{1b}[2J "], 421, "4.0.0", "421 bye?[2J"),
        ] {
            let heard = whole(lines).unwrap().unwrap();
            assert_eq!((heard.code, heard.status().to_string().as_str(), heard.text().as_str()), (code, status, text));
        }
    }

    #[test]
    fn nonsense() {
        for lines in [
            &[""][..],
            &["25"],
            &["2500 x"],
            &["199 x"],
            &["600 x"],
            &["250x"],
            &["SSH-2.0-OpenSSH"],
            &["250-a", "251 b"],
            &["250-a", "hello"],
            &["\u{e9}\u{e9}0 x"],
        ] {
            assert!(whole(lines).is_err(), "{lines:?}");
        }
        assert!(whole(&["250-x"; LINES + 1]).is_err());
        let long = ["250-", &"x".repeat(LINE - 4)].concat();
        assert!(whole(&[long.as_str(); 7]).is_err());
    }

    #[test]
    fn what_is_shown_is_short() {
        let heard = whole(&[&["550 ", &"é".repeat(3000)].concat()]).unwrap().unwrap();
        assert!(heard.text().len() <= SHOWN);
    }
}
