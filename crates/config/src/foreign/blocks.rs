//! The syntax of Dovecot's files, 2.3 and 2.4: `name = value`, blocks in braces, `!include`, `#` behind a blank.
//!
//! A file that is included twice or by itself is read once at each place, to a fixed depth; a pattern's files in order.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents;
use crate::{Problem, Source, unreadable};

/// One setting with the blocks around it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    /// `namespace inbox`, `mailbox Drafts`; outermost first.
    pub(super) blocks: Vec<String>,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) source: Source,
}

/// All settings of the configuration in `dir`.
pub(super) fn read(dir: &Path) -> Result<Vec<Setting>, Problem> {
    let main = dir.join("dovecot.conf");
    let mut reader = Reader::default();
    match contents(&main)? {
        Some(text) => reader.text(&text, &main, 0)?,
        None => reader.pattern(&dir.join("conf.d/*.conf"), 0)?,
    }
    Ok(reader.found)
}

#[derive(Default)]
struct Reader {
    found: Vec<Setting>,
    blocks: Vec<String>,
}

impl Reader {
    fn text(&mut self, text: &str, file: &Path, depth: usize) -> Result<(), Problem> {
        let outside = self.blocks.len();
        for (index, line) in joined(text) {
            let number = index + 1;
            let here = Source { file: file.to_path_buf(), line: number };
            match line.split_once('{') {
                _ if line == "}" && self.blocks.len() > outside => _ = self.blocks.pop(),
                _ if line == "}" => return Err(Problem::new(file, number, "a } without its {".into())),
                _ if line.starts_with("!include") => self.include(&line, file, depth)?,
                Some((head, rest)) if !head.contains('=') => self.block(head, rest, here),
                _ => self.setting(&line, here),
            }
        }
        match self.blocks.len() == outside {
            true => Ok(()),
            false => Err(Problem::new(
                file,
                text.lines().count(),
                format!("the block {} is not closed", self.blocks.join("/")),
            )),
        }
    }

    fn block(&mut self, head: &str, rest: &str, here: Source) {
        self.blocks.push(head.split_whitespace().collect::<Vec<_>>().join(" "));
        // A block on one line: `userdb db { driver = passwd }`.
        if let Some((body, _)) = rest.rsplit_once('}') {
            if !body.trim().is_empty() {
                self.setting(body.trim(), here);
            }
            self.blocks.pop();
        }
    }

    fn setting(&mut self, line: &str, source: Source) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|mark| value.strip_prefix(mark)?.strip_suffix(mark));
        self.found.push(Setting {
            blocks: self.blocks.clone(),
            name: name.trim().to_owned(),
            value: quoted.unwrap_or(value).to_owned(),
            source,
        });
    }

    fn include(&mut self, line: &str, file: &Path, depth: usize) -> Result<(), Problem> {
        let Some((_, pattern)) = line.split_once(char::is_whitespace) else { return Ok(()) };
        let folder = file.parent().unwrap_or(Path::new("/"));
        if depth >= DEEPEST {
            return Err(Problem::new(file, 0, "includes too many files within files".into()));
        }
        self.pattern(&folder.join(pattern.trim()), depth + 1)
    }

    fn pattern(&mut self, pattern: &Path, depth: usize) -> Result<(), Problem> {
        for file in matching(pattern)? {
            if let Some(text) = contents(&file)? {
                self.text(&text, &file, depth)?;
            }
        }
        Ok(())
    }
}

/// Lines that say something, with their numbers from 0; one that ends with a backslash goes on in the next.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut begun: Option<(usize, String)> = None;
    for (index, raw) in text.lines().enumerate() {
        let bare = without_comment(raw.trim());
        let (start, so_far) = begun.take().unwrap_or((index, String::new()));
        let line = format!("{so_far} {}", bare.trim_end_matches('\\').trim()).trim().to_owned();
        match bare.ends_with('\\') {
            true => begun = Some((start, line)),
            false if line.is_empty() => {}
            false => found.push((start, line)),
        }
    }
    found.extend(begun);
    found
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    let quoted = line.contains(['"', '\'']);
    line.split_once(" #").filter(|_| !quoted).map_or(line, |(before, _)| before.trim_end())
}

/// The files that a pattern means; `*` may stand in the last part.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Problem> {
    let last = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((start, end)) = last.split_once('*') else { return Ok(vec![pattern.to_path_buf()]) };
    let folder = pattern.parent().unwrap_or(Path::new("/"));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| unreadable(folder, &error))?,
    };
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= last.len() - 1 && name.starts_with(start) && name.ends_with(end)
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(fits).collect();
    found.sort();
    Ok(found)
}

/// Files within files.
const DEEPEST: usize = 10;
