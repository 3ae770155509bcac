//! `local`: finds out what an address of ours stands for, and has the mailbox writer of its owner do the rest.
//!
//! Runs as: root (one-directory mode: the user that started it). May read: the configuration, alias files and, with the
//! rights of its owner, what they include, the user data base; of a message not one octet. May write: nothing but its
//! socket `QUEUE/private/local`.
//! Speaks to: `qmgr` over that socket ([`handover::order`]), `mda` over a socket pair each ([`handover::task`]).
//! Commits the journal of the file systems that `mda` wrote on, for many of them at a time. Starts: `mda`, which becomes the
//! recipient at once. Exits with 0 on SIGTERM, 1 when it cannot start.
//!
//! No delivery runs as uid 0: mail for root (or any account with uid 0) that no alias sends elsewhere is written as the
//! user `mail` into the mbox of that name in `mail_spool_directory`, and no `.forward` or command of root's is obeyed.

mod commits;
pub mod decide;
pub mod expand;
pub mod include;
pub mod line;
mod serve;
mod writer;

use std::path::Path;
use std::process::ExitCode;

use daemon::{arguments, limits};

/// The program.
pub fn main() -> ExitCode {
    arguments::run("local", start)
}

fn start(dir: &Path) -> Result<(), String> {
    let config = crate::set_up::begin("local", dir)?;
    let _ = limits::raise_descriptors();
    daemon::shutdown::end_with_parent();
    if privileges::is_root() {
        // What is read with somebody's rights gets none from groups of ours.
        nix::unistd::setgroups(&[]).map_err(|errno| format!("setgroups: {}", errno.desc()))?;
    }
    let socket = crate::set_up::private_socket(&config, "local")?;
    let runtime =
        daemon::runtime::build(&mut tokio::runtime::Builder::new_current_thread()).map_err(|e| e.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, serve::run(config, socket))
}
