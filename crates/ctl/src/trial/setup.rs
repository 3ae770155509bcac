//! What `facteur try` puts in its directory: settings (once), where things are (at each start), accounts, homes.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use config::edit;
use nix::unistd::{getegid, geteuid};

use crate::check;
use crate::settings::write;

/// The people of the labs.
pub(crate) const USERS: [&str; 6] = ["kevin", "foo", "bar", "toto", "titi", "eleve"];

/// Made at every start; that it exists marks a directory as ours.
const PLACES: &str = "etc/conf.d/try.yaml";

/// Socket addresses of the system end at 107 octets; our longest name below the directory has about 30.
const LONGEST_PATH: usize = 70;

/// Refuses a directory that holds something else, and names we cannot work with.
pub(crate) fn refuse_foreign(dir: &Path) -> Result<()> {
    let shown = dir.display();
    let Some(text) = dir.to_str() else { bail!("{shown}: use a plain name for --dir") };
    if text.contains(|c: char| c.is_whitespace() || c == ',' || c == '$') {
        bail!("{shown}: use a --dir without blanks, commas and dollar signs");
    }
    if text.len() > LONGEST_PATH {
        bail!("{shown}: too long a name, sockets would not work in it: use a shorter --dir");
    }
    let holds_something = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).with_context(|| format!("{shown} cannot be read")),
    };
    if holds_something && !dir.join(PLACES).exists() {
        bail!("{shown} holds something else: use another --dir");
    }
    Ok(())
}

/// Makes the directory with its mark.
pub(crate) fn make_home(dir: &Path) -> Result<()> {
    for part in ["etc/conf.d", "home", "mail"] {
        let path = dir.join(part);
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&path);
        made.with_context(|| format!("{} cannot be made", path.display()))?;
    }
    let mark = dir.join(PLACES);
    if !mark.exists() {
        fs::write(&mark, "").with_context(|| format!("{} cannot be written", mark.display()))?;
    }
    Ok(())
}

/// Writes what is missing, and always [`PLACES`].
pub(crate) fn prepare(dir: &Path, programs: &Path, offset: u16) -> Result<()> {
    let etc = dir.join("etc");
    put(&etc.join("conf.d"), "try.yaml", &places(dir, programs, offset), 0o644)?;
    for (name, text) in [("facteur.yaml", settings()), ("aliases", ALIASES.to_owned())] {
        if !etc.join(name).exists() {
            put(&etc, name, &text, 0o644)?;
        }
    }
    let old = match fs::read_to_string(etc.join("accounts")) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{}/accounts cannot be read", etc.display())),
    };
    let accounts = match &old {
        Some(old) => owned_by_us(old),
        None => accounts(dir)?,
    };
    if old.as_deref() != Some(accounts.as_str()) {
        put(&etc, "accounts", &accounts, 0o600)?;
    }
    for user in USERS {
        let home = dir.join("home").join(user);
        if !check::is_readable_dir(&home) {
            let made = DirBuilder::new().mode(0o700).create(&home);
            made.with_context(|| format!("{} cannot be made", home.display()))?;
        }
    }
    Ok(())
}

fn put(dir: &Path, name: &str, text: &str, mode: u32) -> Result<()> {
    write(dir, name, text.as_bytes(), mode).with_context(|| format!("{} cannot be written", dir.join(name).display()))
}

fn settings() -> String {
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let listen = if v6.contains("00000000000000000000000000000001") { "127.0.0.1, ::1" } else { "127.0.0.1" };
    SETTINGS.replace("LISTEN", listen)
}

fn places(dir: &Path, programs: &Path, offset: u16) -> String {
    let dir = dir.display();
    let programs = programs.display();
    let rows = [
        ("accounts_file", format!("{dir}/etc/accounts")),
        ("alias_maps", format!("{dir}/etc/aliases")),
        ("command_directory", programs.to_string()),
        ("daemon_directory", programs.to_string()),
        ("data_directory", format!("{dir}/lib")),
        ("mail_spool_directory", format!("{dir}/mail")),
        ("maillog_file", format!("{dir}/mail.log")),
        ("port_offset", offset.to_string()),
        ("queue_directory", format!("{dir}/spool")),
        ("run_directory", format!("{dir}/run")),
        ("first_valid_uid", "0".to_owned()),
    ];
    let head = "# Where things are. Written at each start of `facteur try`: change ../facteur.yaml instead.\n";
    rows.iter().fold(head.to_owned(), |text, (name, value)| edit::set(&text, name, value))
}

fn accounts(dir: &Path) -> Result<String> {
    let (uid, gid) = (geteuid(), getegid());
    let line = |user: &str| {
        let hash = accounts::hash(user)?;
        Ok(format!("{user}:{hash}:{uid}:{gid}:{user}:{}/home/{user}:/bin/sh\n", dir.display()))
    };
    USERS.into_iter().map(line).collect()
}

/// The same accounts with our own user and group numbers: the directory may have been begun by another user.
fn owned_by_us(accounts: &str) -> String {
    let (uid, gid) = (geteuid().to_string(), getegid().to_string());
    let line = |line: &str| {
        let mut fields: Vec<&str> = line.split(':').collect();
        if let [_, _, user, group, ..] = fields.as_mut_slice() {
            (*user, *group) = (&uid, &gid);
        }
        fields.join(":") + "\n"
    };
    accounts.lines().map(line).collect()
}

const ALIASES: &str = "\
# Mail for the name on the left goes to those on the right. Read live: no command is needed after a change.
postmaster: root
root: eleve
";

const SETTINGS: &str = "\
# Settings of this trial system. Change what you like, then say: facteur -c THIS_DIRECTORY reload
# This file is written once, at the first start. Where things are kept is in conf.d/try.yaml.
# All parameters: facteur config sample

# The domain of local users, and the domains whose mail is delivered here.
myorigin: m3102.com
mydestination: m3102.com, $myhostname, localhost.$mydomain, localhost

# With the slash: a Maildir in each home. Without a value: one mbox file for each user.
home_mailbox: Maildir/

# The passwords are no secret, so only this machine may connect. To let others in: all, and \"*, ::\".
inet_interfaces: loopback-only
listen: LISTEN
";

#[cfg(test)]
mod tests {
    use config::Config;

    use super::*;

    #[test]
    fn a_new_directory_is_a_right_configuration_and_edits_stay() {
        let home = tempfile::Builder::new().prefix("try").tempdir_in("/tmp").unwrap();
        let dir = home.path().join("t");
        refuse_foreign(&dir).unwrap();
        make_home(&dir).unwrap();
        prepare(&dir, Path::new("/opt/bin"), 3000).unwrap();
        let etc = dir.join("etc");
        let config = Config::load(&etc).unwrap();
        assert_eq!(config.text("myorigin"), "m3102.com");
        assert_eq!((config.number("port_offset"), config.text("daemon_directory")), (3000, "/opt/bin"));
        let accounts = accounts::Accounts::file(etc.join("accounts"));
        assert_eq!(accounts.find("titi").unwrap().unwrap().home, dir.join("home/titi"));
        fs::write(etc.join("facteur.yaml"), "home_mailbox:\n").unwrap();
        let before = fs::read_to_string(etc.join("accounts")).unwrap();
        refuse_foreign(&dir).unwrap();
        prepare(&dir, Path::new("/opt/bin"), 4000).unwrap();
        let config = Config::load(&etc).unwrap();
        assert_eq!((config.number("port_offset"), config.text("home_mailbox")), (4000, ""));
        assert_eq!(fs::read_to_string(etc.join("accounts")).unwrap(), before);
    }

    #[test]
    fn directories_of_others_are_left_alone() {
        let home = tempfile::Builder::new().prefix("try").tempdir_in("/tmp").unwrap();
        fs::write(home.path().join("thesis"), "").unwrap();
        assert!(
            refuse_foreign(home.path()).unwrap_err().to_string().ends_with("holds something else: use another --dir")
        );
        assert!(refuse_foreign(Path::new("/tmp/a b")).is_err());
        assert!(refuse_foreign(&Path::new("/tmp").join("x".repeat(90))).is_err());
    }

    #[test]
    fn accounts_follow_the_user_who_runs_it() {
        let (uid, gid) = (geteuid(), getegid());
        let expected = format!("kevin:$6$x:{uid}:{gid}:Kévin:/home/kevin:/bin/sh\n");
        assert_eq!(owned_by_us("kevin:$6$x:7:8:Kévin:/home/kevin:/bin/sh\n"), expected);
    }
}
