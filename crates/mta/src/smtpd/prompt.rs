//! The way of small messages straight to their mailboxes, see [`crate::prompt`]: what qmgr has of ours, and its answers.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::Channel;
use durable::File;
use handover::body::MOST_ENCLOSED;
use handover::packet::{Packed, Reader, Writer};
use mail::QueueId;
use sys::channel;

use super::committer::{Committer, Job, Safe};
use crate::prompt::{Answer, SOCKET, Said};

/// How long a client may wait for the mailboxes before the message is put in the queue after all.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// How long nothing is offered after patience ended.
const REST: Duration = Duration::from_secs(2);
/// So many names are let go in a packet of their own.
const MANY: usize = 64;
/// How soon a lost connection is made anew, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Our end.
#[derive(Default)]
pub(super) struct Prompt(Mutex<Link>);

#[derive(Default)]
struct Link {
    socket: Option<OwnedFd>,
    /// What qmgr delivers.
    offered: HashMap<QueueId, Job>,
    /// Delivered messages of which qmgr is not told yet that their names mean nothing any more.
    let_go: Vec<QueueId>,
    rests_until: Option<Instant>,
}

impl Prompt {
    /// Whether anything is to be offered now.
    pub(super) fn is_open(&self) -> bool {
        let link = self.link();
        link.socket.is_some() && link.rests_until.is_none_or(|until| until <= Instant::now())
    }

    /// Gives the message to qmgr as an image in memory; what cannot go that way comes back.
    pub(super) fn offer(&self, mut job: Job) -> Option<Job> {
        let id = job.message.id();
        let Ok(image) = job.message.image() else { return Some(job) };
        let mut link = self.link();
        let mut packet = Writer::default();
        link.let_go.iter().for_each(|id| Said::LetGo(*id).write(&mut packet));
        let Some(socket) = &link.socket else { return Some(job) };
        if send(socket, packet, (id, image)).is_err() {
            return Some(job);
        }
        link.let_go.clear();
        link.offered.insert(id, job);
        None
    }

    /// Takes back a message that takes long. `None`: its end is near.
    pub(super) fn take_back(&self, id: QueueId) -> Option<Job> {
        let mut link = self.link();
        link.rests_until = Some(Instant::now() + REST);
        let job = link.offered.remove(&id)?;
        let mut packet = Writer::default();
        Said::TakenBack(id).write(&mut packet);
        if let Some(socket) = &link.socket {
            // Unheard, it is delivered and then removed from `incoming`.
            let _ = channel::send(socket, packet.octets(), &[]);
        }
        Some(job)
    }

    /// Takes qmgr's answer; what is to be committed comes back.
    fn answered(&self, answer: Answer) -> Option<Job> {
        let mut link = self.link();
        match answer {
            Answer::Commit(id) => link.offered.remove(&id),
            Answer::Delivered(id) => {
                let Job { done, .. } = link.offered.remove(&id)?;
                link.let_go.push(id);
                link.let_go_many();
                let _ = done.send(Ok(Safe::Delivered));
                None
            }
        }
    }

    fn connected(&self, socket: OwnedFd) {
        self.link().socket = Some(socket);
    }

    /// What qmgr had comes back.
    fn disconnected(&self) -> Vec<Job> {
        let mut link = self.link();
        link.socket = None;
        link.let_go.clear();
        link.offered.drain().map(|(_, job)| job).collect()
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Offers an image, in the packet or beside it.
fn send(socket: &OwnedFd, mut packet: Writer, (id, image): (QueueId, &[u8])) -> io::Result<()> {
    if image.len() <= MOST_ENCLOSED {
        Said::Enclosed(id).write(&mut packet);
        packet.octets_to_the_end(image);
        return channel::send(socket, packet.octets(), &[]);
    }
    Said::Offered(id).write(&mut packet);
    channel::send(socket, packet.octets(), &[File::in_memory(image)?.lend()?])
}

impl Link {
    /// Names that are let go leave with the next offer, unless there is none for long.
    fn let_go_many(&mut self) {
        let Some(socket) = self.socket.as_ref().filter(|_| self.let_go.len() >= MANY) else { return };
        let mut packet = Writer::default();
        self.let_go.iter().for_each(|id| Said::LetGo(*id).write(&mut packet));
        if channel::send(socket, packet.octets(), &[]).is_ok() {
            self.let_go.clear();
        }
    }
}

/// Keeps the connection to qmgr for ever.
pub(super) async fn keep(committer: Committer, queue: PathBuf) {
    let path = queue.join("private").join(SOCKET);
    let mut pause = PAUSES.0;
    loop {
        if let Ok(channel) = channel::connect(&path).and_then(Channel::new) {
            pause = PAUSES.0;
            if let Err(error) = listen(&committer, &channel).await {
                tracing::warn!("lost the connection to qmgr: {error}");
            }
            committer.prompt.disconnected().into_iter().for_each(|job| committer.queue(job));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn listen(committer: &Committer, channel: &Channel) -> io::Result<()> {
    let prompt: &Arc<Prompt> = &committer.prompt;
    prompt.connected(channel.as_fd().try_clone_to_owned()?);
    let mut buffer = vec![0; channel::MAX_PACKET];
    while let Some((packet, _)) = channel.receive(&mut buffer).await? {
        let mut reader = Reader::new(packet);
        while !reader.is_empty() {
            let answer = Answer::read(&mut reader).map_err(io::Error::other)?;
            prompt.answered(answer).into_iter().for_each(|job| committer.queue(job));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
