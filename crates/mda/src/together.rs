//! Leaves syncs to `local`, which does one for the mailboxes of all users that are being written.

use std::io;
use std::os::fd::OwnedFd;

use durable::Dir;
use handover::{Synced, channel};

/// The way to `local`; by default there is none.
#[derive(Default)]
pub struct Together(Option<OwnedFd>);

impl Together {
    /// Over this socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self(Some(socket))
    }

    /// Has `local` sync the file system of a directory; `None`: it does not, so the files are to be synced here.
    pub fn sync(&self, dir: &Dir) -> Option<io::Result<()>> {
        let socket = self.0.as_ref()?;
        let device = dir.meta().ok()?.device;
        channel::send(socket, &device.to_le_bytes(), &[]).ok()?;
        let mut answer = [0; 1];
        let (length, _) = channel::receive(socket, &mut answer).ok()?;
        match Synced::read(answer.get(..length)?) {
            Synced::Done => Some(Ok(())),
            Synced::Yourself => None,
            Synced::Failed => Some(Err(nix::errno::Errno::EIO.into())),
        }
    }
}
