//! The configuration of Postfix and Dovecot, in our words: for `facteur import`, and as a layer below `conf.d`.
//!
//! Each line becomes a [`Finding`]: taken over, or left out with the reason. Names that we do not know are no mistake
//! here (Postfix alone has nine hundred); a wrong value of one that we know is, and is told with file and line as if it
//! stood in `facteur.yaml`. Reading has no side effects. A file that is not there holds nothing.

mod blocks;
mod dovecot;
mod main_cf;
mod master_cf;
mod postfix;
mod reasons;

use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::yaml::Entry;
use crate::{Problem, Source, param, unreadable};

/// What one setting of theirs means here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Where it stands.
    pub source: Source,
    /// Their name; for Dovecot with the blocks around it (`namespace/separator`).
    pub name: String,
    /// Their value.
    pub value: String,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It sets a parameter of ours.
    Taken {
        /// Our name.
        name: &'static str,
        /// Our value.
        value: String,
    },
    /// Facteur does this anyway; why no parameter is needed.
    Needless(String),
    /// It has no effect; why.
    Ignored(String),
}

/// Everything that `dir/main.cf` says, and which services `dir/master.cf` opens, in order.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn postfix(dir: &Path) -> Result<Vec<Finding>, Problem> {
    let text = contents(&dir.join("main.cf"))?.unwrap_or_default();
    postfix_with(dir, &text)
}

/// The same, as if `dir/main.cf` held this text.
pub(crate) fn postfix_with(dir: &Path, text: &str) -> Result<Vec<Finding>, Problem> {
    let main = dir.join("main.cf");
    let mut found = postfix::translate(&main_cf::parse(text), dir, &main);
    let master = dir.join("master.cf");
    let text = contents(&master)?.unwrap_or_default();
    found.extend(master_cf::translate(&text, &master));
    Ok(found)
}

/// Everything that `dir/dovecot.conf` and the files it includes say, in order. Without a `dovecot.conf`, `conf.d/*.conf`.
///
/// # Errors
/// A file that is there and cannot be read, or braces that do not match.
pub fn dovecot(dir: &Path) -> Result<Vec<Finding>, Problem> {
    Ok(dovecot::translate(&blocks::read(dir)?))
}

/// `text` (a `main.cf`) with `name` set to `value`; comments and order stay.
#[must_use]
pub fn set_in_main_cf(text: &str, name: &str, value: &str) -> String {
    main_cf::set(text, name, value)
}

/// `text` (a `main.cf`) without the lines that set `name`.
#[must_use]
pub fn unset_in_main_cf(text: &str, name: &str) -> String {
    main_cf::unset(text, name)
}

/// What a name of ours is called in Dovecot's files, where it stands in them.
#[must_use]
pub fn is_dovecots(name: &str) -> bool {
    dovecot::NAMES.contains(&name)
}

/// What was taken over, as entries of a configuration file. Values equal to Facteur's own default count too: they are
/// somebody's decision.
pub(crate) fn entries(findings: Vec<Finding>) -> Vec<Entry> {
    findings.into_iter().filter_map(entry).collect()
}

fn entry(finding: Finding) -> Option<Entry> {
    let Verdict::Taken { name, value } = finding.verdict else { return None };
    let Source { file, line } = finding.source;
    Some(Entry { name: name.to_owned(), items: vec![value], is_list: false, file: Rc::new(file), line })
}

/// Names that look like a slip of the pen: not ours, and very near to one of ours.
pub(crate) fn slips(findings: &[Finding]) -> Vec<String> {
    let slip = |finding: &Finding| {
        let is_known = !matches!(finding.verdict, Verdict::Ignored(_)) || reasons::is_known(&finding.name);
        let near = param::nearest_than(&finding.name, 0.95).filter(|_| !is_known)?;
        Some(format!("{}: {} is unknown, did you mean {near}?", finding.source, finding.name))
    };
    findings.iter().filter_map(slip).collect()
}

fn contents(path: &Path) -> Result<Option<String>, Problem> {
    match fs::read(path) {
        Ok(octets) => Ok(Some(String::from_utf8_lossy(&octets).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

#[cfg(test)]
mod tests;
