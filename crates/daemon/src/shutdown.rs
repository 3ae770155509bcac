//! Signals of a daemon: SIGTERM and SIGINT end it, SIGHUP reloads it, SIGUSR1 tells it that another takes its place. The end
//! of its parent ends it too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The signals of this process, to be cloned into whatever must know.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Cancelled once the process is to end.
    pub stop: CancellationToken,
    /// Cancelled once another takes our place: nothing new is begun.
    pub retire: CancellationToken,
    reload: Arc<Notify>,
    number: Arc<AtomicI32>,
}

impl Signals {
    /// Starts to listen. Needs the runtime.
    ///
    /// # Errors
    /// When a handler cannot be set.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut retire = signal(SignalKind::user_defined1())?;
        let told = signals.clone();
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = terminate.recv() => Signal::SIGTERM,
                    _ = interrupt.recv() => Signal::SIGINT,
                    _ = hangup.recv() => { told.reload.notify_one(); continue }
                    _ = retire.recv() => { told.retire.cancel(); continue }
                };
                told.number.store(number as i32, Ordering::Relaxed);
                told.stop.cancel();
            }
        });
        Ok(signals)
    }

    /// Waits for a SIGHUP; one that came while nobody waited counts. For a single waiter.
    pub async fn reload(&self) {
        self.reload.notified().await;
    }

    /// The signal that ended us: 15 or 2.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.number.load(Ordering::Relaxed)
    }
}

/// Lets SIGTERM come when the parent ends. Call it after the last change of user, which forgets it.
pub fn end_with_parent() {
    if let Err(e) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        tracing::warn!("prctl(PR_SET_PDEATHSIG): {}", e.desc());
    }
}
