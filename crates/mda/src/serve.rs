//! The loop: tasks in over one socket, replies out over the same, many at a time.
//!
//! Whatever has arrived while a batch was written forms the next batch, so syncs are shared without waiting for a timer.
//! Commands run on threads of their own, a few at once. When the socket ends, tasks that have not begun are dropped:
//! nobody waits for them, and `qmgr` will give them out again.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use handover::packet::{Reader, Writer};
use handover::{Outcome, Reply, Task, channel};
use mail::EnhancedStatus;

use crate::mailbox::{self, Maildirs};
use crate::message::Message;
use crate::route::{Step, route};
use crate::settings::Settings;
use crate::{command, forward};

/// A reply packet is sent when it has grown to this.
const FULL_PACKET: usize = channel::MAX_PACKET / 4;

/// What the threads share.
struct Shared {
    settings: Settings,
    socket: OwnedFd,
    work: Mutex<Work>,
    changed: Condvar,
}

/// Messages that wait.
#[derive(Default)]
struct Work {
    fresh: VecDeque<Message>,
    commands: VecDeque<(Message, String)>,
    ended: bool,
}

/// Serves until the other end closes the socket.
///
/// # Errors
/// When the socket fails, or the other end does not keep to the protocol.
pub fn serve(settings: Settings, socket: OwnedFd) -> anyhow::Result<()> {
    let commands = settings.commands.max(1);
    let shared = Arc::new(Shared { settings, socket, work: Mutex::default(), changed: Condvar::new() });
    let mut threads = Vec::new();
    for index in 0..=commands {
        let shared = Arc::clone(&shared);
        let name = if index == 0 { "mailbox" } else { "command" };
        let run = move || if index == 0 { shared.write_mailboxes() } else { shared.run_commands() };
        threads.push(std::thread::Builder::new().name(name.into()).spawn(run)?);
    }
    let result = shared.take_tasks();
    {
        let mut work = shared.locked();
        work.ended = true;
        work.fresh.clear();
        work.commands.clear();
    }
    shared.changed.notify_all();
    for thread in threads {
        let _ = thread.join();
    }
    result
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_tasks(&self) -> anyhow::Result<()> {
        let mut buffer = vec![0; channel::MAX_PACKET];
        loop {
            let (length, mut descriptors) = channel::receive(&self.socket, &mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let task = Task::read(&mut Reader::new(&buffer[..length]))?;
            anyhow::ensure!(descriptors.len() == 1, "a task must come with one descriptor");
            let number = task.number;
            match Message::open(task, descriptors.remove(0)) {
                Ok(message) => {
                    self.locked().fresh.push_back(message);
                    self.changed.notify_all();
                }
                Err(error) => {
                    let text = format!("cannot read the queue file: {}", forward::plain(&error));
                    self.reply(vec![Reply { number, outcome: Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text) }]);
                }
            }
        }
    }

    fn write_mailboxes(&self) {
        let mut maildirs = Maildirs::default();
        loop {
            let batch: Vec<Message> = {
                let mut work = self.locked();
                while work.fresh.is_empty() && !work.ended {
                    work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
                if work.ended {
                    return;
                }
                work.fresh.drain(..).collect()
            };
            self.deliver(&mut maildirs, batch);
        }
    }

    /// Maildir deliveries of the batch are committed together; the others follow one by one.
    fn deliver(&self, maildirs: &mut Maildirs, batch: Vec<Message>) {
        let mut into: Vec<(PathBuf, Vec<Message>)> = Vec::new();
        let mut replies = Vec::new();
        let mut later = Vec::new();
        for message in batch {
            match route(&self.settings, &message) {
                Step::Maildir(root) => match into.iter_mut().find(|(path, _)| *path == root) {
                    Some((_, list)) => list.push(message),
                    None => into.push((root, vec![message])),
                },
                Step::Answer(outcome) => replies.push(Reply { number: message.task.number, outcome }),
                Step::Command(command) => {
                    self.locked().commands.push_back((message, command));
                    self.changed.notify_all();
                }
                step @ (Step::Mbox(_) | Step::File(_)) => later.push((message, step)),
            }
        }
        for (root, messages) in into {
            let list: Vec<&Message> = messages.iter().collect();
            let outcomes = maildirs.deliver(&self.settings, &root, &list);
            replies.extend(
                messages.iter().zip(outcomes).map(|(message, outcome)| Reply { number: message.task.number, outcome }),
            );
        }
        self.reply(replies);
        for (message, step) in later {
            let outcome = match &step {
                Step::Mbox(path) => mailbox::append(&self.settings, path, &message),
                Step::File(name) => mailbox::file(&self.settings, maildirs, name, &message),
                Step::Answer(_) | Step::Command(_) | Step::Maildir(_) => continue,
            };
            self.reply(vec![Reply { number: message.task.number, outcome }]);
        }
    }

    fn run_commands(&self) {
        loop {
            let (message, command) = {
                let mut work = self.locked();
                loop {
                    if work.ended {
                        return;
                    }
                    if let Some(next) = work.commands.pop_front() {
                        break next;
                    }
                    work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
            };
            let outcome = command::run(&self.settings, &message, &command);
            self.reply(vec![Reply { number: message.task.number, outcome }]);
        }
    }

    /// Sends replies, as many in a packet as fit. When the other end is gone there is nobody to tell.
    fn reply(&self, replies: Vec<Reply>) {
        let mut packet = Writer::default();
        for reply in replies.into_iter().flat_map(Reply::split) {
            reply.write(&mut packet);
            if packet.octets().len() >= FULL_PACKET {
                let _ = channel::send(&self.socket, packet.octets(), &[]);
                packet.clear();
            }
        }
        if !packet.is_empty() {
            let _ = channel::send(&self.socket, packet.octets(), &[]);
        }
    }
}
