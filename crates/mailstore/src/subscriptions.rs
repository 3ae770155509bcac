//! Which mailboxes a user subscribed to, in Dovecot's `subscriptions` (`.subscriptions` beside mbox folders): version 2
//! begins with `V<TAB>2` and an empty line and divides levels by TAB; the older form is one name per line. Courier's
//! `courierimapsubscribed` is read where there is no other.

use std::time::Duration;

use durable::Dir;

use crate::Error;
use crate::maildir::control::{self, LockFile};
use crate::store::MailboxName;

const HEAD: &str = "V\t2\n\n";
const COURIER: &str = "courierimapsubscribed";

/// Where the list is, and how levels are divided in names.
pub(crate) struct Subscriptions<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) file: &'static str,
    pub(crate) separator: char,
    pub(crate) timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    version_2: bool,
    names: Vec<String>,
}

impl Subscriptions<'_> {
    pub(crate) fn read(&self) -> Result<Vec<MailboxName>, Error> {
        Ok(self.load()?.names.into_iter().map(MailboxName).collect())
    }

    pub(crate) fn add(&self, name: &MailboxName) -> Result<(), Error> {
        self.change(|names| {
            if !names.iter().any(|have| have == name.as_str()) {
                names.push(name.as_str().to_owned());
            }
        })
    }

    pub(crate) fn remove(&self, name: &MailboxName) -> Result<(), Error> {
        self.change(|names| names.retain(|have| have != name.as_str()))
    }

    fn change(&self, change: impl Fn(&mut Vec<String>)) -> Result<(), Error> {
        let _lock = LockFile::take(self.dir, &format!("{}.lock", self.file), self.timeout)?;
        let old = self.load()?;
        let mut new = old.clone();
        change(&mut new.names);
        if new == old { Ok(()) } else { control::replace(self.dir, self.file, new.text(self.separator).as_bytes()) }
    }

    fn load(&self) -> Result<Names, Error> {
        if let Some(text) = control::read(self.dir, self.file)? {
            return Ok(Names::parse(&String::from_utf8_lossy(&text), self.separator));
        }
        let courier = control::read(self.dir, COURIER)?.unwrap_or_default();
        let names = String::from_utf8_lossy(&courier).lines().filter_map(from_courier).collect();
        Ok(Names { version_2: true, names })
    }
}

impl Names {
    fn parse(text: &str, separator: char) -> Self {
        let body = text.strip_prefix(HEAD);
        let lines = body.unwrap_or(text).lines().filter(|line| !line.is_empty());
        let name =
            |line: &str| if body.is_some() { line.replace('\t', &separator.to_string()) } else { line.to_owned() };
        Self { version_2: body.is_some(), names: lines.map(name).collect() }
    }

    fn text(&self, separator: char) -> String {
        let mut text = if self.version_2 { HEAD.to_owned() } else { String::new() };
        for name in &self.names {
            text += &if self.version_2 { name.replace(separator, "\t") } else { name.clone() };
            text.push('\n');
        }
        text
    }
}

/// Courier puts every mailbox below INBOX.
fn from_courier(line: &str) -> Option<String> {
    let name = if line == "INBOX" { line } else { line.strip_prefix("INBOX.")? };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::forgetful::{Forgetful, content};

    fn put(dir: &Dir, name: &str, text: &str) {
        dir.create(name, 0o600).and_then(|file| file.append(text.as_bytes())).expect("put");
    }

    #[test]
    fn all_three_forms() {
        for (file, text, after) in [
            ("subscriptions", "V\t2\n\nINBOX\nA\tB\n", "V\t2\n\nINBOX\nA\tB\nC\n"),
            ("subscriptions", "INBOX\nA.B\n", "INBOX\nA.B\nC\n"),
            ("courierimapsubscribed", "INBOX\nINBOX.A.B\nnonsense\n", "V\t2\n\nINBOX\nA\tB\nC\n"),
        ] {
            let dir = Forgetful::default().root();
            put(&dir, file, text);
            let list = Subscriptions { dir: &dir, file: "subscriptions", separator: '.', timeout: Duration::ZERO };
            let names: Vec<String> = list.read().expect("read").into_iter().map(|name| name.0).collect();
            assert_eq!(names, ["INBOX", "A.B"]);
            list.remove(&MailboxName("X".into())).expect("nothing to remove");
            list.add(&MailboxName("C".into())).expect("add");
            assert_eq!(String::from_utf8_lossy(&content(&dir, "subscriptions").expect("read")), after);
            list.remove(&MailboxName("A.B".into())).expect("remove");
            assert_eq!(list.read().expect("read").len(), 2);
        }
    }
}
