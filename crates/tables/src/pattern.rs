//! Tables of patterns (`regexp:`, `pcre:`): the first pattern that matches the key answers.
//!
//! `/pattern/flags result`, `!/pattern/flags result`, `if /pattern/flags` … `endif`. Letters match in either case unless
//! the flag `i` turns that off; `$1`, `${1}`, `$(1)` in a result stand for what a group matched, `$$` for `$`. Both names
//! mean the syntax of the `regex` library: Perl's, without look-around and back-references, in linear time whatever the
//! key. What it cannot do is an error with its line.

use std::path::Path;

use regex::{Captures, Regex, RegexBuilder};

use crate::rules::{Line, Rules};
use crate::{Found, Problem};

/// What a table of patterns says.
#[derive(Debug)]
pub struct Patterns(Rules<Test, Vec<Piece>>);

#[derive(Debug)]
struct Test {
    pattern: Regex,
    /// `!` in front: it applies where the pattern does not match.
    sense: Sense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Matches,
    Differs,
}

/// A part of a result.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Patterns {
    /// Reads the text of a table. A rule that makes no sense is passed over.
    ///
    /// # Errors
    /// An `if` or `endif` that makes no sense.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        Rules::parse(file, text, parse_line).map(Self)
    }

    /// The rules that make no sense.
    #[must_use]
    pub fn passed_over(&self) -> &[Problem] {
        &self.0.passed_over
    }

    /// What the first rule that applies to the key says.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Found> {
        let holds = |test: &Test| test.pattern.is_match(key) == (test.sense == Sense::Matches);
        self.0.find(holds, |test, pieces| test.answer(pieces, key))
    }
}

impl Test {
    fn answer(&self, pieces: &[Piece], key: &str) -> Option<String> {
        match self.sense {
            Sense::Matches => self.pattern.captures(key).map(|groups| fill(pieces, Some(&groups))),
            Sense::Differs => (!self.pattern.is_match(key)).then(|| fill(pieces, None)),
        }
    }
}

fn fill(pieces: &[Piece], groups: Option<&Captures<'_>>) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Group(number) => {
            groups.and_then(|groups| groups.get(*number)).map(|group| group.as_str().to_owned()).unwrap_or_default()
        }
    };
    pieces.iter().map(piece).collect()
}

fn parse_line(text: &str) -> Result<Line<Test, Vec<Piece>>, String> {
    let condition = text
        .get(..2)
        .filter(|word| word.eq_ignore_ascii_case("if"))
        .map(|_| &text[2..])
        .filter(|rest| rest.starts_with([' ', '\t', '!', '/']));
    let rest = condition.unwrap_or(text).trim_start();
    let (sense, rest) = match rest.strip_prefix('!') {
        Some(rest) => (Sense::Differs, rest.trim_start()),
        None => (Sense::Matches, rest),
    };
    let (pattern, flags, result) = divide(rest)?;
    let pattern = build(pattern, flags)?;
    match (condition, result) {
        (Some(_), "") => Ok(Line::If(Test { pattern, sense })),
        (Some(_), _) => Err("nothing may stand behind the pattern of \"if\"".into()),
        (None, "") => Err("the result is missing behind the pattern".into()),
        (None, result) => {
            let pieces = pieces(result, &pattern, sense)?;
            Ok(Line::Answer(Test { pattern, sense }, pieces))
        }
    }
}

/// Pattern, flags, result. A backslash hides the sign that ends the pattern.
fn divide(text: &str) -> Result<(&str, &str, &str), String> {
    let mut chars = text.char_indices();
    let (_, sign) = chars
        .next()
        .filter(|(_, sign)| !sign.is_alphanumeric() && *sign != '\\')
        .ok_or("a pattern stands between slashes: /pattern/ result")?;
    let mut escaped = false;
    let end = chars.find(|(_, c)| {
        let ends = *c == sign && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let (end, _) = end.ok_or_else(|| format!("\"{sign}\" is missing at the end of the pattern"))?;
    let rest = &text[end + sign.len_utf8()..];
    let (flags, result) = rest.split_at(rest.find([' ', '\t']).unwrap_or(rest.len()));
    Ok((&text[sign.len_utf8()..end], flags, result.trim()))
}

fn build(pattern: &str, flags: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(true).dot_matches_new_line(true).size_limit(SIZE_LIMIT);
    let (mut insensitive, mut lines, mut newline, mut extended, mut ungreedy) = (true, false, true, false, false);
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = !insensitive,
            'm' => lines = !lines,
            's' => newline = !newline,
            'x' => extended = !extended,
            'U' => ungreedy = !ungreedy,
            other => return Err(format!("there is no flag \"{other}\" for a pattern: i, m, s, x, U")),
        }
    }
    builder.case_insensitive(insensitive).multi_line(lines).dot_matches_new_line(newline);
    // In POSIX patterns, `x` means what every pattern here is: extended syntax. White space then has to be written as such.
    builder.ignore_whitespace(extended).swap_greed(ungreedy);
    builder.build().map_err(|error| said(&error))
}

/// The library's message in one line: its last line says what is wrong.
fn said(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("the pattern cannot be used: {last}")
}

/// Divides a result at `$1` and its like.
fn pieces(result: &str, pattern: &Regex, sense: Sense) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), result);
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
            continue;
        }
        let (number, after) = group(after)?;
        if sense == Sense::Differs {
            return Err("a pattern with \"!\" matches nothing that \"$\" could stand for".into());
        }
        if number >= pattern.captures_len() {
            return Err(format!("the result names group {number}, which the pattern does not have"));
        }
        pieces.extend([Piece::Text(std::mem::take(&mut text)), Piece::Group(number)]);
        rest = after;
    }
    text.push_str(rest);
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

/// `1`, `{1}` or `(1)` behind the dollar sign, and what follows.
fn group(text: &str) -> Result<(usize, &str), String> {
    let wrong = || "\"$\" stands before the number of a group; \"$$\" is the sign itself".to_owned();
    let (digits, rest) = match text.chars().next() {
        Some('{') => text[1..].split_once('}').ok_or_else(wrong)?,
        Some('(') => text[1..].split_once(')').ok_or_else(wrong)?,
        _ => text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())),
    };
    Ok((digits.parse().map_err(|_| wrong())?, rest))
}

/// What one compiled pattern may take of memory.
const SIZE_LIMIT: usize = 4 << 20;
