//! `main.cf` in our words. Names are the same; what differs is where Postfix itself lives, table types, and references
//! to names that we do not have.

use std::collections::HashMap;
use std::path::Path;

use super::main_cf::Line;
use super::{Finding, Verdict, reasons};
use crate::param::{self, Kind};
use crate::{Source, value};

/// Parameters that say where Postfix itself lives and who it is: ours say the same of Facteur.
const PLACES: [&str; 10] = [
    "command_directory",
    "daemon_directory",
    "data_directory",
    "default_privs",
    "mail_name",
    "mail_owner",
    "queue_directory",
    "run_directory",
    "setgid_group",
    "syslog_name",
];

pub(super) fn translate(lines: &[Line], dir: &Path, file: &Path) -> Vec<Finding> {
    let mut raw: HashMap<&str, &str> = lines.iter().map(|line| (line.name.as_str(), line.value.as_str())).collect();
    let own_dir = dir.to_string_lossy().into_owned();
    raw.entry("config_directory").or_insert(&own_dir);
    let last = |name: &str| lines.iter().rev().find(|line| line.name == name).map(|line| line.number);
    let finding = |line: &Line| Finding {
        source: Source { file: file.to_path_buf(), line: line.number },
        name: line.name.clone(),
        value: line.value.clone(),
        verdict: match last(&line.name).filter(|number| *number != line.number) {
            Some(number) => Verdict::Ignored(format!("line {number} sets it again")),
            None => verdict(line, &raw),
        },
    };
    lines.iter().map(finding).collect()
}

fn verdict(line: &Line, raw: &HashMap<&str, &str>) -> Verdict {
    if PLACES.contains(&line.name.as_str()) {
        return Verdict::Needless("Facteur has its own places, users and names".into());
    }
    if let Some(verdict) = renamed(line, raw) {
        return verdict;
    }
    let row = param::find(&line.name).filter(|row| !super::is_dovecots(row.name));
    let Some(row) = row else { return reasons::of(&line.name, &line.value) };
    if row.kind == Kind::Raw {
        return Verdict::Taken { name: row.name, value: line.value.clone() };
    }
    match expand(&line.value, raw, 0) {
        Ok(text) => adapt(row, &text),
        Err(why) => Verdict::Ignored(why),
    }
}

/// Settings that we know under another name.
fn renamed(line: &Line, raw: &HashMap<&str, &str>) -> Option<Verdict> {
    let yes = value::flag(&line.value).unwrap_or(false);
    let level = match line.name.as_str() {
        "smtpd_use_tls" => "smtpd_tls_security_level",
        "smtp_use_tls" => "smtp_tls_security_level",
        "smtpd_enforce_tls" if yes => return Some(taken("smtpd_tls_security_level", "encrypt")),
        _ => return None,
    };
    let row = param::find(level)?;
    if raw.contains_key(level) {
        return Some(Verdict::Ignored(format!("{level} says it better")));
    }
    Some(taken(row.name, if yes { "may" } else { "none" }))
}

fn taken(name: &'static str, value: &str) -> Verdict {
    Verdict::Taken { name, value: value.to_owned() }
}

/// Values that are written otherwise in `facteur.yaml`.
fn adapt(row: &'static param::Param, text: &str) -> Verdict {
    match row.kind {
        Kind::Domains | Kind::Networks => tables_as_files(row, text),
        Kind::Files => files(row, text),
        Kind::Flag if value::flag(text).is_err() => word_as_flag(row, text),
        // The self-made certificate is better than none.
        Kind::Path if row.name.ends_with("_cert_file") || row.name.ends_with("_key_file") => path(row, text),
        _ => taken(row.name, text),
    }
}

fn path(row: &'static param::Param, text: &str) -> Verdict {
    match text.is_empty() || Path::new(text).exists() {
        true => taken(row.name, text),
        false => Verdict::Ignored(format!("{text} does not exist")),
    }
}

/// `hash:/file` in a list of domains or networks: the plain file holds them, one in each line.
fn tables_as_files(row: &'static param::Param, text: &str) -> Verdict {
    let items: Vec<&str> = value::items(text).map(value::plain_table).collect();
    match items.iter().find(|item| item.contains(":/")) {
        Some(item) => Verdict::Ignored(format!("{item} is a kind of table that is not read here")),
        None => taken(row.name, &items.join(", ")),
    }
}

/// Tables that are plain files; others (`nis:`, `ldap:`) are left out.
fn files(row: &'static param::Param, text: &str) -> Verdict {
    let readable = |item: &&str| {
        value::plain_table(item).starts_with('/') || item.starts_with("regexp:") || item.starts_with("pcre:")
    };
    let kept: Vec<&str> = value::items(text).filter(readable).collect();
    match kept.is_empty() && !text.trim().is_empty() {
        true => Verdict::Ignored("only tables in files are read here".into()),
        false => taken(row.name, &kept.join(", ")),
    }
}

/// `smtpd_forbid_bare_newline = normalize` and the like: anything but a kind of no is yes.
fn word_as_flag(row: &'static param::Param, text: &str) -> Verdict {
    match text {
        "normalize" | "reject" => taken(row.name, "yes"),
        "note" => taken(row.name, "no"),
        // Said as a mistake, with file and line, when the value is checked.
        _ => taken(row.name, text),
    }
}

/// Replaces what refers to names that only Postfix has, by what `main.cf` says of them (nothing, as in Postfix, if it
/// does not); other references stay. Conditions are decided now.
fn expand(text: &str, raw: &HashMap<&str, &str>, depth: usize) -> Result<String, String> {
    if depth > DEEPEST {
        return Err("it refers to itself".into());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (reference, tail) = reference(after)?;
        rest = tail;
        match reference {
            Reference::Dollar => out.push_str("$$"),
            Reference::Name(name) if param::find(name).is_some() && !PLACES.contains(&name) => {
                // As it stands, where what follows cannot become a part of the name.
                let bare = depth == 0 && after.starts_with(name) && !tail.starts_with('$');
                out.push_str(&if bare { format!("${name}") } else { format!("${{{name}}}") });
            }
            Reference::Name("mail_name") => out.push_str("${mail_name}"),
            Reference::Name(name) => {
                out.push_str(&expand(raw.get(name).copied().unwrap_or_default(), raw, depth + 1)?);
            }
            Reference::Condition { name, set, unset } => {
                let chosen = if is_set(name, raw, depth)? { set } else { unset };
                out.push_str(&expand(chosen, raw, depth + 1)?);
            }
        }
        if out.len() > LONGEST {
            return Err("it becomes far too long".into());
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Has this parameter a value, in `main.cf` or by default?
fn is_set(name: &str, raw: &HashMap<&str, &str>, depth: usize) -> Result<bool, String> {
    match (raw.get(name), param::find(name)) {
        (Some(value), _) => Ok(!expand(value, raw, depth + 1)?.is_empty()),
        (None, Some(row)) => Ok(!row.default.describe().is_empty()),
        (None, None) => Ok(name == "mail_name"),
    }
}

/// What a dollar sign means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reference<'a> {
    /// `$$`
    Dollar,
    /// `$name`, `${name}`, `$(name)`
    Name(&'a str),
    /// `${name?set}`, `${name:unset}`, `${name?{set}:{unset}}`
    Condition { name: &'a str, set: &'a str, unset: &'a str },
}

/// The reference after a dollar sign, and what follows it.
fn reference(after: &str) -> Result<(Reference<'_>, &str), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(tail) = after.strip_prefix('$') {
        return Ok((Reference::Dollar, tail));
    }
    let Some((body, tail)) = bracketed(after)? else {
        let (name, tail) = after.split_at(after.find(|c| !is_word(c)).unwrap_or(after.len()));
        return if name.is_empty() {
            Err("a dollar sign stands alone".into())
        } else {
            Ok((Reference::Name(name), tail))
        };
    };
    let (name, rest) = body.split_at(body.find(|c| !is_word(c)).unwrap_or(body.len()));
    let (set, unset) = match (name.is_empty(), rest.chars().next()) {
        (false, None) => return Ok((Reference::Name(name), tail)),
        (false, Some('?')) => both(rest.get(1..).unwrap_or_default())?,
        (false, Some(':')) => ("", one(rest.get(1..).unwrap_or_default())?.0),
        _ => return Err(format!("comparisons such as ${{{body}}} are not understood here")),
    };
    Ok((Reference::Condition { name, set, unset }, tail))
}

/// `{…}` or `(…)` at the beginning, with the brackets within; and what follows. `None`: no bracket is there.
fn bracketed(text: &str) -> Result<Option<(&str, &str)>, String> {
    let Some((open, close)) = [('{', '}'), ('(', ')')].into_iter().find(|(open, _)| text.starts_with(*open)) else {
        return Ok(None);
    };
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        depth = if letter == open { depth + 1 } else { depth - usize::from(letter == close) };
        if depth == 0 {
            let (body, tail) = text.split_at(at);
            return Ok(Some((body.get(1..).unwrap_or_default(), tail.get(1..).unwrap_or_default())));
        }
    }
    Err("a bracket is open".into())
}

/// `set`, `{set}` or `{set}:{unset}`.
fn both(text: &str) -> Result<(&str, &str), String> {
    let (set, rest) = one(text)?;
    match rest.trim_start().strip_prefix(':') {
        None => Ok((set, "")),
        Some(rest) => Ok((set, one(rest.trim_start())?.0)),
    }
}

/// A value in braces and what follows, or all of it.
fn one(text: &str) -> Result<(&str, &str), String> {
    match text.trim_start().starts_with('{') {
        false => Ok((text, "")),
        true => Ok(bracketed(text.trim_start())?.map_or((text, ""), |(body, rest)| (body.trim(), rest))),
    }
}

/// References within references.
const DEEPEST: usize = 20;
/// Octets of a value.
const LONGEST: usize = 1 << 16;
