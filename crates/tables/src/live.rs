//! A table's file, read again when it changes. A line that makes no sense is passed over; a file that makes none as a whole,
//! or cannot be read, changes nothing.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::cidr::Networks;
use crate::pattern::Patterns;
use crate::spec::Kind;
use crate::text::Text;
use crate::{Content, Problem, Secrecy, Trouble};

/// The file and what was last read from it.
#[derive(Debug)]
pub(crate) struct LiveFile {
    kind: Kind,
    path: PathBuf,
    secrecy: Secrecy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stamp: Option<Stamp>,
    /// `None`: it could never be read.
    content: Option<Content>,
    /// What is wrong with the file as it is now: lines passed over, or why it is not in force.
    problems: Vec<Problem>,
}

/// What changes when a file is edited or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64, u64, u32),
    modified: (i64, i64),
    changed: (i64, i64),
    /// Changes by then are seen in the times; the file had changed so shortly before that another one may not be.
    settled: bool,
}

impl LiveFile {
    pub(crate) fn new(kind: Kind, path: PathBuf, secrecy: Secrecy) -> Self {
        Self { kind, path, secrecy, state: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The table as it is now, or as it was when it last made sense.
    pub(crate) fn content(&self) -> Result<Content, Trouble> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut state);
        state
            .content
            .clone()
            .ok_or_else(|| Trouble(state.problems.first().map(ToString::to_string).unwrap_or_default()))
    }

    /// What is wrong with the file as it is now.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut state);
        state.problems.clone()
    }

    fn refresh(&self, state: &mut State) {
        let stamp = Stamp::of(&self.path);
        if let (Ok(stamp), Some(old)) = (&stamp, &state.stamp)
            && old.settled
            && stamp.is_same(old)
        {
            return;
        }
        let (stamp, read) = match stamp {
            Ok(stamp) => (Some(stamp), self.read()),
            Err(error) => (None, Err(self.unreadable(&error))),
        };
        state.stamp = stamp;
        match read {
            Ok(content) => {
                let passed_over = content.passed_over();
                if state.problems != passed_over {
                    let told = passed_over.iter().take(TOLD);
                    told.for_each(|problem| tracing::warn!("{problem}; the line is passed over"));
                    state.problems = passed_over.to_vec();
                }
                state.content = Some(content);
            }
            Err(problems) => self.trouble(state, problems),
        }
    }

    /// The same trouble is told once.
    fn trouble(&self, state: &mut State, problems: Vec<Problem>) {
        if state.problems == problems {
            return;
        }
        let rest = match state.content {
            Some(_) => "; the table as it was before stays in force",
            None => "; mail that needs this table has to wait",
        };
        problems.iter().take(TOLD).for_each(|problem| tracing::error!("{problem}{rest}"));
        state.problems = problems;
    }

    fn read(&self) -> Result<Content, Vec<Problem>> {
        let octets = self.octets().map_err(|error| self.unreadable(&error))?;
        let text = String::from_utf8(octets).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(match self.kind {
            Kind::Text => Content::Text(Arc::new(Text::parse(&self.path, &text))),
            Kind::Names => Content::Text(Arc::new(Text::parse_names(&self.path, &text))),
            Kind::Patterns => Content::Patterns(Arc::new(Patterns::parse(&self.path, &text)?)),
            Kind::Networks => Content::Networks(Arc::new(Networks::parse(&self.path, &text)?)),
        })
    }

    fn octets(&self) -> io::Result<Vec<u8>> {
        let file = std::fs::File::open(&self.path)?;
        let meta = file.metadata()?;
        if meta.len() > MAX_FILE {
            return Err(io::Error::other("the file is too long"));
        }
        if self.secrecy == Secrecy::Passwords && meta.mode() & 0o007 != 0 {
            return Err(io::Error::other("the file holds passwords and everybody may use it: chmod o= it"));
        }
        let mut octets = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        file.take(MAX_FILE).read_to_end(&mut octets)?;
        Ok(octets)
    }

    fn unreadable(&self, error: &io::Error) -> Vec<Problem> {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".into(),
            io::ErrorKind::PermissionDenied => "no permission to read it".into(),
            _ => error.to_string(),
        };
        vec![Problem { file: self.path.clone(), line: 0, text: format!("the table cannot be read: {reason}") }]
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        let changed = (meta.ctime(), meta.ctime_nsec());
        let since = SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(changed.0).unwrap_or(0))
            + Duration::from_nanos(u64::try_from(changed.1).unwrap_or(0));
        Ok(Self {
            file: (meta.dev(), meta.ino(), meta.size(), meta.mode()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed,
            settled: SystemTime::now().duration_since(since).map_or(true, |age| age > TICK),
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.file, self.modified, self.changed) == (other.file, other.modified, other.changed)
    }
}

/// The longest table file that is read.
const MAX_FILE: u64 = 256 << 20;
/// How many broken lines of a file are told.
const TOLD: usize = 5;
/// File times count in ticks of the kernel's clock, of 10 ms at most.
const TICK: Duration = Duration::from_millis(50);
