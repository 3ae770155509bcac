//! `postconf`: settings by Postfix's command. Changes go to `main.cf` where that counts (`postfix_directory`), else to
//! `facteur.yaml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use config::foreign::{self, Verdict};
use config::{Config, Problem, param};

use crate::call::Call;

/// What is done with the words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Show,
    Edit,
    Remove,
}

/// How values are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Both,
    Name,
    Value,
}

/// `postconf`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("ACEFHMPXdefhlmnpvx#a", "Ct")?;
    let has = |letter: char| options.iter().any(|(given, _)| *given == letter);
    let lists = [('a', "facteur"), ('A', ""), ('l', "dotlock\nfcntl"), ('m', TABLES), ('M', SERVICES)];
    if let Some((_, text)) = lists.into_iter().find(|(letter, _)| has(*letter)) {
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let deed = match (has('e'), has('X') || has('#')) {
        (_, true) => Deed::Remove,
        (true, false) => Deed::Edit,
        (false, false) if !call.words.is_empty() && call.words.iter().all(|word| word.contains('=')) => Deed::Edit,
        (false, false) => Deed::Show,
    };
    match deed {
        Deed::Edit | Deed::Remove => change(call, deed)?,
        Deed::Show => {
            let shape = if has('h') {
                Shape::Value
            } else if has('H') {
                Shape::Name
            } else {
                Shape::Both
            };
            let settings = Settings::read(call, has('d'), has('x'))?;
            settings.show(&call.words, has('n'), shape);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Values to show: ours, and what `main.cf` says besides.
struct Settings {
    config: Config,
    /// `$name` replaced.
    expanded: bool,
    /// In `main.cf` and without effect here.
    foreign: Vec<(String, String)>,
}

impl Settings {
    fn read(call: &Call, defaults: bool, expanded: bool) -> Result<Settings> {
        let (config, problems) = call.salvaged()?;
        if defaults {
            let config = Config::parse(&call.dir, "").ok().context("the defaults cannot be read")?;
            return Ok(Settings { config, expanded, foreign: Vec::new() });
        }
        problems.iter().for_each(|problem| eprintln!("postconf: warning: {problem}"));
        let found = config.path("postfix_directory").map(|dir| foreign::postfix(&dir));
        let found = found.and_then(Result::ok).unwrap_or_default();
        let foreign = found.into_iter().filter(|finding| !matches!(finding.verdict, Verdict::Taken { .. }));
        let foreign = foreign.map(|finding| (finding.name, finding.value)).collect();
        Ok(Settings { config, expanded, foreign })
    }

    fn value(&self, name: &str) -> Option<&str> {
        if name == "mail_version" {
            return Some(env!("CARGO_PKG_VERSION"));
        }
        let other = self.foreign.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        other.or_else(|| {
            let row = param::find(name)?;
            Some(if self.expanded { self.config.text(row.name) } else { self.config.written(row.name) })
        })
    }

    fn show(&self, words: &[String], only_set: bool, shape: Shape) {
        let mut names: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            let ours = param::TABLE.iter().map(|row| row.name);
            names.extend(ours.filter(|name| !only_set || self.config.source(name).is_some()));
            names.extend(self.foreign.iter().map(|(name, _)| name.as_str()));
            names.sort_unstable();
            names.dedup();
        }
        for name in names {
            match (self.value(name), shape) {
                (None, _) => eprintln!("postconf: warning: {name}: unknown parameter"),
                (Some(value), Shape::Both) => println!("{}", format!("{name} = {value}").trim_end()),
                (Some(_), Shape::Name) => println!("{name}"),
                (Some(value), Shape::Value) => println!("{value}"),
            }
        }
    }
}

fn change(call: &Call, deed: Deed) -> Result<()> {
    let words: Vec<(&str, Option<&str>)> = call.words.iter().map(|word| asked(word, deed)).collect::<Result<_>>()?;
    for (name, _) in words.iter().filter(|(name, _)| param::find(name).is_none()) {
        let near = param::nearest(name).map_or_else(String::new, |near| format!(", did you mean {near}?"));
        eprintln!("postconf: warning: {name} has no effect in Facteur{near}");
    }
    // Where the file is says a configuration that is wrong in other points too: it is here that it is mended.
    if let Some(dir) = call.salvaged()?.0.path("postfix_directory") {
        return edit(call, &dir, &words);
    }
    for (name, value) in words.into_iter().filter(|(name, _)| param::find(name).is_some()) {
        match value {
            Some(value) => ours(call, &["config", "set", name, value])?,
            None => ours(call, &["config", "unset", name])?,
        }
    }
    Ok(())
}

/// A name and its value, or only the name where it is removed.
fn asked(word: &str, deed: Deed) -> Result<(&str, Option<&str>)> {
    match (word.split_once('='), deed) {
        (Some((name, value)), Deed::Edit) => Ok((name.trim(), Some(value.trim()))),
        (None, Deed::Remove) => Ok((word.trim(), None)),
        (None, _) => bail!("{word}: write NAME=VALUE"),
        (Some(_), _) => bail!("{word}: write only the name"),
    }
}

fn ours(call: &Call, words: &[&str]) -> Result<()> {
    match call.facteur(words) == ExitCode::SUCCESS {
        true => Ok(()),
        false => bail!("nothing was changed"),
    }
}

/// Rewrites `main.cf`, unless that would make something wrong that was not wrong before.
fn edit(call: &Call, dir: &Path, words: &[(&str, Option<&str>)]) -> Result<()> {
    let path: PathBuf = dir.join("main.cf");
    let old = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let mut new = old.clone();
    for (name, value) in words {
        new = match value {
            Some(value) => foreign::set_in_main_cf(&new, name, value),
            None => foreign::unset_in_main_cf(&new, name),
        };
    }
    let wrong = |text: &str| Config::load_with_main_cf(&call.dir, text).err().unwrap_or_default();
    let (before, after) = (wrong(&old), wrong(&new));
    let is_old = |problem: &Problem| before.iter().any(|it| it.file == problem.file && it.text == problem.text);
    let fresh: Vec<Problem> = after.iter().filter(|problem| !is_old(problem)).cloned().collect();
    if !fresh.is_empty() {
        bail!("{}\nnothing was changed", config::lines(fresh));
    }
    after.iter().for_each(|problem| eprintln!("postconf: warning: {problem}"));
    ctl::write(dir, "main.cf", new.as_bytes(), 0o644).with_context(|| format!("{} cannot be written", path.display()))
}

const TABLES: &str = "btree\ncdb\ncidr\nfail\nhash\ninline\nlmdb\npcre\npipemap\nregexp\nstatic\ntexthash\nunionmap";
const SERVICES: &str = "smtp       inet  n       -       y       -       -       smtpd\n\
    submission inet  n       -       y       -       -       smtpd\n\
    smtps      inet  n       -       y       -       -       smtpd\n\
    pickup     unix  n       -       y       60      1       pickup\n\
    qmgr       unix  n       -       y       300     1       qmgr\n\
    smtp       unix  -       -       y       -       -       smtp\n\
    local      unix  -       n       n       -       -       local";
