//! What `pickup` waits for: a datagram, a new name in the directory, a signal, or some seconds.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Perhaps there is something in the directory.
    Look,
    /// SIGHUP.
    Reload,
    /// SIGTERM, SIGINT.
    End,
}

/// The signals, as a descriptor.
pub(super) struct Signals(SignalFd);

/// Everything that is waited for.
pub(super) struct Events {
    signals: Signals,
    wakes: UnixDatagram,
    /// Without one, the datagrams and the clock must do.
    names: Option<Inotify>,
}

impl Signals {
    /// Blocks the signals in this thread and all it will start.
    pub(super) fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().for_each(|signal| set.add(signal));
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    fn next(&mut self) -> Option<Event> {
        let number = i32::try_from(self.0.read_signal().ok()??.ssi_signo).ok()?;
        Some(if number == Signal::SIGHUP as i32 { Event::Reload } else { Event::End })
    }
}

impl Events {
    pub(super) fn new(signals: Signals, wakes: UnixDatagram, maildrop: &Path) -> io::Result<Self> {
        wakes.set_nonblocking(true)?;
        let names = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        let watched = names.and_then(|names| names.add_watch(maildrop, AddWatchFlags::IN_MOVED_TO).map(|_| names));
        Ok(Self { signals, wakes, names: watched.ok() })
    }

    /// Waits; every reason to look that has gathered is one [`Event::Look`].
    pub(super) fn wait(&mut self, longest: Duration) -> io::Result<Event> {
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        let mut waited = vec![
            PollFd::new(self.signals.0.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wakes.as_fd(), PollFlags::POLLIN),
        ];
        waited.extend(self.names.iter().map(|names| PollFd::new(names.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waited, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(waited);
        while self.wakes.recv(&mut [0; 64]).is_ok() {}
        if let Some(names) = &self.names {
            while names.read_events().is_ok() {}
        }
        Ok(self.signals.next().unwrap_or(Event::Look))
    }
}
