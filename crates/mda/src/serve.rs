//! The loop: tasks in over one socket, replies out over the same, many at a time.
//!
//! One thread reads tasks and writes mailboxes: whatever has arrived while a batch was written forms the next batch, so
//! syncs are shared without waiting for a timer, and a message wakes nobody but this thread. The last sync of a Maildir is left
//! to `local`, who does it for many users, where the file system allows for that. Commands run on threads of
//! their own, a few at once, which begin when they are needed. When the socket ends, tasks that have not begun are
//! dropped: nobody waits for them, and `qmgr` will give them out again.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use durable::Dir;
use handover::packet::{Packed, Reader, Writer};
use handover::{Body, Outcome, Reply, Task};
use mail::EnhancedStatus;
use sys::channel;

use crate::mailbox::{self, Maildirs};
use crate::message::Message;
use crate::route::{Step, route};
use crate::settings::Settings;
use crate::{biff, command, forward};

/// A reply packet is sent when it has grown to this.
const FULL_PACKET: usize = channel::MAX_PACKET / 4;

/// The thread that reads tasks.
struct Tasks {
    shared: Arc<Shared>,
    maildirs: Maildirs,
    /// The mbox beside which nothing is left of killed writers.
    swept: Option<PathBuf>,
    buffer: Vec<u8>,
    runners: Vec<JoinHandle<()>>,
}

/// What it shares with the threads that run commands.
struct Shared {
    settings: Settings,
    socket: OwnedFd,
    commands: Mutex<Commands>,
    changed: Condvar,
}

/// Messages that wait for a thread.
#[derive(Default)]
struct Commands {
    waiting: VecDeque<(Message, String)>,
    /// Threads that do nothing.
    idle: usize,
    ended: bool,
}

/// Serves until the other end closes the socket.
///
/// # Errors
/// When the socket fails, or the other end does not keep to the protocol.
pub fn serve(settings: Settings, socket: OwnedFd) -> anyhow::Result<()> {
    let shared = Arc::new(Shared { settings, socket, commands: Mutex::default(), changed: Condvar::new() });
    let buffer = vec![0; channel::MAX_PACKET];
    let mut tasks = Tasks { shared, maildirs: Maildirs::default(), swept: None, buffer, runners: Vec::new() };
    let result = tasks.serve();
    {
        let mut commands = tasks.shared.locked();
        commands.ended = true;
        commands.waiting.clear();
    }
    tasks.shared.changed.notify_all();
    for runner in tasks.runners {
        let _ = runner.join();
    }
    result
}

impl Tasks {
    fn serve(&mut self) -> anyhow::Result<()> {
        loop {
            let mut batch = Vec::new();
            let received = channel::receive(&self.shared.socket, &mut self.buffer);
            let mut more = received.map(Some).or_else(ended)?;
            while let Some(received) = more {
                if self.hear(received, &mut batch)?.is_break() {
                    return Ok(());
                }
                more = channel::receive_now(&self.shared.socket, &mut self.buffer).or_else(ended)?;
            }
            self.deliver(batch)?;
        }
    }

    /// Takes a task into the batch, or answers at once that its message cannot be read. Breaks at the end of the socket.
    fn hear(
        &self,
        (length, descriptors): (usize, Vec<OwnedFd>),
        batch: &mut Vec<Message>,
    ) -> anyhow::Result<ControlFlow<()>> {
        if length == 0 {
            return Ok(ControlFlow::Break(()));
        }
        let mut reader = Reader::new(&self.buffer[..length]);
        let task = Task::read(&mut reader)?;
        let number = task.number;
        match Message::open(task, Body::read(&mut reader, descriptors)?) {
            Ok(message) => batch.push(message),
            Err(error) => {
                let text = format!("cannot read the queue file: {}", forward::plain(&error));
                let outcome = Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text);
                self.shared.reply(vec![Reply { number, outcome }]);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Maildir deliveries of the batch are committed together; the others follow one by one.
    fn deliver(&mut self, batch: Vec<Message>) -> anyhow::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut into: Vec<(PathBuf, Vec<Message>)> = Vec::new();
        let mut replies = Vec::new();
        let mut later = Vec::new();
        for message in batch {
            match route(&shared.settings, &message) {
                Step::Maildir(root) => match into.iter_mut().find(|(path, _)| *path == root) {
                    Some((_, list)) => list.push(message),
                    None => into.push((root, vec![message])),
                },
                Step::Answer(outcome) => replies.push(Reply { number: message.task.number, outcome }),
                Step::Command(command) => self.run(message, command)?,
                step @ (Step::Mbox(_) | Step::File(_)) => later.push((message, step)),
            }
        }
        for (root, messages) in into {
            let list: Vec<&Message> = messages.iter().collect();
            let (outcomes, unsynced) = self.maildirs.deliver(&shared.settings, &root, &list);
            let outcomes = messages.iter().zip(outcomes);
            let told = outcomes.map(|(message, outcome)| Reply { number: message.task.number, outcome });
            match unsynced.as_ref().and_then(Dir::fd) {
                Some(dir) => shared.reply_with(told.collect(), &[dir]),
                None => replies.extend(told),
            }
        }
        shared.reply(replies);
        for (message, step) in later {
            let outcome = match &step {
                Step::Mbox(path) => {
                    if self.swept.as_ref() != Some(path) {
                        mailbox::sweep(&shared.settings, path);
                        self.swept = Some(path.clone());
                    }
                    let begins = std::fs::metadata(path).map_or(0, |meta| meta.len());
                    let outcome = mailbox::append(&shared.settings, path, &message);
                    if shared.settings.biff && matches!(outcome, Outcome::Sent(..)) {
                        biff::notify(&shared.settings.owner.name, begins);
                    }
                    outcome
                }
                Step::File(name) => mailbox::file(&shared.settings, &mut self.maildirs, name, &message),
                Step::Answer(_) | Step::Command(_) | Step::Maildir(_) => continue,
            };
            shared.reply(vec![Reply { number: message.task.number, outcome }]);
        }
        Ok(())
    }

    /// Gives a command to a thread: one that is idle, or a new one while there may be more.
    fn run(&mut self, message: Message, command: String) -> anyhow::Result<()> {
        let mut commands = self.shared.locked();
        commands.waiting.push_back((message, command));
        let enough =
            commands.idle >= commands.waiting.len() || self.runners.len() >= self.shared.settings.commands.max(1);
        drop(commands);
        if enough {
            self.shared.changed.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        self.runners.push(std::thread::Builder::new().name("command".into()).spawn(move || shared.run_commands())?);
        Ok(())
    }
}

/// When local went with answers unread, what it still had sent is not done: nobody waits for it.
fn ended(error: io::Error) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    if error.kind() == io::ErrorKind::ConnectionReset { Ok(Some((0, Vec::new()))) } else { Err(error) }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_commands(&self) {
        loop {
            let (message, command) = {
                let mut commands = self.locked();
                loop {
                    if commands.ended {
                        return;
                    }
                    if let Some(next) = commands.waiting.pop_front() {
                        break next;
                    }
                    commands.idle += 1;
                    commands = self.changed.wait(commands).unwrap_or_else(PoisonError::into_inner);
                    commands.idle -= 1;
                }
            };
            let outcome = command::run(&self.settings, &message, &command);
            self.reply(vec![Reply { number: message.task.number, outcome }]);
        }
    }

    fn reply(&self, replies: Vec<Reply>) {
        self.reply_with(replies, &[]);
    }

    /// Sends replies, as many in a packet as fit, each packet with the directory that is to be committed.
    fn reply_with(&self, replies: Vec<Reply>, unsynced: &[BorrowedFd<'_>]) {
        let mut packet = Writer::default();
        for reply in replies.into_iter().flat_map(Reply::split) {
            reply.write(&mut packet);
            if packet.octets().len() >= FULL_PACKET {
                self.send(&packet, unsynced);
                packet.clear();
            }
        }
        if !packet.is_empty() {
            self.send(&packet, unsynced);
        }
    }

    /// A reply that cannot be sent would be waited for without end: then we end, and the tasks are given to the next of us.
    fn send(&self, packet: &Writer, descriptors: &[BorrowedFd<'_>]) {
        if channel::send(&self.socket, packet.octets(), descriptors).is_err() {
            let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::path::Path;

    use config::Config;
    use handover::What;
    use mail::{Address, QueueId};

    use super::*;
    use crate::settings::{Owner, Wishes};

    const CONTENT: &str = "Subject: x\n\nbody\n";

    fn settings(home: &Path) -> Settings {
        std::fs::write(home.join("facteur.yaml"), "home_mailbox: Maildir/\n").expect("configuration");
        let config = Config::load(home).expect("configuration");
        let user = nix::unistd::geteuid().as_raw();
        let owner = Owner {
            name: "kevin".into(),
            identity: "kevin".into(),
            uid: user,
            gid: nix::unistd::getegid().as_raw(),
            home: home.into(),
            shell: "/bin/sh".into(),
            wishes: Wishes::Obeyed,
        };
        Settings::new(&config, owner, None)
    }

    fn ask(socket: &OwnedFd, number: u64, what: What) {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(CONTENT.as_bytes()).expect("written");
        let to = Address::parse("kevin@m3102.com").expect("address");
        let task = Task {
            number,
            id: QueueId::new(number, 1),
            sender: None,
            recipient: to.clone(),
            original: to,
            extension: String::new(),
            offset: 0,
            length: CONTENT.len() as u64,
            what,
        };
        let mut packet = Writer::default();
        task.write(&mut packet);
        channel::send(socket, packet.octets(), &[file.as_fd()]).expect("sent");
    }

    fn hear(socket: &OwnedFd, count: usize) -> Vec<Reply> {
        let mut buffer = vec![0; channel::MAX_PACKET];
        let mut replies = Vec::new();
        while replies.len() < count {
            let (length, _) = channel::receive(socket, &mut buffer).expect("replies");
            assert!(length > 0, "the writer ended after {} replies", replies.len());
            let mut reader = Reader::new(&buffer[..length]);
            while !reader.is_empty() {
                replies.push(Reply::read(&mut reader).expect("a reply"));
            }
        }
        replies.sort_by_key(|reply| reply.number);
        replies
    }

    /// More commands than threads, and mailbox writes between them: each has its one answer, and the end is an end.
    #[test]
    fn every_task_is_answered_once() {
        let home = tempfile::tempdir().expect("home");
        let (here, there) = channel::pair().expect("a pair");
        let settings = settings(home.path());
        let writer = std::thread::spawn(move || serve(settings, there));
        for number in 0..30 {
            let what = if number % 3 == 0 { What::Command("exec cat >/dev/null".into()) } else { What::Mailbox };
            ask(&here, number, what);
        }
        let replies = hear(&here, 30);
        for (number, reply) in (0..).zip(&replies) {
            assert_eq!(reply.number, number);
            assert!(matches!(reply.outcome, Outcome::Sent(..)), "{reply:?}");
        }
        assert_eq!(std::fs::read_dir(home.path().join("Maildir/new")).expect("new").count(), 20);
        ask(&here, 30, What::Mailbox);
        assert_eq!(hear(&here, 1)[0].number, 30);
        drop(here);
        writer.join().expect("no panic").expect("a clean end");
    }

    #[test]
    fn a_new_maildir_in_the_place_of_one_that_was_moved_gets_the_mail() {
        let home = tempfile::tempdir().expect("home");
        let (here, there) = channel::pair().expect("a pair");
        let settings = settings(home.path());
        let writer = std::thread::spawn(move || serve(settings, there));
        let count = |name: &str| std::fs::read_dir(home.path().join(name)).expect(name).count();
        ask(&here, 1, What::User);
        hear(&here, 1);
        std::fs::rename(home.path().join("Maildir"), home.path().join("old")).expect("moved");
        for name in ["Maildir/new", "Maildir/tmp", "Maildir/cur"] {
            std::fs::create_dir_all(home.path().join(name)).expect("made");
        }
        ask(&here, 2, What::User);
        assert!(matches!(hear(&here, 1)[0].outcome, Outcome::Sent(..)));
        assert_eq!((count("old/new"), count("Maildir/new")), (1, 1));
        drop(here);
        writer.join().expect("no panic").expect("a clean end");
    }

    /// Who has the message already is told by qmgr's list of recipients: nothing may go to the mailbox past it.
    #[test]
    fn an_item_that_is_no_more_becomes_recipients() {
        let home = tempfile::tempdir().expect("home");
        let (here, there) = channel::pair().expect("a pair");
        let settings = settings(home.path());
        let writer = std::thread::spawn(move || serve(settings, there));
        let outcome = |number: u64, sign: &str| {
            ask(&here, number, What::Listed(sign.into()));
            hear(&here, 1).remove(0).outcome
        };
        let address = |local: &str| Address::new(local, mail::Domain::parse("m3102.com").ok()).expect(local);
        let becomes = |local: &str| Outcome::Expanded(vec![address(local)].into());
        assert_eq!(outcome(1, "\\|exit 75"), becomes("\\kevin"));
        assert_eq!(outcome(2, "\\"), becomes("\\kevin"));
        assert_eq!(outcome(3, "|exit 75"), becomes("kevin\\"));
        std::fs::write(home.path().join(".forward"), "\\kevin\n").expect("written");
        assert_eq!(outcome(4, "\\|exit 75"), becomes("\\kevin"));
        let long = format!("cat >/dev/null; : {}", "x".repeat(300));
        std::fs::write(home.path().join(".forward"), format!("toto, \"|{long}\"\n")).expect("written");
        ask(&here, 5, What::User);
        let Outcome::Expanded(into) = hear(&here, 1).remove(0).outcome else { panic!("two recipients") };
        let sign = into.into[1].local().strip_prefix("kevin").expect("his").to_owned();
        assert_eq!(into.into[0], address("toto"));
        assert!(matches!(outcome(6, &sign), Outcome::Sent(..)), "{sign}");
        drop(here);
        writer.join().expect("no panic").expect("a clean end");
    }

    /// local gives the task to another writer then: done here too, the mail would be there twice.
    #[test]
    fn a_task_of_a_local_that_went_with_answers_unread_is_not_done() {
        let home = tempfile::tempdir().expect("home");
        let (here, there) = channel::pair().expect("a pair");
        channel::send(&there, b"an answer", &[]).expect("sent");
        ask(&here, 1, What::Mailbox);
        drop(here);
        serve(settings(home.path()), there).expect("a clean end");
        assert!(!home.path().join("Maildir").exists());
    }
}
