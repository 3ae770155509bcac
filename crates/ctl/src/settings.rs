//! `facteur config`: looking at settings and changing them in `facteur.yaml`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use config::param::{self, Param};
use config::{Config, edit, generate};
use durable::Dir;

use crate::arguments::ConfigAction;
use crate::load;

/// `facteur config ...`.
pub(crate) fn run(action: &ConfigAction, dir: &Path) -> Result<()> {
    match action {
        ConfigAction::Get { name } => println!("{}", load(dir)?.text(row(name)?.name)),
        ConfigAction::Set { name, value } => set(dir, name, value)?,
        ConfigAction::Unset { name } => {
            let name = row(name)?.name;
            change(dir, |text| edit::unset(text, name))?;
            if let Some(source) = load(dir)?.source(name) {
                eprintln!("warning: {source} still sets {name}");
            }
        }
        ConfigAction::Show { non_default } => show(&load(dir)?, *non_default),
        ConfigAction::Default { name: Some(name) } => println!("{}", row(name)?.default.describe()),
        ConfigAction::Default { name: None } => {
            param::TABLE.iter().for_each(|row| println!("{}", line(row.name, row.default.describe())));
        }
        ConfigAction::Explain { name } => explain(row(name)?),
        ConfigAction::Sample => print!("{}", generate::sample()),
        ConfigAction::Manual => print!("{}", generate::manual()),
    }
    Ok(())
}

fn row(name: &str) -> Result<&'static Param> {
    param::find(name).ok_or_else(|| {
        let guess = param::nearest(name).map_or_else(String::new, |name| format!(", did you mean {name}?"));
        anyhow!("unknown name {name}{guess}")
    })
}

fn line(name: &str, value: &str) -> String {
    format!("{name}: {value}").trim_end().to_owned()
}

fn show(config: &Config, non_default: bool) {
    for row in param::TABLE {
        match (config.source(row.name), non_default) {
            (Some(source), true) => println!("{}  # {source}", line(row.name, config.text(row.name))),
            (None, true) => {}
            (_, false) => println!("{}", line(row.name, config.text(row.name))),
        }
    }
}

fn explain(row: &Param) {
    println!("{}", row.help);
    println!("value:   {}", row.kind.describe());
    println!("default: {}", row.default.describe());
    println!("read by: {}", if row.programs.is_empty() { "nobody" } else { row.programs });
}

fn set(dir: &Path, name: &str, value: &[String]) -> Result<()> {
    let (name, value) = match (name.split_once('='), value) {
        (Some((name, value)), []) => (name.trim(), value.trim().to_owned()),
        (None, []) => bail!("{name}: say which value, or use: facteur config unset {name}"),
        (None, [sign, rest @ ..]) if sign == "=" => (name, rest.join(" ")),
        (_, words) => (name.trim_end_matches([':', '=']), words.join(" ")),
    };
    let name = row(name)?.name;
    change(dir, |text| edit::set(text, name, &value))?;
    let now = load(dir)?;
    let main = dir.join(Config::FILE);
    if let Some(source) = now.source(name).filter(|source| source.file != main) {
        eprintln!("warning: {source} sets {name} too, and is read later");
    }
    Ok(())
}

/// Rewrites `facteur.yaml`, unless the result would be wrong.
pub(crate) fn change(dir: &Path, edit: impl Fn(&str) -> String) -> Result<()> {
    let path = dir.join(Config::FILE);
    let old = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let new = edit(&old);
    if let Err(problems) = Config::parse(dir, &new) {
        bail!("{}\nnothing was changed", config::lines(problems));
    }
    let mode = fs::metadata(&path).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    write(dir, Config::FILE, new.as_bytes(), mode).with_context(|| format!("{} cannot be written", path.display()))
}

/// Puts a whole file in place of the old one: a reader sees either, also after a power cut.
///
/// # Errors
/// Those of the disk; then the old one is as it was.
pub fn write(dir: &Path, name: &str, octets: &[u8], mode: u32) -> io::Result<()> {
    let dir = Dir::open(dir)?;
    let temporary = format!("{name}.new");
    match dir.unlink(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.create(&temporary, mode)?;
    file.append(octets)?;
    file.sync()?;
    dir.rename(&temporary, &dir, name)?;
    dir.sync()
}
