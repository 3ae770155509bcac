//! A command line in the manner of 1990: letters behind a dash, some with an argument, in any order; then words.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use config::{Config, Problem};

/// One call of a command.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// What has not been taken yet.
    pub(crate) words: Vec<String>,
    /// Our configuration directory.
    pub(crate) dir: PathBuf,
}

/// The options of a call: letters in order, each with its argument if it takes one.
pub(crate) type Options = Vec<(char, String)>;

impl Call {
    pub(crate) fn new(name: &'static str, words: Vec<String>) -> Call {
        let dir = std::env::var_os("FACTEUR_CONFIG").map_or_else(|| "/etc/facteur".into(), PathBuf::from);
        Call { name, words, dir }
    }

    /// Takes the options in front. `alone` lists the letters without an argument, `with` those with one. `-c DIR` is
    /// understood everywhere; a directory of Postfix's or Dovecot's stands for ours.
    pub(crate) fn options(&mut self, alone: &str, with: &str) -> Result<Options> {
        let mut found = Options::new();
        while let Some(cluster) = self.words.first().and_then(|word| word.strip_prefix('-')).map(str::to_owned) {
            if cluster.is_empty() {
                break;
            }
            self.words.remove(0);
            if cluster == "-" {
                break;
            }
            self.cluster(&cluster, (alone, with), &mut found)?;
        }
        Ok(found)
    }

    fn cluster(&mut self, cluster: &str, (alone, with): (&str, &str), found: &mut Options) -> Result<()> {
        for (at, letter) in cluster.char_indices() {
            if alone.contains(letter) {
                found.push((letter, String::new()));
                continue;
            }
            if letter != 'c' && !with.contains(letter) {
                bail!("there is no option -{letter} here");
            }
            let attached = cluster.get(at + letter.len_utf8()..).unwrap_or_default();
            let argument = match attached.is_empty() {
                false => attached.to_owned(),
                true if self.words.is_empty() => bail!("option -{letter} needs an argument"),
                true => self.words.remove(0),
            };
            match letter {
                'c' if !with.contains('c') => self.take_dir(&argument),
                _ => found.push((letter, argument)),
            }
            return Ok(());
        }
        Ok(())
    }

    fn take_dir(&mut self, dir: &str) {
        if !dir.starts_with("/etc/postfix") && !dir.starts_with("/etc/dovecot") {
            self.dir = dir.into();
        }
    }

    /// The configuration, or all that is wrong with it.
    pub(crate) fn config(&self) -> Result<Config> {
        Config::load(&self.dir).map_err(|problems| anyhow!(config::lines(problems)))
    }

    /// The configuration as far as it is right, and what is wrong with it: for looking and mending.
    pub(crate) fn salvaged(&self) -> Result<(Config, Vec<Problem>)> {
        Config::salvage(&self.dir).map_err(|problems| anyhow!(config::lines(problems)))
    }

    /// Runs the `facteur` command with these words.
    pub(crate) fn facteur(&self, words: &[&str]) -> ExitCode {
        let dir = self.dir.to_string_lossy();
        ctl::facteur(["facteur", "-c", &dir].into_iter().chain(words.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_clusters_and_with_arguments() {
        let words = "-vc /x -dID1 -r ID2 -- -file".split(' ').map(str::to_owned).collect();
        let mut call = Call::new("postsuper", words);
        let found = call.options("v", "dr").unwrap();
        let told = |letter, text: &str| (letter, text.to_owned());
        assert_eq!(found, [told('v', ""), told('d', "ID1"), told('r', "ID2")]);
        assert_eq!((call.words, call.dir), (vec!["-file".to_owned()], PathBuf::from("/x")));
        assert!(Call::new("x", vec!["-z".into()]).options("v", "d").is_err());
        assert!(Call::new("x", vec!["-d".into()]).options("v", "d").is_err());
        let mut theirs = Call::new("postfix", vec!["-c".into(), "/etc/postfix".into(), "reload".into()]);
        theirs.options("v", "").unwrap();
        assert_eq!((theirs.dir, theirs.words), (PathBuf::from("/etc/facteur"), vec!["reload".to_owned()]));
    }
}
