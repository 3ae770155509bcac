//! Whether the programs of the mail system, which are not root, may read a table, and whether one with passwords is read
//! by others: `facteur check` says it, `postmap` mends it.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use config::Config;
use nix::unistd::User;

/// What is wrong with a table's permissions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrong {
    /// The mail system may not read it.
    Hidden,
    /// It holds passwords, and everybody may read it.
    Loose,
}

/// What is wrong with this file; `None` too when it cannot be told, as somebody else would say that.
#[must_use]
pub fn wrong(config: &Config, file: &Path) -> Option<Wrong> {
    let owner = User::from_name(config.text("mail_owner")).ok()??;
    judge(&fs::metadata(file).ok()?, &owner, holds_passwords(config, file))
}

/// Gives a file to the mail system's group for reading, and to nobody else but its owner.
///
/// # Errors
/// When it may not be changed.
pub fn entrust(config: &Config, file: &Path) -> io::Result<()> {
    let owner = User::from_name(config.text("mail_owner"))?.ok_or(io::ErrorKind::NotFound)?;
    let opened = File::open(file)?;
    let mode = opened.metadata()?.mode() & 0o7700 | 0o040;
    fchown(&opened, None, Some(owner.gid.as_raw()))?;
    opened.set_permissions(Permissions::from_mode(mode))
}

fn holds_passwords(config: &Config, file: &Path) -> bool {
    config.tables("smtp_sasl_password_maps").files().iter().any(|named| named == file)
}

fn judge(meta: &Metadata, owner: &User, passwords: bool) -> Option<Wrong> {
    let may = |bit: u32| meta.mode() & bit != 0;
    let reads = if meta.uid() == owner.uid.as_raw() {
        may(0o400)
    } else if meta.gid() == owner.gid.as_raw() {
        may(0o040)
    } else {
        may(0o004)
    };
    match (reads, passwords && may(0o007)) {
        (false, _) => Some(Wrong::Hidden),
        (true, true) => Some(Wrong::Loose),
        (true, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_owner_of_the_queue_may_read() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("sasl_passwd");
        fs::write(&file, "host user:password\n").expect("written");
        let us = User::from_uid(nix::unistd::geteuid()).expect("asked").expect("known");
        let other = User { uid: 65533.into(), gid: 65533.into(), ..us.clone() };
        let grouped = User { uid: 65533.into(), ..us.clone() };
        let cases = [
            (0o600, &other, true, Some(Wrong::Hidden)),
            (0o600, &us, true, None),
            (0o640, &grouped, true, None),
            (0o600, &grouped, true, Some(Wrong::Hidden)),
            (0o644, &other, true, Some(Wrong::Loose)),
            (0o644, &other, false, None),
        ];
        for (mode, owner, passwords, expected) in cases {
            fs::set_permissions(&file, Permissions::from_mode(mode)).expect("set");
            assert_eq!(judge(&fs::metadata(&file).expect("there"), owner, passwords), expected, "{mode:o}");
        }
    }

    #[test]
    fn an_entrusted_file_is_for_owner_and_group() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("sasl_passwd");
        fs::write(&file, "").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o604)).expect("set");
        let us = User::from_uid(nix::unistd::geteuid()).expect("asked").expect("known");
        let config = Config::parse(dir.path(), &format!("mail_owner: {}\n", us.name)).expect("read");
        entrust(&config, &file).expect("changed");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640);
        assert_eq!(wrong(&config, &file), None);
    }
}
