//! The configuration: one table of parameters, the reader of `facteur.yaml`, and what is made from the table.
//!
//! [`Config::load`] reads `DIR/facteur.yaml`, then (where asked to) the files of Postfix and Dovecot, then
//! `DIR/conf.d/*.yaml` in order, and either returns values that are all
//! right or the list of everything that is wrong, each with file and line. Reading has no side effects. A getter with a
//! name that is not in [`param::TABLE`] is a bug of ours and panics.

pub mod edit;
pub mod foreign;
pub mod generate;
mod machine;
pub mod mailbox;
mod network;
mod own;
pub mod param;
mod place;
mod resolve;
mod value;
mod yaml;

pub use network::Networks;
pub use own::{Destinations, Interfaces};

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use param::{Kind, Unit};

/// All parameters with their final values.
#[derive(Clone, Debug)]
pub struct Config {
    dir: PathBuf,
    values: HashMap<&'static str, Value>,
    /// Sentences about the files of Postfix and Dovecot.
    slips: Vec<String>,
}

/// One thing that is wrong in the configuration; prints as `file:line: text`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if it cannot be told.
    pub line: usize,
    /// What is wrong.
    pub text: String,
    /// Whether it may be right the next time, though nobody mends it: a disk's trouble, no room for a descriptor.
    pub passes: bool,
}

/// All that is wrong, a line each.
#[must_use]
pub fn lines(problems: impl AsRef<[Problem]>) -> String {
    problems.as_ref().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Where a value was set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

/// A final value: checked, `$name` replaced, named files read.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    text: String,
    /// As it stands in the file or in the table, if that is something else.
    written: Option<String>,
    source: Option<Source>,
}

impl Config {
    /// The name of the main file in its directory.
    pub const FILE: &str = "facteur.yaml";

    /// Reads the configuration in `dir`. A missing file means all defaults; a missing directory is a problem.
    pub fn load(dir: &Path) -> Result<Config, Vec<Problem>> {
        let (layers, problems) = Layers::read(dir)?;
        layers.resolved(dir, MainCf::OnDisk, problems)
    }

    /// The same, as if `main.cf` in `postfix_directory` held this text.
    ///
    /// # Errors
    /// All that would be wrong then.
    pub fn load_with_main_cf(dir: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        let (layers, problems) = Layers::read(dir)?;
        layers.resolved(dir, MainCf::Text(text), problems)
    }

    /// As [`Config::load`], for looking and stopping, which a mistake must not prevent: what is wrong is left out, and told
    /// beside it. No mail may be handled by it.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn salvage(dir: &Path) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
        let (layers, mut problems) = Layers::read(dir)?;
        let mut entries = layers.entries(MainCf::OnDisk).map_err(|problem| vec![problem])?.0;
        loop {
            let wrong = match resolve::resolve(entries.clone(), dir) {
                Ok(values) => return Ok((Config { dir: dir.to_path_buf(), values, slips: Vec::new() }, problems)),
                Err(wrong) => wrong,
            };
            let before = entries.len();
            let is_wrong = |entry: &yaml::Entry| wrong.iter().any(|it| it.file == *entry.file && it.line == entry.line);
            entries.retain(|entry| !is_wrong(entry));
            if entries.len() == before {
                return Err(wrong);
            }
            problems.extend(wrong);
        }
    }

    /// Reads `text` as if it were `dir/facteur.yaml`.
    pub fn parse(dir: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        let entries = yaml::read(text, &dir.join(Config::FILE))?;
        Ok(Config { dir: dir.to_path_buf(), values: resolve::resolve(entries, dir)?, slips: Vec::new() })
    }

    /// The configuration directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The value as text (for a list: its items separated by commas).
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        &self.value(name).text
    }

    /// The value as it was written: `$name` is not replaced, a named file not read.
    #[must_use]
    pub fn written(&self, name: &str) -> &str {
        let value = self.value(name);
        value.written.as_deref().unwrap_or(&value.text)
    }

    /// The items of a list.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        value::items(self.text(name)).map(str::to_owned).collect()
    }

    /// yes or no.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        value::flag(self.text(name)).expect("checked when it was read")
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        value::number(self.text(name), 0, u64::MAX).expect("checked when it was read")
    }

    /// A time.
    #[must_use]
    pub fn time(&self, name: &str) -> Duration {
        let unit = match self.row(name).kind {
            Kind::Time(unit) => unit,
            _ => Unit::Second,
        };
        value::time(self.text(name), unit).expect("checked when it was read")
    }

    /// A size in bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> u64 {
        value::bytes(self.text(name)).expect("checked when it was read")
    }

    /// A list of networks.
    #[must_use]
    pub fn networks(&self, name: &str) -> Networks {
        Networks::read(value::items(self.text(name)))
    }

    /// A list of addresses with ports.
    #[must_use]
    pub fn sockets(&self, name: &str) -> Vec<std::net::SocketAddr> {
        value::items(self.text(name)).filter_map(|item| value::socket(item).ok()).collect()
    }

    /// Look-up tables; each call opens them anew.
    #[must_use]
    pub fn tables(&self, name: &str) -> tables::Tables {
        tables::Tables::open(self.text(name)).expect("checked when it was read")
    }

    /// A list of names in which items may be tables.
    #[must_use]
    pub fn names(&self, name: &str) -> tables::Names {
        tables::Names::open(self.text(name)).expect("checked when it was read")
    }

    /// A file name; `None` if the value is empty.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    /// Where the value was set; `None` if it is the default.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.value(name).source.as_ref()
    }

    /// What is allowed but will surprise, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        mailbox::mismatch(self).into_iter().chain(self.slips.iter().cloned()).collect()
    }

    fn value(&self, name: &str) -> &Value {
        self.values.get(name).unwrap_or_else(|| panic!("parameter {name} is not in config/param.rs"))
    }

    fn row(&self, name: &str) -> &'static param::Param {
        param::find(name).unwrap_or_else(|| panic!("parameter {name} is not in config/param.rs"))
    }
}

/// What each file says, a later one counting more: ours, Postfix's and Dovecot's, then the parts in `conf.d`.
#[derive(Default)]
struct Layers {
    main: Vec<yaml::Entry>,
    parts: Vec<yaml::Entry>,
}

/// Which `main.cf` counts.
#[derive(Clone, Copy)]
enum MainCf<'a> {
    OnDisk,
    Text(&'a str),
}

impl Layers {
    /// Our files, and what is wrong with the writing of some.
    fn read(dir: &Path) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let (mut layers, mut problems) = (Layers::default(), Vec::new());
        for file in files(dir)? {
            let text = fs::read_to_string(&file).map_err(|error| vec![unreadable(&file, &error)])?;
            match yaml::read(&text, &file) {
                Ok(more) if file.parent() == Some(dir) => layers.main.extend(more),
                Ok(more) => layers.parts.extend(more),
                Err(more) => problems.extend(more),
            }
        }
        Ok((layers, problems))
    }

    fn resolved(self, dir: &Path, main_cf: MainCf<'_>, problems: Vec<Problem>) -> Result<Config, Vec<Problem>> {
        let (entries, slips) = self.entries(main_cf).map_err(|problem| vec![problem])?;
        match (resolve::resolve(entries, dir), problems.is_empty()) {
            (Ok(values), true) => Ok(Config { dir: dir.to_path_buf(), values, slips }),
            (Ok(_), false) => Err(problems),
            (Err(more), _) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    /// What Postfix's and Dovecot's files say, if they count.
    fn foreign(&self, main_cf: MainCf<'_>) -> Result<Vec<foreign::Finding>, Problem> {
        let dir = |name: &str| {
            let entries = self.main.iter().chain(&self.parts);
            let last = entries.rev().find(|entry| entry.name == name);
            last.and_then(|entry| entry.items.first()).filter(|text| !text.is_empty()).map(PathBuf::from)
        };
        let mut found = Vec::new();
        if let Some(dir) = dir("postfix_directory") {
            found.extend(match main_cf {
                MainCf::OnDisk => foreign::postfix(&dir)?,
                MainCf::Text(text) => foreign::postfix_with(&dir, text)?,
            });
        }
        if let Some(dir) = dir("dovecot_directory") {
            found.extend(foreign::dovecot(&dir)?);
        }
        Ok(found)
    }

    /// All entries in the order in which they count, and sentences about names in the files of others.
    fn entries(self, main_cf: MainCf<'_>) -> Result<(Vec<yaml::Entry>, Vec<String>), Problem> {
        let foreign = self.foreign(main_cf)?;
        let slips = foreign::slips(&foreign);
        let Layers { main: mut entries, parts } = self;
        entries.extend(foreign::entries(foreign));
        entries.extend(parts);
        Ok((entries, slips))
    }
}

impl Problem {
    pub(crate) fn new(file: &Path, line: usize, text: String) -> Problem {
        Problem { file: file.to_path_buf(), line, text, passes: false }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The files to read, in order.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Vec<Problem>> {
    if let Err(error) = fs::read_dir(dir) {
        return Err(vec![unreadable(dir, &error)]);
    }
    let main = dir.join(Config::FILE);
    let mut files = Vec::new();
    // Only what is known to be missing is missing: with defaults in place of a file that cannot be read now, mail would go
    // to the wrong places.
    match main.symlink_metadata() {
        Ok(_) => files.push(main),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(vec![unreadable(&main, &error)]),
    }
    let parts = dir.join("conf.d");
    let entries = match fs::read_dir(&parts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(vec![unreadable(&parts, &error)]),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut more = paths.map_err(|error| vec![unreadable(&parts, &error)])?;
    more.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    more.sort();
    files.extend(more);
    Ok(files)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let passes = !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
    Problem { passes, ..Problem::new(path, 0, format!("cannot be read: {}", machine::reason(error))) }
}

#[cfg(test)]
mod tests;
