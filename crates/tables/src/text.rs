//! Plain tables: `key value` on a line.
//!
//! Empty lines and lines whose first sign is `#` do not count; a line that begins with white space goes on with the one
//! before. Keys compare without regard to case; a key with blanks stands in double quotes, of an
//! address only its local part (`"John Doe"@example.org`). Of two lines with one key the
//! first counts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::{Found, Problem};

/// What a plain table says.
#[derive(Debug)]
pub struct Text {
    file: Arc<Path>,
    entries: HashMap<Box<str>, (Box<str>, usize)>,
    /// Lines that make no sense, left out.
    passed_over: Vec<Problem>,
}

impl Text {
    /// Reads the text of a table. A line that makes no sense is passed over, as in Postfix: [`Text::passed_over`].
    #[must_use]
    pub fn parse(file: &Path, text: &str) -> Self {
        Self::read(file, text, divide)
    }

    /// Reads a list of names; what stands beside them does not matter.
    pub(crate) fn parse_names(file: &Path, text: &str) -> Self {
        Self::read(file, text, |line| {
            let (name, beside) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            Ok((Cow::Borrowed(name), beside))
        })
    }

    /// The lines that make no sense.
    #[must_use]
    pub fn passed_over(&self) -> &[Problem] {
        &self.passed_over
    }

    fn read(file: &Path, text: &str, divide: impl Fn(&str) -> Result<(Cow<'_, str>, &str), String>) -> Self {
        let mut entries = HashMap::new();
        let mut passed_over = Vec::new();
        for (line, text) in logical_lines(text) {
            match divide(&text) {
                Ok((key, value)) => {
                    entries.entry(key.to_lowercase().into()).or_insert_with(|| (Box::from(value), line));
                }
                Err(text) => passed_over.push(Problem { file: file.into(), line, text }),
            }
        }
        Self { file: file.into(), entries, passed_over }
    }

    /// A table that is written in a parameter.
    pub(crate) fn inline(written: &str, pairs: Vec<(String, String)>) -> Self {
        let mut entries = HashMap::new();
        for (key, value) in pairs {
            entries.entry(key.to_lowercase().into()).or_insert_with(|| (value.into(), 0));
        }
        Self { file: Path::new(written).into(), entries, passed_over: Vec::new() }
    }

    /// All values, by their lines.
    pub(crate) fn written(&self) -> Vec<Found> {
        let entry = |(value, line): &(Box<str>, usize)| self.found(value, *line);
        let mut all: Vec<Found> = self.entries.values().map(entry).collect();
        all.sort_by_key(|found| found.line);
        all
    }

    fn found(&self, value: &str, line: usize) -> Found {
        Found { value: value.into(), file: self.file.clone(), line }
    }

    /// What stands beside the key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Found> {
        let (value, line) = match self.entries.get(key) {
            Some(entry) => entry,
            None if key.chars().any(|c| !c.is_ascii_lowercase()) => self.entries.get(key.to_lowercase().as_str())?,
            None => return None,
        };
        Some(self.found(value, *line))
    }
}

/// Each entry of a table file with the number of its first line; what continues it has one blank in front.
pub(crate) fn logical_lines(text: &str) -> impl Iterator<Item = (usize, Cow<'_, str>)> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !is_comment(line)).peekable();
    std::iter::from_fn(move || {
        let (index, first) = lines.next()?;
        let mut entry = Cow::Borrowed(first.trim());
        while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with([' ', '\t'])) {
            let entry = entry.to_mut();
            entry.push(' ');
            entry.push_str(more.trim());
        }
        Some((index + 1, entry))
    })
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// The key and its value. The key ends at the first blank outside quotes.
fn divide(line: &str) -> Result<(Cow<'_, str>, &str), String> {
    let (key, value) = split_key(line)?;
    let (key, value) = (unquoted(key), value.trim());
    if key.is_empty() {
        return Err("the key is missing".into());
    }
    if value.is_empty() {
        return Err(format!("there is nothing beside \"{key}\": a line is a key, white space and a value"));
    }
    if key.ends_with(':') {
        return Err(format!("\"{key}\" ends in a colon, as in a file of aliases; here a key stands without"));
    }
    Ok((key, value))
}

fn split_key(line: &str) -> Result<(&str, &str), String> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            // Inside a word it is a sign like others.
            '"' if quoted || at == 0 => quoted = !quoted,
            ' ' | '\t' if !quoted => return Ok(line.split_at(at)),
            _ => {}
        }
    }
    if quoted { Err("a double quote is missing after the key".into()) } else { Ok((line, "")) }
}

/// A key without its quotes: a word as a whole, or the local part of an address, which look-ups have so (RFC 5321 §4.1.2).
fn unquoted(key: &str) -> Cow<'_, str> {
    let Some(rest) = key.strip_prefix('"') else { return Cow::Borrowed(key) };
    let mut text = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text.push_str(chars.as_str());
    Cow::Owned(text)
}
