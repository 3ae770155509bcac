//! `facteur try` by root: the directory is given to `nobody`, and the same command goes on as that user.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::unistd::User;

use super::setup;
use crate::arguments::TryOptions;

/// Does not return if all goes well.
pub(crate) fn hand_over(dir: &Path, options: &TryOptions) -> Result<()> {
    let Some(nobody) = User::from_name("nobody")? else { bail!("there is no user nobody: run this as a plain user") };
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    let program = std::env::current_exe()?;
    for path in [program.as_path(), dir] {
        reachable(path, uid, gid)?;
    }
    setup::make_home(dir)?;
    give(dir, uid, gid).with_context(|| format!("{} cannot be given to nobody", dir.display()))?;
    let mut command = Command::new(&program);
    command.arg("try").arg("--dir").arg(dir).arg("--port-base").arg(options.port_base.to_string());
    let error = command.uid(uid).gid(gid).exec();
    Err(error).with_context(|| format!("{} cannot be run as nobody", program.display()))
}

/// Every directory above must let the user through. What is not there yet will be made so that it does.
fn reachable(path: &Path, uid: u32, gid: u32) -> Result<()> {
    for above in path.ancestors().skip(1) {
        let meta = match fs::metadata(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            meta => meta.with_context(|| format!("{} cannot be read", above.display()))?,
        };
        let through = match (meta.uid() == uid, meta.gid() == gid) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        if meta.mode() & through == 0 {
            let (path, above) = (path.display(), above.display());
            bail!("nobody cannot reach {path} because {above} is closed to others: be a plain user, or move it");
        }
    }
    Ok(())
}

/// Changes the owner of everything; symbolic links are not followed.
fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
