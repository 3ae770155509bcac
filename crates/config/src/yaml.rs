//! One configuration file: YAML text to entries with their line numbers.
//!
//! The only place that knows the YAML library. It finds what that library does not tell: the line of each name, names
//! that stand twice, and the two slips of people who know Postfix's and Dovecot's files (`name = value`, `name:value`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_yaml::Value;

use crate::Problem;

/// One name with its value, as it stands in a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// One item, or those of a YAML list.
    pub(crate) items: Vec<String>,
    pub(crate) is_list: bool,
    pub(crate) file: Rc<PathBuf>,
    pub(crate) line: usize,
}

/// Reads one file's text.
pub(crate) fn read(text: &str, file: &Path) -> Result<Vec<Entry>, Vec<Problem>> {
    let slips = slips(text, file);
    if !slips.is_empty() {
        return Err(slips);
    }
    let pairs = match serde_yaml::from_str::<Option<Pairs>>(text) {
        Ok(pairs) => pairs.map_or_else(Vec::new, |pairs| pairs.0),
        Err(error) => return Err(vec![syntax(&error, file)]),
    };
    let file = Rc::new(file.to_path_buf());
    let mut lines = Lines::of(text);
    let (mut entries, mut problems): (Vec<Entry>, Vec<Problem>) = (Vec::new(), Vec::new());
    for (name, value) in pairs {
        let line = lines.next(&name);
        if let Some(first) = entries.iter().find(|entry| entry.name == name) {
            let text = format!("{name} stands here a second time, first in line {}", first.line);
            problems.push(Problem::new(&file, line, text));
            continue;
        }
        match items(value) {
            Ok((items, is_list)) => entries.push(Entry { name, items, is_list, file: Rc::clone(&file), line }),
            Err(text) => problems.push(Problem::new(&file, line, format!("{name}: {text}"))),
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

/// A name at the beginning of a line, and what follows it.
pub(crate) fn leading_name(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix(['"', '\'']).unwrap_or(line);
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.'))?;
    let (name, rest) = line.split_at(end);
    (!name.is_empty()).then(|| (name, rest.strip_prefix(['"', '\'']).unwrap_or(rest)))
}

fn slips(text: &str, file: &Path) -> Vec<Problem> {
    let slip = |(index, line): (usize, &str)| {
        let (name, rest) = leading_name(line)?;
        let value = match (rest.trim_start().strip_prefix('='), rest.strip_prefix(':')) {
            (Some(value), _) => value,
            (None, Some(value)) if !value.is_empty() && !value.starts_with(char::is_whitespace) => value,
            _ => return None,
        };
        let text = format!("write \"{name}: {}\", with a colon and a blank", value.trim());
        Some(Problem::new(file, index + 1, text))
    };
    text.lines().enumerate().filter_map(slip).collect()
}

fn syntax(error: &serde_yaml::Error, file: &Path) -> Problem {
    let line = error.location().map_or(0, |place| place.line());
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let hint = "if the value holds * & [ { ! % or begins with a dash, put it in \"quotes\"";
    Problem::new(file, line, format!("cannot be understood: {text} ({hint})"))
}

fn items(value: Value) -> Result<(Vec<String>, bool), String> {
    match value {
        Value::Sequence(values) => Ok((values.into_iter().map(scalar).collect::<Result<_, _>>()?, true)),
        value => Ok((vec![scalar(value)?], false)),
    }
}

fn scalar(value: Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(flag) => Ok(if flag { "yes" } else { "no" }.into()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text),
        Value::Sequence(_) => Err("a list inside a list".into()),
        Value::Mapping(_) => Err("it has no parts of its own; is something indented by mistake?".into()),
        Value::Tagged(tagged) => Err(format!("put the value in quotes, {} has a meaning in YAML", tagged.tag)),
    }
}

/// Where each name stands: names that begin a line, in order.
struct Lines(Vec<(String, usize)>);

impl Lines {
    fn of(text: &str) -> Lines {
        let numbered = text.lines().enumerate();
        Lines(numbered.filter_map(|(i, line)| leading_name(line).map(|(name, _)| (name.to_owned(), i + 1))).collect())
    }

    /// The line of the next `name`; 0 if it cannot be told.
    fn next(&mut self, name: &str) -> usize {
        let found = self.0.iter().position(|(other, _)| other == name);
        found.map_or(0, |index| self.0.remove(index).1)
    }
}

/// A mapping that keeps names that stand twice, which the library would silently merge.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines of the form \"name: value\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
