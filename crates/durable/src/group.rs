//! Group commit: many callers, few syncs.
//!
//! A caller that comes while a sync runs cannot use that one (its own change may have come too late), so it joins the
//! next, together with everybody else who comes in the meantime. Nobody waits for a timer: when nothing runs, the
//! caller syncs at once. An error goes to every sharer.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Shares the runs of one costly operation.
#[derive(Default)]
pub struct Group {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: bool,
    /// The round that has not begun yet.
    next: Arc<Round>,
}

#[derive(Default)]
struct Round {
    outcome: Mutex<Option<Outcome>>,
    wake: Condvar,
}

#[derive(Clone, Copy)]
enum Outcome {
    Done,
    Failed(i32),
}

impl Group {
    /// Runs `sync`, or waits for a run that began after this call.
    ///
    /// # Errors
    /// What `sync` returned, to everybody who shared the run.
    pub fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = guard(&self.state);
        let round = Arc::clone(&state.next);
        if state.running {
            drop(state);
            if let Some(outcome) = self.wait(&round) {
                return outcome.result();
            }
        } else {
            state.running = true;
            state.next = Arc::default();
            drop(state);
        }
        let outcome = Outcome::of(&sync());
        *guard(&round.outcome) = Some(outcome);
        round.wake.notify_all();
        self.hand_on();
        outcome.result()
    }

    /// The outcome of `round`, or `None` when it fell to this caller to run it.
    fn wait(&self, round: &Arc<Round>) -> Option<Outcome> {
        let mut outcome = guard(&round.outcome);
        loop {
            if let Some(outcome) = *outcome {
                return Some(outcome);
            }
            drop(outcome);
            let mut state = guard(&self.state);
            if !state.running && Arc::ptr_eq(&state.next, round) {
                state.running = true;
                state.next = Arc::default();
                return None;
            }
            outcome = guard(&round.outcome);
            drop(state);
            if outcome.is_none() {
                outcome = round.wake.wait(outcome).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Ends a run and wakes one of those who wait for the next round, who then runs it.
    fn hand_on(&self) {
        let mut state = guard(&self.state);
        state.running = false;
        let next = Arc::clone(&state.next);
        // Taken inside, as `wait` does, so that no waiter sleeps between its look at `running` and this call.
        let waiting = guard(&next.outcome);
        drop(state);
        next.wake.notify_one();
        drop(waiting);
    }
}

impl Outcome {
    fn of(result: &io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(error) => Self::Failed(error.raw_os_error().unwrap_or(nix::libc::EIO)),
        }
    }

    fn result(self) -> io::Result<()> {
        match self {
            Self::Done => Ok(()),
            Self::Failed(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    /// Every run that a caller shares begins after the caller's change.
    #[test]
    fn a_shared_run_begins_after_the_change() {
        let group = Group::default();
        let (written, runs) = (AtomicU64::new(0), AtomicU64::new(0));
        let synced = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
                        let outcome = group.run(|| {
                            let seen = written.load(Ordering::SeqCst);
                            thread::yield_now();
                            synced.fetch_max(seen, Ordering::SeqCst);
                            runs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        });
                        outcome.unwrap();
                        assert!(synced.load(Ordering::SeqCst) >= mine);
                    }
                });
            }
        });
        assert!(runs.load(Ordering::SeqCst) <= 4000);
    }

    #[test]
    fn an_error_goes_to_every_sharer() {
        let group = Group::default();
        let (inside, release) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let first = group.run(|| {
                    inside.wait();
                    release.wait();
                    Ok(())
                });
                assert!(first.is_ok());
            });
            inside.wait();
            let failing = || group.run(|| Err(io::Error::from_raw_os_error(nix::libc::ENOSPC)));
            let sharers: Vec<_> = (0..4).map(|_| scope.spawn(failing)).collect();
            release.wait();
            for sharer in sharers {
                let error = sharer.join().unwrap().unwrap_err();
                assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSPC));
            }
        });
    }
}
