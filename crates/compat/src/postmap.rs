//! `postmap` and `postalias`: tables are read live, so there is nothing to build; they are checked, and looked up in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use ctl::reach;
use handover::Target;
use handover::aliases::{self, Table};
use tables::Tables;

use crate::call::Call;

/// `postmap [-q KEY|-s] TABLE...`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("bfFhimnNopruUvws", "qd")?;
    from_here(call)?;
    if let Some((_, key)) = options.iter().find(|(letter, _)| *letter == 'q') {
        return look_up(call, key, |spec, key| {
            let tables = Tables::open(spec).map_err(|problem| problem.text)?;
            let found = tables.lookup(key).map_err(|trouble| trouble.0)?;
            Ok(found.map(|found| found.value))
        });
    }
    let code = checked(call, |spec| match Tables::open(spec) {
        Ok(tables) => tables.problems().iter().map(place).collect(),
        Err(problem) => vec![place(&problem)],
    })?;
    if nix::unistd::geteuid().is_root() && code == ExitCode::SUCCESS {
        entrust(call)?;
    }
    Ok(code)
}

/// Names of files are of the current directory, as for any command: `postmap virtual`, `postmap hash:virtual`.
fn from_here(call: &mut Call) -> Result<()> {
    let here = std::env::current_dir().context("the current directory cannot be found")?;
    call.words.iter_mut().for_each(|spec| *spec = absolute(&here, spec));
    Ok(())
}

fn absolute(here: &Path, spec: &str) -> String {
    let (kind, name) = spec.split_once(':').map_or(("", spec), |(kind, name)| (kind, name));
    let is_file =
        ["", "btree", "cdb", "cidr", "dbm", "hash", "lmdb", "pcre", "regexp", "sdbm", "texthash"].contains(&kind);
    if !is_file || name.starts_with('/') || name.is_empty() {
        return spec.to_owned();
    }
    let path = here.join(name);
    if kind.is_empty() { path.display().to_string() } else { format!("{kind}:{}", path.display()) }
}

/// Courses have `chmod 600` for a table with passwords, which Postfix opens as root. Our programs look while they are not
/// root, so their group is let in; who asks for the table to be made ready for the mail system wants that.
fn entrust(call: &Call) -> Result<()> {
    let Ok(config) = call.config() else { return Ok(()) };
    let files = call.words.iter().filter_map(|spec| Tables::open(spec).ok()).flat_map(|tables| tables.files());
    for file in files.filter(|file| reach::wrong(&config, file).is_some()) {
        reach::entrust(&config, &file).with_context(|| format!("{} cannot be changed", file.display()))?;
        let group = config.text("mail_owner");
        eprintln!("{}: {}: its owner and the group {group} may read it now, nobody else", call.name, file.display());
    }
    Ok(())
}

/// `postalias [-q KEY] FILE...`.
pub(crate) fn postalias(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("fFinNopruUvws", "qd")?;
    from_here(call)?;
    if let Some((_, key)) = options.iter().find(|(letter, _)| *letter == 'q') {
        return look_up(call, key, |spec, key| alias(&file(spec), key));
    }
    checked(call, |spec| aliases::check(&file(spec)).iter().map(ToString::to_string).collect())
}

/// Prints what the first table says that knows the key; exit status 1 if none does.
fn look_up(call: &Call, key: &str, look: impl Fn(&str, &str) -> Result<Option<String>, String>) -> Result<ExitCode> {
    let keys = match key {
        "-" => io::stdin().lines().collect::<io::Result<Vec<String>>>()?,
        key => vec![key.to_owned()],
    };
    let mut code = ExitCode::FAILURE;
    for key in &keys {
        for spec in &call.words {
            match look(spec, key) {
                Err(why) => bail!("{spec}: {why}"),
                Ok(None) => {}
                Ok(Some(value)) => {
                    match keys.len() {
                        1 => println!("{value}"),
                        _ => println!("{key}\t{value}"),
                    }
                    code = ExitCode::SUCCESS;
                    break;
                }
            }
        }
    }
    Ok(code)
}

fn checked(call: &Call, check: impl Fn(&str) -> Vec<String>) -> Result<ExitCode> {
    if call.words.is_empty() {
        bail!("name a file");
    }
    let found: Vec<String> = call.words.iter().flat_map(|spec| check(spec)).collect();
    found.iter().for_each(|problem| eprintln!("{}: {problem}", call.name));
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn place(problem: &tables::Problem) -> String {
    match problem.line {
        0 => format!("{}: {}", problem.file.display(), problem.text),
        line => format!("{}:{line}: {}", problem.file.display(), problem.text),
    }
}

/// `hash:/etc/aliases` is the plain file.
fn file(spec: &str) -> PathBuf {
    match spec.split_once(':') {
        Some((_, path)) if path.starts_with('/') => path.into(),
        _ => spec.into(),
    }
}

/// The right side of an alias, as one line.
fn alias(path: &Path, key: &str) -> Result<Option<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (table, problems) = Table::parse(path, &text);
    problems.iter().for_each(|problem| eprintln!("postalias: warning: {problem}"));
    Ok(table.find(key).map(|targets| targets.iter().map(shown).collect::<Vec<_>>().join(", ")))
}

fn shown(target: &Target) -> String {
    match target {
        Target::Address(address) => address.to_string(),
        Target::Command(command) => format!("|{command}"),
        Target::File(path) => path.clone(),
        Target::Include(path) => format!(":include:{path}"),
        Target::Mailbox(user) => format!("\\{user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_current_directory() {
        for (spec, wanted) in [
            ("virtual", "/etc/postfix/virtual"),
            ("hash:virtual", "hash:/etc/postfix/virtual"),
            ("pcre:maps/x", "pcre:/etc/postfix/maps/x"),
            ("hash:/etc/virtual", "hash:/etc/virtual"),
            ("/etc/virtual", "/etc/virtual"),
            ("inline:{a=b}", "inline:{a=b}"),
            ("static:x", "static:x"),
        ] {
            assert_eq!(absolute(Path::new("/etc/postfix"), spec), wanted);
        }
    }
}
