//! POP3 commands. Nothing here fails: what is no command is [`Command::Unknown`].

use mail::Seq;

/// A command line, split but with its numbers unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `AUTH [mechanism [initial-response]]` (RFC 5034 §4)
    Auth {
        /// Without one the mechanisms are listed.
        mechanism: Option<&'a [u8]>,
        /// Base64, or `=` for an empty one.
        initial: Option<&'a [u8]>,
    },
    /// `CAPA` (RFC 2449 §5)
    Capa,
    /// `DELE msg`
    Dele(&'a [u8]),
    /// `LIST [msg]`
    List(Option<&'a [u8]>),
    /// `NOOP`
    Noop,
    /// `PASS string`: all after the first space, spaces included.
    Pass(&'a [u8]),
    /// `QUIT`
    Quit,
    /// `RETR msg`
    Retr(&'a [u8]),
    /// `RSET`
    Rset,
    /// `STAT`
    Stat,
    /// `STLS` (RFC 2595 §4)
    Stls,
    /// `TOP msg n`
    Top(&'a [u8], &'a [u8]),
    /// `UIDL [msg]`
    Uidl(Option<&'a [u8]>),
    /// `USER name`
    User(&'a [u8]),
    /// `UTF8` (RFC 6856 §2)
    Utf8,
    /// Something else; its first word.
    Unknown(&'a [u8]),
}

impl<'a> Command<'a> {
    /// Reads a line without its end.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Self {
        let (verb, rest) = word(line.trim_ascii_start());
        let first = || Some(word(rest.trim_ascii()).0).filter(|argument| !argument.is_empty());
        let (one, more) = word(rest.trim_ascii());
        match verb.to_ascii_uppercase().as_slice() {
            b"AUTH" => {
                let initial = Some(more.trim_ascii()).filter(|initial| !initial.is_empty());
                Self::Auth { mechanism: first(), initial }
            }
            b"CAPA" => Self::Capa,
            b"DELE" => Self::Dele(rest.trim_ascii()),
            b"LIST" => Self::List(first()),
            b"NOOP" => Self::Noop,
            b"PASS" => Self::Pass(rest),
            b"QUIT" => Self::Quit,
            b"RETR" => Self::Retr(rest.trim_ascii()),
            b"RSET" => Self::Rset,
            b"STAT" => Self::Stat,
            b"STLS" => Self::Stls,
            b"TOP" => Self::Top(one, more.trim_ascii()),
            b"UIDL" => Self::Uidl(first()),
            b"USER" => Self::User(rest.trim_ascii()),
            b"UTF8" => Self::Utf8,
            _ => Self::Unknown(verb),
        }
    }
}

/// A message number as the client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Could be one.
    Message(Seq),
    /// A number that no message has: zero, or beyond all counting.
    Impossible,
    /// No number at all.
    Invalid,
}

/// Reads a message number. Zero is a number, but nobody's (RFC 1939 §5 counts from 1).
#[must_use]
pub fn number(text: &[u8]) -> Number {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Number::Invalid;
    }
    let value = core::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    value.and_then(Seq::new).map_or(Number::Impossible, Number::Message)
}

/// Reads the second argument of TOP; a number beyond all counting means all lines.
#[must_use]
pub fn lines(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
}

/// The first word, and what stands after the one space that ends it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_any_case_with_stray_spaces() {
        let table: &[(&[u8], Command<'_>)] = &[
            (b"StAt", Command::Stat),
            (b"stat ", Command::Stat),
            (b" quit", Command::Quit),
            (b"LIST", Command::List(None)),
            (b"list  2 ", Command::List(Some(b"2"))),
            (b"top 1 0", Command::Top(b"1", b"0")),
            (b"TOP 1", Command::Top(b"1", b"")),
            (b"user kevin ", Command::User(b"kevin")),
            (b"PASS  two words ", Command::Pass(b" two words ")),
            (b"PASS", Command::Pass(b"")),
            (b"AUTH", Command::Auth { mechanism: None, initial: None }),
            (b"auth plain =", Command::Auth { mechanism: Some(b"plain"), initial: Some(b"=") }),
            (b"", Command::Unknown(b"")),
            (b"foo bar", Command::Unknown(b"foo")),
        ];
        for (line, command) in table {
            assert_eq!(Command::parse(line), *command, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_never_zero() {
        assert_eq!(number(b"0"), Number::Impossible);
        assert_eq!(number(b"4294967296"), Number::Impossible);
        assert_eq!(number(b"99999999999999999999999"), Number::Impossible);
        assert_eq!(number(b"01"), Seq::new(1).map_or(Number::Invalid, Number::Message));
        for text in [&b""[..], b"-1", b"+1", b"1x", b"\xff"] {
            assert_eq!(number(text), Number::Invalid);
        }
        assert_eq!((lines(b"0"), lines(b"99999999999999999999999"), lines(b"-1")), (Some(0), Some(u64::MAX), None));
    }
}
