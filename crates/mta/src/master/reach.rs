//! Which directories a jailed program can read, decided when it starts; whether another configuration asks for more.

use std::path::{Path, PathBuf};

use config::Config;

use crate::set_up;

/// Where the tables of a program are.
type Directories = fn(&Config) -> Vec<PathBuf>;

/// What one program can read.
#[derive(Debug)]
pub(super) struct Reach {
    wanted: Option<Directories>,
    within: Vec<PathBuf>,
}

impl Reach {
    /// A program without a jail.
    pub(super) const ALL: Self = Self { wanted: None, within: Vec::new() };

    pub(super) const fn of(wanted: Directories) -> Self {
        Self { wanted: Some(wanted), within: Vec::new() }
    }

    /// The program starts under this configuration.
    pub(super) fn begin(&mut self, config: &Config) {
        // A jail has no room for what does not exist yet.
        self.within = self.wanted(config).into_iter().filter(|folder| folder.is_dir()).collect();
        self.within.extend(set_up::system_files().into_iter().map(Path::to_owned));
        self.within.push(config.dir().to_owned());
    }

    /// Under this configuration the program needs more; then it counts as started under it.
    pub(super) fn is_exceeded(&mut self, config: &Config) -> bool {
        let beyond = |folder: &PathBuf| folder.is_dir() && !self.within.iter().any(|known| folder.starts_with(known));
        let exceeded = self.wanted(config).iter().any(beyond);
        if exceeded {
            self.begin(config);
        }
        exceeded
    }

    fn wanted(&self, config: &Config) -> Vec<PathBuf> {
        self.wanted.map(|wanted| wanted(config)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_new_once_and_only_when_it_exists() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = folder.path().join("new");
        let config = |text: &str| Config::parse(Path::new("/nowhere"), text).expect("configuration");
        let moved = config(&format!("transport_maps: hash:{}/transport\n", new.display()));
        let mut reach = Reach::of(crate::qmgr::directories);
        reach.begin(&config(""));
        assert!(!reach.is_exceeded(&moved));
        std::fs::create_dir(&new).expect("made");
        assert!(reach.is_exceeded(&moved) && !reach.is_exceeded(&moved));
        assert!(!reach.is_exceeded(&config("transport_maps: hash:/etc/somewhere/transport\n")));
        let mut all = Reach::ALL;
        assert!(!all.is_exceeded(&moved));
    }
}
