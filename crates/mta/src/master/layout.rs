//! The directories the programs expect, with owners and modes; made at each start where they are missing or wrong.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use config::Config;
use durable::Dir;
use spool::{Queue, Spool};

/// What could not be made.
#[derive(Debug)]
pub(super) enum Error {
    Folder(PathBuf, io::Error),
    Owner(privileges::Error),
}

/// Owners of the queue; `None` when we are not root: everything is ours.
struct Owners {
    mail: u32,
    mail_group: u32,
    drop: u32,
}

/// Makes the queue, the data and the run directory.
///
/// # Errors
/// The first that cannot be made.
pub(super) fn make(config: &Config) -> Result<(), Error> {
    let owners = owners(config)?;
    for name in ["data_directory", "run_directory", "queue_directory"] {
        make_all(config.text(name).as_ref())?;
    }
    let queue = Path::new(config.text("queue_directory"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |e| Error::Folder(path, e)
    };
    let root = Dir::open(queue).map_err(failed(queue))?;
    let private =
        Queue::ALL.iter().map(|queue| queue.name()).chain(["free", "private"]).map(|name| (name, 0o700, false));
    for (name, mode, dropped_in) in private.chain([("maildrop", 0o1770, true), ("public", 0o711, true)]) {
        let path = queue.join(name);
        root.ensure_subdir(name, 0o700).map_err(failed(&path))?;
        let group = owners.as_ref().map(|o| (o.mail, if dropped_in { o.drop } else { o.mail_group }));
        settle(&path, mode, group).map_err(failed(&path))?;
    }
    Ok(())
}

/// Removes what an earlier life left to be used again; see `spool::pool`.
///
/// # Errors
/// When the queue cannot be read.
pub(super) fn empty_pool(config: &Config) -> Result<(), Error> {
    let queue = Path::new(config.text("queue_directory"));
    let emptied = Dir::open(queue).and_then(|root| Spool::open(&root)).and_then(|spool| spool.empty_pool());
    emptied.map_err(|e| Error::Folder(queue.to_owned(), e))
}

/// The folder of the log file, so that a first start needs no preparation.
pub(super) fn make_log_folder(config: &Config) {
    if let Some(folder) = config.path("maillog_file").as_deref().and_then(Path::parent) {
        let _ = make_all(folder);
    }
}

fn owners(config: &Config) -> Result<Option<Owners>, Error> {
    if !privileges::is_root() {
        return Ok(None);
    }
    let mail = privileges::find_user(config.text("mail_owner")).map_err(Error::Owner)?;
    let drop = privileges::find_group(config.text("setgid_group")).map_err(Error::Owner)?;
    Ok(Some(Owners { mail: mail.uid, mail_group: mail.gid, drop }))
}

fn make_all(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|e| Error::Folder(path.into(), e))
}

/// Owner first: a change of owner may clear bits of the mode.
fn settle(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if let Some((uid, gid)) = owner.filter(|owner| *owner != (meta.uid(), meta.gid())) {
        chown(path, Some(uid), Some(gid))?;
    }
    if owner.is_some() || meta.mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Owner(e) => e.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_directories_are_made_and_wrong_modes_mended() {
        let dir = tempfile::tempdir().expect("dir");
        let text = format!(
            "queue_directory: {0}/q\ndata_directory: {0}/d\nrun_directory: {0}/r\nmail_owner: nobody\nsetgid_group: nogroup\n",
            dir.path().display()
        );
        let config = Config::parse(dir.path(), &text).expect("configuration");
        make(&config).expect("made");
        let incoming = dir.path().join("q/incoming");
        fs::set_permissions(&incoming, Permissions::from_mode(0o755)).expect("mode");
        make(&config).expect("mended");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
        assert_eq!((mode(&incoming), mode(&dir.path().join("q/private"))), (0o700, 0o700));
        fs::remove_dir(&incoming).expect("removed");
        std::os::unix::fs::symlink("/tmp", &incoming).expect("symlink");
        assert!(make(&config).is_err());
    }
}
