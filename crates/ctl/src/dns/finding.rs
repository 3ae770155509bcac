//! One record that mail needs, and how it is with it.

use std::fmt;

use serde::Serialize;

/// A record, as it is and as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// `MX`, `A`, `AAAA`, `PTR`, `HELO`, `SPF`, `DKIM`, `DMARC`.
    pub(crate) record: &'static str,
    /// The name it stands at.
    pub(crate) name: String,
    pub(crate) state: State,
    /// What is there.
    pub(crate) found: Vec<String>,
    /// What that means, in a sentence.
    pub(crate) text: String,
    /// Lines for a zone file that make it right.
    pub(crate) zone: Vec<String>,
}

/// How it is with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// There, and right.
    Ok,
    /// Not there.
    Missing,
    /// There, but not as mail needs it.
    Wrong,
    /// Nobody can say now.
    Unknown,
    /// Nothing to be done about it.
    Note,
}

impl Finding {
    pub(crate) fn new(record: &'static str, name: impl Into<String>, state: State, text: impl Into<String>) -> Finding {
        Finding { record, name: name.into(), state, found: Vec::new(), text: text.into(), zone: Vec::new() }
    }

    pub(crate) fn found(mut self, found: Vec<String>) -> Finding {
        self.found = found;
        self
    }

    /// A line of a zone file, of the type `kind`.
    pub(crate) fn line(mut self, name: &str, kind: &str, value: &str) -> Finding {
        self.zone.push(format!("{name}. IN {kind} {value}"));
        self
    }

    /// One that somebody has to mend.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self.state, State::Missing | State::Wrong)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Ok => "ok",
            State::Missing => "MISSING",
            State::Wrong => "WRONG",
            State::Unknown => "unknown",
            State::Note => "-",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { record, name, state, found, text, .. } = self;
        write!(f, "{state:<8} {record:<6} {name}")?;
        if !found.is_empty() {
            write!(f, ": {}", found.join(", "))?;
        }
        if !text.is_empty() {
            write!(f, "\n                {text}")?;
        }
        Ok(())
    }
}

/// Text as a zone file has it: in quotes, in pieces of at most 255 octets.
pub(crate) fn quoted(text: &str) -> String {
    let mut pieces = vec![String::new()];
    for c in text.chars() {
        if pieces.last().is_some_and(|piece| piece.len() + c.len_utf8() > 255) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    let quote = |piece: &String| format!("\"{}\"", piece.replace('\\', "\\\\").replace('"', "\\\""));
    pieces.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_in_pieces() {
        assert_eq!(quoted("v=spf1 \"x\""), r#""v=spf1 \"x\"""#);
        assert_eq!(quoted(&"a".repeat(300)).len(), 300 + 5);
    }
}
