//! Look-up tables as Postfix names them in parameters: plain files, regular expressions, networks, values written in place.
//!
//! A table is a text file that is read live: when it changes it is read again and swapped as a whole. A line that makes no
//! sense is passed over, with one line in the log that says where it is; a file that makes none as a whole, or cannot be
//! read any more, leaves the table as it was. A table that could never be read is [`Trouble`]: nobody knows what is in it, so mail waits.
//!
//! | written | is |
//! |---|---|
//! | `/path`, `hash:`, `btree:`, `lmdb:`, `cdb:`, `dbm:`, `sdbm:`, `texthash:` | the text file of that name: [`text`]; no command is needed after a change |
//! | `regexp:`, `pcre:` | patterns, one after another: [`pattern`] |
//! | `cidr:` | networks: [`cidr`] |
//! | `inline:{k=v, {k = v v}}`, `static:value`, `static:{v v}` | what is written there |
//! | `unionmap:{a, b}`, `pipemap:{a, b}` | all results of the tables with commas between; each table looks up what the one before said |
//! | `fail:` | nothing but [`Trouble`] |
//!
//! Blocking, cheap while nothing changes (one `stat` for each file and [`Tables::view`]), safe to share between threads.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub mod address;
pub mod cidr;
mod live;
mod names;
pub mod pattern;
mod rules;
mod spec;
pub mod text;

pub use names::{Listed, Names};

use live::LiveFile;
use spec::Spec;

/// The tables of one parameter: the first one that knows the key answers.
#[derive(Debug, Default)]
pub struct Tables(Vec<Table>);

/// The tables as they are at one moment: all looks of one piece of work go through one view.
#[derive(Clone, Debug, Default)]
pub struct View(Vec<Content>);

/// What a table says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What stands beside the key.
    pub value: String,
    /// The file, or the table as it is written where it has no file.
    pub file: Arc<Path>,
    /// The line, from 1; 0: the table has no lines.
    pub line: usize,
}

/// A table cannot be used now: the answer is not known, try again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

/// Something in a table, or the way it is written in a parameter, that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the table as it is written.
    pub file: PathBuf,
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong, in a sentence.
    pub text: String,
}

/// Who may read the file of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Everybody may.
    None,
    /// The file holds passwords: one that others than owner and group may read is [`Trouble`].
    Passwords,
}

#[derive(Debug)]
enum Table {
    File(Box<LiveFile>),
    Inline(Content),
    Union(Tables),
    Pipe(Tables),
    Fail(String),
}

/// What a table holds.
#[derive(Clone, Debug)]
enum Content {
    Text(Arc<text::Text>),
    Patterns(Arc<pattern::Patterns>),
    Networks(Arc<cidr::Networks>),
    Static(Found),
    Union(View),
    Pipe(View),
}

/// Which tables are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    All,
    Fixed,
}

impl Tables {
    /// The tables a parameter lists, separated by commas or blanks. No file is read yet.
    ///
    /// # Errors
    /// A kind of table that does not exist here, or braces that do not match.
    pub fn open(list: &str) -> Result<Self, Problem> {
        Self::open_as(list, Secrecy::None)
    }

    /// As [`Tables::open`], for tables that may hold passwords.
    ///
    /// # Errors
    /// As [`Tables::open`].
    pub fn open_as(list: &str, secrecy: Secrecy) -> Result<Self, Problem> {
        let wrong = |text| Problem { file: list.trim().into(), line: 0, text };
        let specs = spec::parse_list(list).map_err(wrong)?;
        specs.into_iter().map(|spec| Table::of(spec, secrecy)).collect::<Result<_, _>>().map(Self).map_err(wrong)
    }

    /// No table is listed: no look-up ever finds anything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the tables say of the key now.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn lookup(&self, key: &str) -> Result<Option<Found>, Trouble> {
        Ok(if self.0.is_empty() { None } else { self.view()?.lookup(key) })
    }

    /// The tables as they are now; what changed is read again first.
    ///
    /// # Errors
    /// A table cannot be used.
    pub fn view(&self) -> Result<View, Trouble> {
        self.0.iter().map(Table::content).collect::<Result<_, _>>().map(View)
    }

    /// Everything that is wrong in the files as they are now.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.0.iter().flat_map(Table::problems).collect()
    }

    /// The files that are read.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.iter().flat_map(Table::files).collect()
    }
}

impl View {
    /// Every value that stands written in the plain tables, for checks; patterns and networks are not among them.
    #[must_use]
    pub fn written(&self) -> Vec<Found> {
        self.0.iter().flat_map(Content::written).collect()
    }

    /// No table is listed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the first table that knows the key says of it.
    #[must_use]
    pub fn lookup(&self, key: &str) -> Option<Found> {
        self.look(key, Asked::All)
    }

    /// As [`View::lookup`] for a part of what is looked for, such as `@domain`: patterns and networks see only whole keys.
    #[must_use]
    pub fn lookup_part(&self, key: &str) -> Option<Found> {
        self.look(key, Asked::Fixed)
    }

    fn look(&self, key: &str, asked: Asked) -> Option<Found> {
        self.0.iter().find_map(|content| content.look(key, asked))
    }
}

impl Table {
    fn of(spec: Spec, secrecy: Secrecy) -> Result<Self, String> {
        Ok(match spec {
            Spec::File(kind, path) => Self::File(Box::new(LiveFile::new(kind, path, secrecy))),
            Spec::Inline(written, pairs) => Self::Inline(Content::Text(Arc::new(text::Text::inline(&written, pairs)))),
            Spec::Static(written, value) => {
                Self::Inline(Content::Static(Found { value, file: Path::new(&written).into(), line: 0 }))
            }
            Spec::Union(specs) => Self::Union(Tables::of(specs, secrecy)?),
            Spec::Pipe(specs) => Self::Pipe(Tables::of(specs, secrecy)?),
            Spec::Fail(written) => Self::Fail(written),
        })
    }

    fn content(&self) -> Result<Content, Trouble> {
        match self {
            Self::File(file) => file.content(),
            Self::Inline(content) => Ok(content.clone()),
            Self::Union(tables) => tables.view().map(Content::Union),
            Self::Pipe(tables) => tables.view().map(Content::Pipe),
            Self::Fail(written) => Err(Trouble(format!("{written} always fails"))),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        match self {
            Self::File(file) => file.problems(),
            Self::Union(tables) | Self::Pipe(tables) => tables.problems(),
            Self::Inline(_) | Self::Fail(_) => Vec::new(),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(file) => vec![file.path().to_path_buf()],
            Self::Union(tables) | Self::Pipe(tables) => tables.files(),
            Self::Inline(_) | Self::Fail(_) => Vec::new(),
        }
    }
}

impl Tables {
    fn of(specs: Vec<Spec>, secrecy: Secrecy) -> Result<Self, String> {
        specs.into_iter().map(|spec| Table::of(spec, secrecy)).collect::<Result<_, _>>().map(Self)
    }
}

impl Content {
    fn written(&self) -> Vec<Found> {
        match self {
            Self::Text(text) => text.written(),
            Self::Static(found) => vec![found.clone()],
            Self::Union(view) => view.written(),
            Self::Patterns(_) | Self::Networks(_) | Self::Pipe(_) => Vec::new(),
        }
    }

    /// Lines of the file that make no sense.
    fn passed_over(&self) -> &[Problem] {
        match self {
            Self::Text(text) => text.passed_over(),
            Self::Patterns(patterns) => patterns.passed_over(),
            Self::Networks(networks) => networks.passed_over(),
            Self::Static(_) | Self::Union(_) | Self::Pipe(_) => &[],
        }
    }

    fn look(&self, key: &str, asked: Asked) -> Option<Found> {
        match (self, asked) {
            (Self::Text(text), _) => text.find(key),
            (Self::Static(found), _) => Some(found.clone()),
            (Self::Patterns(_) | Self::Networks(_), Asked::Fixed) => None,
            (Self::Patterns(patterns), Asked::All) => patterns.find(key),
            (Self::Networks(networks), Asked::All) => networks.find(key),
            (Self::Union(view), _) => union(view, key, asked),
            (Self::Pipe(view), _) => pipe(view, key, asked),
        }
    }
}

/// All that the tables say of the key; the place is that of the first.
fn union(view: &View, key: &str, asked: Asked) -> Option<Found> {
    let mut all = view.0.iter().filter_map(|content| content.look(key, asked));
    let first = all.next()?;
    let value = all.fold(first.value, |list, more| format!("{list},{}", more.value));
    Some(Found { value, ..first })
}

/// What the last table says of what the one before said, and so on to the first; the place is that of the last.
fn pipe(view: &View, key: &str, asked: Asked) -> Option<Found> {
    let (first, rest) = view.0.split_first()?;
    rest.iter().try_fold(first.look(key, asked)?, |found, content| content.look(&found.value, asked))
}

/// Whether a parameter lists tables as it should; the phrase says what is wrong.
///
/// # Errors
/// A kind of table that does not exist here, or braces that do not match.
pub fn check(list: &str) -> Result<(), String> {
    spec::parse_list(list).map(drop)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

impl Found {
    /// Where it stands: `file:line`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            0 => self.file.display().to_string(),
            line => format!("{}:{line}", self.file.display()),
        }
    }
}

#[cfg(test)]
mod tests;
