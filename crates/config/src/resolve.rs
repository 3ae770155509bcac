//! From entries to final values: defaults, `$name` in any order, files named by a leading slash, checks.
//!
//! Every wrong name and value is reported, not only the first; nothing here changes anything on disk.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::param::{self, Default, Kind, Param};
use crate::yaml::Entry;
use crate::{Problem, Source, Value, machine, value};

/// Final values of all parameters, from entries of all files in order (a later file overrides an earlier one).
pub(crate) fn resolve(entries: Vec<Entry>, dir: &Path) -> Result<HashMap<&'static str, Value>, Vec<Problem>> {
    let mut resolver = Resolver {
        dir,
        set: HashMap::new(),
        written: HashMap::new(),
        done: HashMap::new(),
        stack: Vec::new(),
        problems: Vec::new(),
    };
    for entry in entries {
        match param::find(&entry.name) {
            Some(row) => _ = resolver.set.insert(row.name, entry),
            None => resolver.problems.push(unknown(&entry)),
        }
    }
    for row in param::TABLE {
        resolver.value(row);
    }
    if !resolver.problems.is_empty() {
        return Err(resolver.problems);
    }
    let source =
        |name| resolver.set.get(name).map(|entry: &Entry| Source { file: entry.file.to_path_buf(), line: entry.line });
    Ok(resolver
        .done
        .iter()
        .filter_map(|(name, text)| {
            Some((
                *name,
                Value { text: text.clone()?, written: resolver.written.get(name).cloned(), source: source(name) },
            ))
        })
        .collect())
}

fn unknown(entry: &Entry) -> Problem {
    let guess = param::nearest(&entry.name).map_or_else(String::new, |name| format!(", did you mean {name}?"));
    Problem::new(&entry.file, entry.line, format!("unknown name {}{guess}", entry.name))
}

/// Why there is no value: `Some` is what is wrong with this one, `None` that one it refers to was reported already.
type Stop = Option<String>;

struct Resolver<'a> {
    dir: &'a Path,
    set: HashMap<&'static str, Entry>,
    /// Values as they are written, where that is something else.
    written: HashMap<&'static str, String>,
    /// Values found so far; `None` for one that was wrong, and reported.
    done: HashMap<&'static str, Option<String>>,
    /// The names being expanded, outermost first: a name that comes again is a cycle.
    stack: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Resolver<'_> {
    fn report(&mut self, row: &Param, text: &str) {
        let problem = match self.set.get(row.name) {
            Some(entry) => Problem::new(&entry.file, entry.line, format!("{}: {text}", row.name)),
            None => Problem::new(self.dir, 0, format!("{}, default value: {text}", row.name)),
        };
        self.problems.push(problem);
    }

    fn value(&mut self, row: &'static Param) -> Option<String> {
        if let Some(done) = self.done.get(row.name) {
            return done.clone();
        }
        if let Some(start) = self.stack.iter().position(|name| *name == row.name) {
            let circle = self.stack.iter().skip(start).copied().collect::<Vec<_>>().join(" -> ");
            self.report(row, &format!("refers to itself: {circle} -> {}", row.name));
            return None;
        }
        self.stack.push(row.name);
        let result = self.fresh(row);
        self.stack.pop();
        if let Err(Some(text)) = &result {
            self.report(row, text);
        }
        self.done.insert(row.name, result.clone().ok());
        result.ok()
    }

    fn fresh(&mut self, row: &'static Param) -> Result<String, Stop> {
        let raw = match (self.set.get(row.name), row.default) {
            (Some(entry), _) => written(entry, row.kind)?,
            (None, Default::Fixed(text)) => text.to_owned(),
            (None, Default::HostName) => machine::host_name(),
            (None, Default::HostDomain) => machine::domain_of(&self.named("myhostname")?),
            (None, Default::MailName) => match machine::mail_name() {
                Some(name) => name,
                None => self.named("myhostname")?,
            },
        };
        let text = if row.kind == Kind::Raw { raw.clone() } else { self.expand(&raw)? };
        let explicit = self.set.contains_key(row.name);
        let text = finish(row.kind, &text, explicit)?;
        value::check(row.kind, &text)?;
        if raw != text {
            self.written.insert(row.name, raw);
        }
        Ok(text)
    }

    fn named(&mut self, name: &str) -> Result<String, Stop> {
        match param::find(name) {
            Some(row) => self.value(row).ok_or(None),
            None => {
                let guess = param::nearest(name).map_or_else(String::new, |name| format!(", did you mean ${name}?"));
                Err(Some(format!("unknown name ${name}{guess}")))
            }
        }
    }

    /// Replaces `$name` and `${name}`; `$$` is a dollar sign.
    fn expand(&mut self, text: &str) -> Result<String, Stop> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, tail) = reference(after)?;
            match name {
                "" => out.push('$'),
                name => out.push_str(&self.named(name)?),
            }
            if out.len() > LONGEST {
                return Err(Some("becomes far too long".into()));
            }
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The name after a dollar sign (empty for `$$`) and what follows it.
fn reference(after: &str) -> Result<(&str, &str), String> {
    if let Some(tail) = after.strip_prefix('$') {
        return Ok(("", tail));
    }
    if let Some(inner) = after.strip_prefix('{') {
        return inner.split_once('}').filter(|(name, _)| !name.is_empty()).ok_or_else(|| "${ without }".to_owned());
    }
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
    if end == 0 {
        return Err("a $ without a name after it; write $$ for a dollar sign".into());
    }
    Ok(after.split_at(end))
}

fn written(entry: &Entry, kind: Kind) -> Result<String, String> {
    let takes_list = match kind {
        Kind::Choices(_) | Kind::Domains | Kind::Files | Kind::Interfaces | Kind::List => true,
        Kind::Names | Kind::Networks | Kind::Raw | Kind::Sockets | Kind::Tables => true,
        Kind::Bytes | Kind::Choice(_) | Kind::Domain | Kind::Flag | Kind::Number(..) => false,
        Kind::HomeFile | Kind::Location | Kind::NextHops | Kind::Path | Kind::Text | Kind::Time(_) => false,
    };
    if entry.is_list && !takes_list {
        return Err("takes one value, not a list".into());
    }
    Ok(entry.items.join(", "))
}

/// Reads the files that values name, and drops prefixes that mean nothing here.
fn finish(kind: Kind, text: &str, explicit: bool) -> Result<String, String> {
    match kind {
        Kind::Domain if text.trim().starts_with('/') => {
            let lines = file_lines(text.trim())?;
            lines.into_iter().next().ok_or_else(|| format!("{} is empty", text.trim()))
        }
        Kind::Domain => Ok(text.trim().to_owned()),
        Kind::Domains | Kind::Networks => {
            let mut out: Vec<String> = Vec::new();
            for item in value::items(text) {
                match item.starts_with('/').then(|| file_lines(item)) {
                    None => out.push(item.to_owned()),
                    Some(Ok(lines)) => out.extend(lines),
                    Some(Err(text)) if explicit => return Err(text),
                    Some(Err(_)) => {}
                }
            }
            Ok(out.join(", "))
        }
        Kind::Files => Ok(value::items(text).map(value::plain_table).collect::<Vec<_>>().join(", ")),
        Kind::Path => Ok(value::plain_path(text).to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The first word of each line of a file, without empty lines and `#` comments.
fn file_lines(path: &str) -> Result<Vec<String>, String> {
    let text = contents(path).map_err(|error| format!("cannot read {path}: {}", machine::reason(&error)))?;
    let word = |line: &str| line.split_whitespace().next().filter(|word| !word.starts_with('#')).map(str::to_owned);
    Ok(text.lines().filter_map(word).collect())
}

/// A plain file of sensible size: a value may name anything, `/dev/zero` too.
fn contents(path: &str) -> io::Result<String> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() || meta.len() > LARGEST {
        return Err(io::Error::other("it is not a plain file of at most 1 MiB"));
    }
    fs::read_to_string(path)
}

/// Octets of a value after `$name` was replaced.
const LONGEST: usize = 1 << 16;
/// Octets of a file that a value names.
const LARGEST: u64 = 1 << 20;
