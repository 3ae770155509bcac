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
/// does not); other references stay.
fn expand(text: &str, raw: &HashMap<&str, &str>, depth: usize) -> Result<String, String> {
    if depth > DEEPEST {
        return Err("it refers to itself".into());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = reference(after)?;
        rest = tail;
        match name {
            "" => out.push_str("$$"),
            name if param::find(name).is_some() && !PLACES.contains(&name) => {
                // As it stands, where what follows cannot become a part of the name.
                let bare = depth == 0 && after.starts_with(name) && !tail.starts_with('$');
                out.push_str(&if bare { format!("${name}") } else { format!("${{{name}}}") });
            }
            "mail_name" => out.push_str("${mail_name}"),
            name => out.push_str(&expand(raw.get(name).copied().unwrap_or_default(), raw, depth + 1)?),
        }
        if out.len() > LONGEST {
            return Err("it becomes far too long".into());
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The name after a dollar sign: `$name`, `${name}` or `$(name)`; and what follows it.
fn reference(after: &str) -> Result<(&str, &str), String> {
    let closed = [('{', '}'), ('(', ')')].into_iter().find(|(open, _)| after.starts_with(*open));
    let (name, tail) = match (closed, after.strip_prefix('$')) {
        (_, Some(tail)) => return Ok(("", tail)),
        (Some((_, close)), None) => {
            after.get(1..).and_then(|rest| rest.split_once(close)).ok_or("a bracket is open")?
        }
        (None, None) => {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            after.split_at(end)
        }
    };
    match name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') && !name.is_empty() {
        true => Ok((name, tail)),
        false => Err(format!("conditions such as ${{{name}}} are not understood here")),
    }
}

/// References within references.
const DEEPEST: usize = 20;
/// Octets of a value.
const LONGEST: usize = 1 << 16;
