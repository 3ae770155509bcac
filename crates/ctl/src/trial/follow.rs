//! Shows what is added to the log file, whole lines only; a file that is not there yet is waited for.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// How far the log has been shown.
pub(crate) struct Follower {
    path: PathBuf,
    seen: u64,
}

impl Follower {
    /// Begins behind what the file holds now.
    pub(crate) fn at_end(path: &Path) -> Follower {
        let seen = path.metadata().map_or(0, |meta| meta.len());
        Follower { path: path.to_path_buf(), seen }
    }

    /// Prints the new lines. A log that cannot be read, or an output that is gone, is no reason to stop the mail.
    pub(crate) fn print_new(&mut self) {
        let text = self.new_lines().unwrap_or_default();
        let mut out = io::stdout().lock();
        let _ = out.write_all(&text).and_then(|()| out.flush());
    }

    /// What was added since, whole lines only.
    pub(crate) fn new_lines(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.seen {
            self.seen = 0;
        }
        file.seek(SeekFrom::Start(self.seen))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        text.truncate(whole);
        self.seen = self.seen.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whole_lines_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let mut log = Follower::at_end(&path);
        assert_eq!(log.new_lines().unwrap(), b"");
        fs::write(&path, "old\nnew\nhal").unwrap();
        assert_eq!(log.new_lines().unwrap(), b"new\n");
        fs::write(&path, "old\nnew\nhalf\n").unwrap();
        assert_eq!(log.new_lines().unwrap(), b"half\n");
        fs::write(&path, "x\n").unwrap();
        assert_eq!(log.new_lines().unwrap(), b"x\n");
    }
}
