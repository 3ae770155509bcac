//! One sync for the mailboxes of many users, see [`handover::together`].
//!
//! What is asked for while a sync runs is served by the next one, all of it. Nobody waits for a timer. When few deliveries
//! are in progress nobody is told to ask: each writer syncs its own files then.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use daemon::Channel;
use durable::FileSystem;
use handover::Synced;
use tokio::sync::oneshot;

/// With so many tasks open at a time their writers are told to ask.
const MANY: usize = 4;
/// So many file systems are known at most.
const MOST: usize = 64;

/// The file systems mail is written to.
#[derive(Default)]
pub(super) struct Syncs {
    open: Cell<usize>,
    known: RefCell<HashMap<u64, Disk>>,
}

#[derive(Default)]
struct Disk {
    /// `None` while a thread syncs it.
    at_rest: Option<FileSystem>,
    /// Nobody can sync it for others.
    alone: bool,
    /// Who asked since that sync began.
    waiting: Vec<oneshot::Sender<Synced>>,
}

/// This file system is not synced for others.
struct Alone;

impl Syncs {
    /// A task begins; whether its writer is to ask.
    pub(super) fn begins(&self) -> bool {
        self.open.set(self.open.get() + 1);
        self.open.get() >= MANY
    }

    /// Tasks end.
    pub(super) fn end(&self, tasks: usize) {
        self.open.set(self.open.get().saturating_sub(tasks));
    }

    /// Answers a writer's questions, one after another, until it closes its end. One that does not listen stops nobody else.
    pub(super) async fn serve(self: Rc<Self>, socket: OwnedFd) {
        let Ok(channel) = Channel::new(socket) else { return };
        let mut buffer = [0; 8];
        while let Ok(Some((packet, _))) = channel.receive(&mut buffer).await {
            let Ok(device) = packet.try_into().map(u64::from_le_bytes) else { return };
            let synced = self.asked(device).await;
            if channel.send(&synced.packet(), &[]).await.is_err() {
                return;
            }
        }
    }

    async fn asked(self: &Rc<Self>, device: u64) -> Synced {
        if !self.known.borrow().contains_key(&device) {
            if self.known.borrow().len() >= MOST {
                return Synced::Yourself;
            }
            let file_system = FileSystem::of(device);
            let disk = Disk { alone: file_system.is_none(), at_rest: file_system, waiting: Vec::new() };
            self.known.borrow_mut().insert(device, disk);
        }
        let (told, outcome) = oneshot::channel();
        match self.wait(device, told) {
            Ok(Some(file_system)) => drop(tokio::task::spawn_local(Rc::clone(self).sync(device, file_system))),
            Ok(None) => {}
            Err(Alone) => return Synced::Yourself,
        }
        outcome.await.unwrap_or(Synced::Failed)
    }

    /// Somebody waits for the next sync; if none is running, here is what to begin one with.
    fn wait(&self, device: u64, told: oneshot::Sender<Synced>) -> Result<Option<FileSystem>, Alone> {
        let mut known = self.known.borrow_mut();
        let disk = known.get_mut(&device).filter(|disk| !disk.alone).ok_or(Alone)?;
        disk.waiting.push(told);
        Ok(disk.at_rest.take())
    }

    /// Syncs as long as somebody waits for it.
    async fn sync(self: Rc<Self>, device: u64, mut file_system: FileSystem) {
        loop {
            // Whoever is ready to ask does so first.
            tokio::task::yield_now().await;
            let asked = match self.known.borrow_mut().get_mut(&device) {
                Some(disk) if disk.waiting.is_empty() => {
                    disk.at_rest = Some(file_system);
                    return;
                }
                Some(disk) => std::mem::take(&mut disk.waiting),
                None => return,
            };
            let work = move || {
                let outcome = file_system.sync();
                (file_system, outcome)
            };
            let synced = tokio::task::spawn_blocking(work).await;
            let (back, outcome) = match synced {
                Ok((back, outcome)) => (Some(back), told(outcome)),
                Err(_) => (None, Synced::Failed),
            };
            for asker in asked {
                let _ = asker.send(outcome);
            }
            let Some(back) = back else { return self.give_up(device) };
            file_system = back;
        }
    }

    /// The thread came to grief, and the file system with it: who waits learns that nothing is known, who comes syncs for himself.
    fn give_up(&self, device: u64) {
        if let Some(disk) = self.known.borrow_mut().get_mut(&device) {
            disk.alone = true;
            disk.waiting.clear();
        }
    }
}

fn told(outcome: Option<io::Result<()>>) -> Synced {
    match outcome {
        None => Synced::Yourself,
        Some(Ok(())) => Synced::Done,
        Some(Err(error)) => {
            tracing::error!("cannot sync the mailboxes: {error}");
            Synced::Failed
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
