//! Where a user's mail is: decided here once, for the writers and for the readers.
//!
//! Writers follow `mailbox_command`, then `home_mailbox`, then `mail_spool_directory`. Readers look where the mail is
//! written, unless `mail_location` says otherwise; if the two differ, [`mismatch`] says so in one sentence.

use std::path::{Path, PathBuf};

use crate::Config;

/// What is done with a message for a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// `mailbox_command` gets it.
    Command(String),
    /// It goes to a Maildir with this root.
    Maildir(PathBuf),
    /// It is appended to this mbox file.
    Mbox(PathBuf),
}

/// Where a user's mail is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reading {
    /// A Maildir; folders are `.NAME` beneath it.
    Maildir {
        /// The directory that holds `cur`, `new` and `tmp`.
        root: PathBuf,
    },
    /// mbox files.
    Mbox {
        /// The mailbox that is delivered to.
        inbox: PathBuf,
        /// The directory of further folders.
        folders: PathBuf,
    },
}

/// Where a message for `user` is delivered.
#[must_use]
pub fn delivery(config: &Config, user: &str, home: &Path) -> Delivery {
    match config.text("mailbox_command") {
        "" => place(config, user, home),
        command => Delivery::Command(command.to_owned()),
    }
}

/// Where `user` reads mail.
#[must_use]
pub fn reading(config: &Config, user: &str, home: &Path) -> Reading {
    let written = match place(config, user, home) {
        Delivery::Maildir(root) => Reading::Maildir { root },
        Delivery::Mbox(inbox) => Reading::Mbox { inbox, folders: home.join("mail") },
        Delivery::Command(_) => unreachable!("place knows files only"),
    };
    match config.text("mail_location").trim() {
        "" => written,
        location => located(location, user, home, written),
    }
}

/// One sentence if readers look at another place than mail is delivered to.
#[must_use]
pub fn mismatch(config: &Config) -> Option<String> {
    if config.text("mail_location").trim().is_empty() || !config.text("mailbox_command").is_empty() {
        return None;
    }
    let home = Path::new("/home/USER");
    let written = match place(config, "USER", home) {
        Delivery::Maildir(path) | Delivery::Mbox(path) => path,
        Delivery::Command(_) => return None,
    };
    let read = match reading(config, "USER", home) {
        Reading::Maildir { root } => root,
        Reading::Mbox { inbox, .. } => inbox,
    };
    // The slash at the end of a Maildir makes no other place.
    let same = written.components().eq(read.components());
    (!same).then(|| {
        let (read, written) = (read.display(), written.display());
        format!("mail is delivered to {written} but POP3 and IMAP read {read}: remove mail_location, or make it agree with home_mailbox")
    })
}

/// The file or directory, whatever `mailbox_command` says.
fn place(config: &Config, user: &str, home: &Path) -> Delivery {
    match config.text("home_mailbox").trim() {
        "" => match config.text("mail_spool_directory") {
            spool if spool.ends_with('/') => Delivery::Maildir(Path::new(spool).join(user)),
            spool => Delivery::Mbox(Path::new(spool).join(user)),
        },
        mailbox if mailbox.ends_with('/') => Delivery::Maildir(below(home, mailbox)),
        mailbox => Delivery::Mbox(below(home, mailbox)),
    }
}

/// Always in the home, as in Postfix: `/Maildir/` is `~/Maildir/`.
fn below(home: &Path, mailbox: &str) -> PathBuf {
    home.join(mailbox.trim_start_matches('/'))
}

/// Reads Dovecot's `maildir:~/Maildir` or `mbox:~/mail:INBOX=/var/mail/%u`; other options make no difference here.
fn located(location: &str, user: &str, home: &Path, written: Reading) -> Reading {
    let (driver, rest) = location.split_once(':').unwrap_or(("", location));
    let mut parts = rest.split(':');
    let root = expand(parts.next().unwrap_or_default(), user, home);
    let inbox = parts.find_map(|part| part.strip_prefix("INBOX=")).map(|path| expand(path, user, home));
    match driver {
        "maildir" => Reading::Maildir { root: inbox.unwrap_or(root) },
        "mbox" => Reading::Mbox { inbox: inbox.unwrap_or_else(|| root.join("inbox")), folders: root },
        _ => written,
    }
}

/// Replaces `~`, `%u`, `%n`, `%h` and `%%`.
fn expand(text: &str, user: &str, home: &Path) -> PathBuf {
    let name = user.split_once('@').map_or(user, |(name, _)| name);
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '%') {
            (_, true) => match chars.next() {
                Some('u') => out.push_str(user),
                Some('n') => out.push_str(name),
                Some('h') => out.push_str(&home.to_string_lossy()),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            },
            (c, false) => out.push(c),
        }
    }
    match out.strip_prefix('~') {
        Some(rest) => home.join(rest.trim_start_matches('/')),
        None => home.join(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("/etc/facteur"), text).unwrap()
    }

    fn both(text: &str) -> (Delivery, Reading) {
        let (config, home) = (config(text), Path::new("/home/kevin"));
        (delivery(&config, "kevin", home), reading(&config, "kevin", home))
    }

    #[test]
    fn writers_and_readers_agree_by_default() {
        let folders = PathBuf::from("/home/kevin/mail");
        let spool = PathBuf::from("/var/mail/kevin");
        assert_eq!(both(""), (Delivery::Mbox(spool.clone()), Reading::Mbox { inbox: spool, folders: folders.clone() }));
        let root = PathBuf::from("/home/kevin/Maildir/");
        assert_eq!(both("home_mailbox: Maildir/"), (Delivery::Maildir(root.clone()), Reading::Maildir { root }));
        let inbox = PathBuf::from("/home/kevin/Mailbox");
        assert_eq!(both("home_mailbox: Mailbox"), (Delivery::Mbox(inbox.clone()), Reading::Mbox { inbox, folders }));
    }

    #[test]
    fn home_mailbox_is_in_the_home_however_it_is_written() {
        let (root, inbox) = (PathBuf::from("/home/kevin/Maildir/"), PathBuf::from("/home/kevin/mail/in"));
        assert_eq!(both("home_mailbox: /Maildir/"), (Delivery::Maildir(root.clone()), Reading::Maildir { root }));
        assert_eq!(both("home_mailbox: //mail/in").0, Delivery::Mbox(inbox));
        for wrong in ["/", "../kevin/", "a/../../etc/", "a/.."] {
            let text = format!("home_mailbox: {wrong}");
            assert!(Config::parse(Path::new("/etc/facteur"), &text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mail_location_is_for_readers() {
        let text = "mail_location: mbox:~/mail:INBOX=/var/mail/%u";
        let inbox = PathBuf::from("/var/mail/kevin");
        assert_eq!(both(text).1, Reading::Mbox { inbox, folders: PathBuf::from("/home/kevin/mail") });
        assert_eq!(config(text).warnings(), Vec::<String>::new());
        let trap = config("home_mailbox: Maildir/\nmail_location: mbox:~/mail:INBOX=/var/mail/%u\n").warnings();
        assert!(trap[0].starts_with("mail is delivered to /home/USER/Maildir/ but POP3 and IMAP read /var/mail/USER"));
        assert_eq!(
            config("home_mailbox: Maildir/\nmail_location: maildir:~/Maildir\n").warnings(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_command_gets_the_mail() {
        let command = "procmail -a \"$EXTENSION\"";
        let (delivery, reading) = both(&format!("mailbox_command: {command}"));
        assert_eq!(delivery, Delivery::Command(command.into()));
        assert!(matches!(reading, Reading::Mbox { .. }));
    }
}
