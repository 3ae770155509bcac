//! `/etc/aliases`, read live: the syntax, the table, and the rule that a broken line costs nobody else.
//!
//! A line is `name: list`; lines that begin with white space continue it; empty lines and lines whose first sign is `#`
//! do not count. Names compare without regard to case. When a file changes it is read again. A line that makes no sense is
//! passed over, and the [`Problem`] (file, line, sentence) is for the log; mail for the name in front of it has to wait
//! ([`Live::unclear`]). A file that cannot be read leaves the old table. Where there is no old table, all mail has to wait
//! ([`Live::unknown`]): a name is unknown only if all files were read.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Target;

/// The longest alias file that is read.
const MAX_FILE: u64 = 64 << 20;

/// One line of an alias file that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub text: String,
}

/// What an alias file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    names: HashMap<String, (usize, Vec<Target>)>,
    /// Names whose lines make no sense.
    unclear: HashSet<String>,
}

/// Alias files that are read again when they change.
#[derive(Debug)]
pub struct Live(Vec<LiveFile>);

#[derive(Debug)]
struct LiveFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    table: Table,
    /// The uid of who owned the file when the table was read.
    owner: u32,
    /// The table is what the file said at some time, or there was none.
    known: bool,
    /// Why the file cannot be read now.
    trouble: Option<String>,
}

/// What changes when a file is edited or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64, u32);

impl Table {
    /// Reads the text of an alias file; beside it stands every line that makes no sense.
    #[must_use]
    pub fn parse(file: &Path, text: &str) -> (Self, Vec<Problem>) {
        let mut table = Self::default();
        let mut problems = Vec::new();
        for (line, text) in logical_lines(text) {
            match parse_line(&text) {
                // Of two entries the first counts, as with postalias.
                Ok((name, targets)) => drop(table.names.entry(name).or_insert((line, targets))),
                Err(why) => {
                    table.unclear.extend(name_in(&text));
                    problems.push(Problem { file: file.into(), line, text: why });
                }
            }
        }
        (table, problems)
    }

    /// What the alias stands for.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&[Target]> {
        self.names.get(&name.to_lowercase()).map(|(_, targets)| targets.as_slice())
    }

    fn line(&self, name: &str) -> Option<usize> {
        self.names.get(&name.to_lowercase()).map(|(line, _)| *line)
    }
}

impl Live {
    /// The files, none of them read yet. A table type (`hash:`) in front is dropped.
    #[must_use]
    pub fn new<S: AsRef<str>>(files: &[S]) -> Self {
        let path = |name: &str| {
            PathBuf::from(match name.split_once(':') {
                Some((_, path)) if path.starts_with('/') => path,
                _ => name,
            })
        };
        Self(
            files
                .iter()
                .map(|name| path(name.as_ref()))
                .map(|path| LiveFile {
                    path,
                    stamp: None,
                    table: Table::default(),
                    owner: 0,
                    known: false,
                    trouble: None,
                })
                .collect(),
        )
    }

    /// A file of which no table could be read yet: nobody knows what names are aliases.
    #[must_use]
    pub fn unknown(&self) -> Option<&Path> {
        self.0.iter().find(|file| !file.known).map(|file| file.path.as_path())
    }

    /// The file with a line for this name that makes no sense, where no other line says what it stands for.
    #[must_use]
    pub fn unclear(&self, name: &str) -> Option<&Path> {
        let name = name.to_lowercase();
        let file = self.0.iter().find(|file| file.table.unclear.contains(&name))?;
        self.find(&name).is_none().then_some(file.path.as_path())
    }

    /// Reads again what changed. What comes back is new trouble, told once.
    pub fn refresh(&mut self) -> Vec<Problem> {
        self.0.iter_mut().flat_map(LiveFile::refresh).collect()
    }

    /// What the alias stands for, in the first file that has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&[Target]> {
        self.0.iter().find_map(|file| file.table.find(name))
    }

    /// The uid of the owner of the file that has the alias: with whose rights its commands run.
    #[must_use]
    pub fn owner(&self, name: &str) -> Option<u32> {
        self.0.iter().find_map(|file| file.table.find(name).map(|_| file.owner))
    }

    /// Where the alias stands: the file, and the line from 1.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<(&Path, usize)> {
        self.0.iter().find_map(|file| Some((file.path.as_path(), file.table.line(name)?)))
    }
}

impl LiveFile {
    fn refresh(&mut self) -> Vec<Problem> {
        let changed = match stamp(&self.path) {
            Ok(stamp) if stamp == self.stamp && self.known => return self.relieved(),
            Ok(None) => Ok((None, Some((Table::default(), 0)), Vec::new())),
            Ok(stamp) => read(&self.path).map(|(table, problems)| (stamp, table, problems)),
            Err(error) => Err(error),
        };
        match changed {
            Ok((stamp, table, problems)) => {
                self.known |= table.is_some();
                if let Some((table, owner)) = table {
                    (self.table, self.owner) = (table, owner);
                }
                let told = self.stamp == stamp && !self.known;
                self.stamp = stamp;
                self.relieved();
                if told { Vec::new() } else { problems }
            }
            // The stamp stays, so the next look tries again.
            Err(error) => self.troubled(error.to_string()),
        }
    }

    fn relieved(&mut self) -> Vec<Problem> {
        self.trouble = None;
        Vec::new()
    }

    /// The same trouble is told once.
    fn troubled(&mut self, text: String) -> Vec<Problem> {
        if self.trouble.as_ref() == Some(&text) {
            return Vec::new();
        }
        self.trouble = Some(text.clone());
        vec![Problem { file: self.path.clone(), line: 0, text }]
    }
}

/// `None`: there is no such file. No alias file at all is a system without aliases, as on a fresh machine.
fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match std::fs::metadata(path) {
        Ok(meta) => Ok(Some(Stamp(meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.uid()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every line of the file that makes no sense: what `newaliases` says.
#[must_use]
pub fn check(file: &Path) -> Vec<Problem> {
    let whole = |error: io::Error| vec![Problem { file: file.into(), line: 0, text: error.to_string() }];
    read(file).map_or_else(whole, |(_, problems)| problems)
}

/// What a file says and its owner, if it says anything, and what is wrong with it.
type Said = (Option<(Table, u32)>, Vec<Problem>);

/// Of a pipe nothing is awaited: the owner need not be root.
fn read(path: &Path) -> io::Result<Said> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_FILE {
        return Ok((None, vec![Problem { file: path.into(), line: 0, text: "the file is too long".into() }]));
    }
    let (table, problems) = Table::parse(path, &String::from_utf8_lossy(&octets));
    Ok((Some((table, meta.uid())), problems))
}

/// Each entry with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut entries: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match entries.last_mut() {
            Some((_, entry)) if line.starts_with([' ', '\t']) => {
                entry.push(' ');
                entry.push_str(trimmed);
            }
            _ => entries.push((index + 1, trimmed.to_owned())),
        }
    }
    entries
}

fn parse_line(text: &str) -> Result<(String, Vec<Target>), String> {
    let (name, list) = divide(text).ok_or("a colon is missing after the alias name")?;
    if name.is_empty() {
        return Err("the alias has no name".into());
    }
    if name.contains(char::is_control) || name.contains('@') {
        return Err(format!("\"{name}\" is not a name for an alias: it stands for a user of this machine, without @"));
    }
    let targets = crate::target::parse_list(list)?;
    if targets.is_empty() {
        return Err(format!("the alias \"{name}\" stands for nothing"));
    }
    Ok((name.to_lowercase(), targets))
}

/// The name that a line is probably about, though it makes no sense.
fn name_in(text: &str) -> Option<String> {
    let name = match text.strip_prefix('"') {
        Some(rest) => rest.split('"').next()?,
        None => text.split([':', ' ', '\t']).next()?,
    };
    (!name.is_empty()).then(|| name.to_lowercase())
}

/// The name, unquoted, and the list.
fn divide(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"')?;
        return Some((name.to_owned(), rest.trim_start().strip_prefix(':')?));
    }
    let (name, list) = text.split_once(':')?;
    Some((name.trim().to_owned(), list))
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (Table, Vec<Problem>) {
        Table::parse(Path::new("/etc/aliases"), text)
    }

    #[test]
    fn the_usual_file_is_read() {
        let text = "# See man 5 aliases\npostmaster:    root\nRoot: eleve\nlist: kevin,\n  # in between\n\ttoto,\n titi\n\
                    \"odd name\": \"|/bin/cat > /dev/null\"\nold: /var/mail/old, :include:/etc/list\nroot: nobody\n";
        let (table, problems) = table(text);
        assert_eq!(problems, []);
        assert_eq!(table.find("ROOT"), crate::target::parse_list("eleve").ok().as_deref());
        assert_eq!(table.find("list").map(<[Target]>::len), Some(3));
        assert_eq!(table.find("odd name"), Some(&[Target::Command("/bin/cat > /dev/null".into())][..]));
        assert_eq!(table.find("old").map(<[Target]>::len), Some(2));
        assert_eq!(table.find("kevin"), None);
    }

    #[test]
    fn each_broken_line_is_named() {
        let (table, problems) = table("a: b\nroot eleve\nb: c d\n\nx@y: z\n:q\nc:\n");
        assert!(table.find("a").is_some() && table.find("b").is_none());
        assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [2, 3, 5, 6, 7]);
        assert_eq!(problems[0].to_string(), "/etc/aliases:2: a colon is missing after the alias name");
    }

    #[test]
    fn a_broken_line_costs_only_its_name() {
        let path = std::env::temp_dir().join(format!("aliases-{}", std::process::id()));
        std::fs::write(&path, "root: eleve\n").expect("written");
        let mut live = Live::new(&[format!("hash:{}", path.display())]);
        assert_eq!(live.refresh(), []);
        assert!(live.find("root").is_some());
        std::fs::write(&path, "Root eleve is it\ntoto: titi\n").expect("written");
        assert_eq!(live.refresh().len(), 1);
        assert!(live.find("root").is_none() && live.find("toto").is_some() && live.refresh().is_empty(), "told once");
        assert!(live.unclear("root") == Some(&*path) && live.unclear("toto").is_none() && live.unclear("x").is_none());
        std::fs::write(&path, "Root eleve is it\nroot: toto\n").expect("written");
        assert_eq!((live.refresh().len(), live.unclear("root")), (1, None));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(live.refresh(), []);
        assert!(live.find("root").is_none());
    }

    /// A directory can be looked at, but not read as a file: as a disk that fails.
    #[test]
    fn a_file_that_cannot_be_read_is_not_an_empty_one() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("aliases");
        std::fs::create_dir(&path).expect("made");
        let mut live = Live::new(&[path.display().to_string()]);
        assert_eq!(live.refresh().len(), 1);
        assert_eq!((live.refresh(), live.unknown()), (Vec::new(), Some(&*path)), "told once");
        std::fs::remove_dir(&path).expect("removed");
        std::fs::write(&path, "root: eleve\n").expect("written");
        assert_eq!((live.refresh(), live.unknown()), (Vec::new(), None));
        assert!(live.find("root").is_some());
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        assert_eq!(live.refresh().len(), 1);
        assert!(live.find("root").is_some() && live.unknown().is_none(), "the old table stays");
    }
}
