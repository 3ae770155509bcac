//! `pickup`: takes what users dropped into `maildrop`, completes its headers, and enters it into the queue.
//!
//! Runs as: `mail_owner`, jailed, without a network. May read: the configuration, `maildrop`. May write: the queue. Speaks to:
//! `public/pickup` (datagrams: look), `public/showq` (whoever connects gets the list that `mailq` prints), `public/qmgr` (the new
//! queue ids). Exits with: 0 after SIGTERM or SIGINT, 1 when it cannot start. A wake-up may be lost: the directory is also
//! watched, and looked at every few seconds.
//!
//! # States of a dropped message
//! | state | files | leads on | a crash leaves | mended by |
//! |---|---|---|---|---|
//! | being dropped | `maildrop/ID.tmp` | `rename_new` by `facteur-drop` | a part nobody was promised | unlink when an hour old and without a writer |
//! | dropped | `maildrop/ID` | the commit of [`spool`] under a new name | the drop | picked up at the next start |
//! | entered | `maildrop/ID` and `incoming/ID2` | `unlink` of the drop, sync of `maildrop` (synced) | both: delivered once more | nobody |
//!
//! What lies in `maildrop` is hostile although `facteur-drop` wrote it: it must be a regular file with one name; its owner,
//! not its content, says who sent it; what cannot be read is put aside in `corrupt`.

use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use daemon::{arguments, settled};
use durable::Dir;
use privileges::{Exec, Jail, Network};
use spool::Spool;

use crate::cleanup::Cleanup;
use crate::set_up;

mod complete;
mod enter;
pub(crate) mod listing;
mod watch;

use enter::Entry;

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    arguments::run("pickup", run)
}

fn run(dir: &Path) -> anyhow::Result<()> {
    let config = set_up::begin("pickup", dir).map_err(anyhow::Error::msg)?;
    // Before any thread starts: they inherit the mask.
    let signals = watch::Signals::block()?;
    let queue = PathBuf::from(config.text("queue_directory"));
    let mut read_only = set_up::system_files();
    read_only.push(dir);
    let tables = directories(&config);
    read_only.extend(tables.iter().map(PathBuf::as_path));
    let jail = Jail { read_only: &read_only, read_write: &[&queue], exec: Exec::Never, network: Network::Deny };
    set_up::give_up_power(&config, &jail)?;
    let root = Dir::open(&queue)?;
    let (maildrop, public) = (root.subdir("maildrop")?, root.subdir("public")?);
    let spool = Spool::open(&root)?;
    let wakes = bind(&queue, &public, "pickup", |path| UnixDatagram::bind(path))?;
    let askers = bind(&queue, &public, "showq", |path| UnixListener::bind(path))?;
    let shown = (spool.clone(), maildrop.clone());
    std::thread::Builder::new().name("showq".into()).spawn(move || listing::serve(&askers, &shown.0, &shown.1))?;
    let mut events = watch::Events::new(signals, wakes, &queue.join("maildrop"))?;
    let mut entry = Arc::new(Entry::new(&config, spool.clone(), maildrop.clone()));
    spool::clean(&maildrop, STALE)?;
    settled::tell();
    loop {
        entry.enter_all();
        match events.wait(LOOK)? {
            watch::Event::Look => {}
            watch::Event::Reload => {
                if let Some(config) = set_up::reload(dir) {
                    entry = Arc::new(Entry::new(&config, spool.clone(), maildrop.clone()));
                }
                settled::tell();
            }
            watch::Event::End => return Ok(()),
        }
    }
}

/// Where its tables are.
pub(crate) fn directories(config: &Config) -> Vec<PathBuf> {
    Cleanup::new(config).directories()
}

/// A socket that everybody may write to, who can get at `public`. One left by a program that is gone is replaced.
fn bind<T>(queue: &Path, public: &Dir, name: &str, bind: impl Fn(&Path) -> std::io::Result<T>) -> anyhow::Result<T> {
    use std::os::unix::fs::PermissionsExt;
    public.unlink(name).ok();
    let path = queue.join("public").join(name);
    let socket = bind(&path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(socket)
}

/// How often the directory is looked at without a reason.
const LOOK: Duration = Duration::from_secs(10);
/// When a temporary file without a writer counts as left by a crash.
const STALE: Duration = Duration::from_secs(3600);
