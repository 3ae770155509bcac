//! `dovecot-keywords`: which letter `a`–`z` in file names stands for which keyword; lines `0 $Junk`.

use durable::{Access, Dir};

use super::control;
use crate::Error;

pub(crate) const FILE: &str = "dovecot-keywords";
/// Letters there are.
pub(crate) const MOST: usize = 26;

/// The table of one mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keywords {
    names: Vec<Option<String>>,
}

impl Keywords {
    pub(crate) fn parse(text: &str) -> Self {
        let mut this = Self::default();
        for line in text.lines() {
            let Some((number, name)) = line.trim_end_matches('\r').split_once(' ') else { continue };
            let Some(at) = number.parse::<usize>().ok().filter(|at| *at < MOST && !name.is_empty()) else { continue };
            if this.names.len() <= at {
                this.names.resize(at + 1, None);
            }
            this.names[at] = Some(name.to_owned());
        }
        this
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.names.iter().enumerate();
        lines.filter_map(|(at, name)| name.as_ref().map(|name| format!("{at} {name}\n"))).collect()
    }

    pub(crate) fn read(dir: &Dir) -> Result<Self, Error> {
        match dir.open_file(FILE, Access::Read) {
            Ok(file) => Ok(Self::parse(&String::from_utf8_lossy(&file.read_all(control::LARGEST)?))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn name(&self, letter: u8) -> Option<&str> {
        let at = usize::from(letter.checked_sub(b'a')?);
        self.names.get(at)?.as_deref()
    }

    pub(crate) fn letter(&self, keyword: &str) -> Option<u8> {
        let same = |name: &Option<String>| name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(keyword));
        let at = self.names.iter().position(same)?;
        u8::try_from(at).ok().map(|at| b'a' + at)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flatten().map(String::as_str)
    }

    /// All letters are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.names().count() >= MOST
    }

    /// Takes the letters of all others away.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        for name in &mut self.names {
            if name.as_deref().is_some_and(|name| !is_kept(name)) {
                *name = None;
            }
        }
    }

    /// Gives `keyword` a letter. `false` when all letters are taken.
    pub(crate) fn add(&mut self, keyword: &str) -> bool {
        if self.letter(keyword).is_some() {
            return true;
        }
        if let Some(free) = self.names.iter_mut().find(|name| name.is_none()) {
            *free = Some(keyword.to_owned());
            return true;
        }
        let room = self.names.len() < MOST;
        if room {
            self.names.push(Some(keyword.to_owned()));
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_as_it_was_read() {
        for text in ["1 a\r", "1 a\r\n", "1 \r\r\n2 b"] {
            let keywords = Keywords::parse(text);
            assert_eq!(Keywords::parse(&keywords.text()), keywords, "{text:?}");
        }
    }

    #[test]
    fn dovecots_file_is_read_and_written() {
        let text = "0 $Junk\n1 NonJunk\n3 $Forwarded\n";
        let mut keywords = Keywords::parse(text);
        assert_eq!(keywords.text(), text);
        assert_eq!((keywords.name(b'd'), keywords.letter("$junk")), (Some("$Forwarded"), Some(b'a')));
        assert!(keywords.add("work") && keywords.letter("work") == Some(b'c'));
        for n in 0..22 {
            assert!(keywords.add(&format!("k{n}")));
        }
        assert!(!keywords.add("one too many") && keywords.add("WORK"));
    }
}
