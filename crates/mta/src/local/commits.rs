//! One commit of the file system's journal for the mail of many users.
//!
//! An `mda` whose file system allows for it names its files and hands us the directory ([`durable::Volume`]): a commit costs the
//! same for one mailbox and for fifty. While one runs, what is named waits for the next, which came too late for this one. The next begins
//! at once if no writer has anything to do any more; else a moment later ([`GATHER`]), so that those come along who are about to
//! name something.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use durable::Volume;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long what was named waits for the company of what is being written.
const GATHER: Duration = Duration::from_millis(1);

/// What is done when a commit has ended.
pub(super) type Then = Box<dyn FnOnce(&io::Result<()>)>;

/// Makes directories durable.
type Commit = Arc<dyn Fn(&[OwnedFd]) -> io::Result<()> + Send + Sync>;

/// The commits of all volumes.
pub(super) struct Commits {
    lanes: RefCell<HashMap<Volume, Rc<Lane>>>,
    writing: Rc<Writing>,
    commit: Commit,
}

/// How many tasks are with writers.
#[derive(Default)]
struct Writing {
    count: Cell<usize>,
    none: Notify,
}

/// A task that is with a writer; it ends with this.
pub(super) struct Underway(Rc<Writing>);

/// What waits for the commit of one volume.
#[derive(Default)]
struct Lane {
    named: RefCell<Vec<Named>>,
    came: Notify,
}

/// Files in a directory that are not durable yet.
struct Named {
    dir: OwnedFd,
    since: Instant,
    then: Then,
}

impl Commits {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { lanes: RefCell::default(), writing: Rc::default(), commit: Arc::new(Volume::commit) })
    }

    /// A task is given to a writer.
    pub(super) fn underway(&self) -> Underway {
        Writing::begin(&self.writing)
    }

    /// Has the directory committed, and does `then`. Needs a `LocalSet`.
    pub(super) fn add(&self, dir: OwnedFd, then: Then) {
        let Some(lane) = Volume::of(dir.as_fd()).and_then(|volume| self.lane(volume)) else {
            // No mda of ours hands over such a one.
            return then(&Err(io::ErrorKind::Unsupported.into()));
        };
        lane.add(dir, then);
    }

    fn lane(&self, volume: Volume) -> Option<Rc<Lane>> {
        if let Some(lane) = self.lanes.borrow().get(&volume) {
            return Some(Rc::clone(lane));
        }
        if !volume.keeps_order() {
            return None;
        }
        let lane = Rc::new(Lane::default());
        self.lanes.borrow_mut().insert(volume, Rc::clone(&lane));
        tokio::task::spawn_local(Rc::clone(&lane).keep(Rc::clone(&self.writing), Arc::clone(&self.commit)));
        Some(lane)
    }
}

impl Lane {
    fn add(&self, dir: OwnedFd, then: Then) {
        self.named.borrow_mut().push(Named { dir, since: Instant::now(), then });
        self.came.notify_one();
    }

    /// Commits one group after the other, for ever.
    async fn keep(self: Rc<Self>, writing: Rc<Writing>, commit: Commit) {
        loop {
            self.gather(&writing).await;
            let group = self.named.take();
            let (dirs, thens): (Vec<OwnedFd>, Vec<Then>) = group.into_iter().map(|one| (one.dir, one.then)).unzip();
            let commit = Arc::clone(&commit);
            let committed = tokio::task::spawn_blocking(move || commit(&dirs)).await;
            let outcome = committed.unwrap_or_else(|error| Err(io::Error::other(error)));
            thens.into_iter().for_each(|then| then(&outcome));
        }
    }

    /// Returns when something is named, and nothing else will be soon, or it has waited long enough.
    async fn gather(&self, writing: &Writing) {
        let first = loop {
            if let Some(first) = self.named.borrow().first() {
                break first.since;
            }
            self.came.notified().await;
        };
        tokio::select! {
            () = sleep_until(first + GATHER) => {}
            () = writing.ended() => {}
        }
    }
}

impl Writing {
    fn begin(writing: &Rc<Self>) -> Underway {
        writing.count.set(writing.count.get() + 1);
        Underway(Rc::clone(writing))
    }

    /// Returns when nothing is with a writer.
    async fn ended(&self) {
        while self.count.get() > 0 {
            self.none.notified().await;
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0 {
            self.0.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::mpsc;

    use tokio::sync::oneshot;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// A lane whose commits say how many directories they have, and end as they are told.
    struct Rig {
        lane: Rc<Lane>,
        writing: Rc<Writing>,
        begun: tokio::sync::mpsc::UnboundedReceiver<usize>,
        end: mpsc::Sender<io::Result<()>>,
    }

    impl Rig {
        fn new() -> Self {
            let (lane, writing) = (Rc::<Lane>::default(), Rc::<Writing>::default());
            let (begins, begun) = tokio::sync::mpsc::unbounded_channel();
            let (end, ends) = mpsc::channel();
            let ends = std::sync::Mutex::new(ends);
            let commit: Commit = Arc::new(move |dirs| {
                begins.send(dirs.len()).expect("somebody hears");
                ends.lock().expect("one at a time").recv().expect("told")
            });
            spawn_local(Rc::clone(&lane).keep(Rc::clone(&writing), commit));
            Self { lane, writing, begun, end }
        }

        fn add(&self) -> oneshot::Receiver<bool> {
            let (tell, told) = oneshot::channel();
            let dir = File::open("/").expect("a directory").into();
            self.lane.add(dir, Box::new(|outcome| tell.send(outcome.is_ok()).expect("somebody hears")));
            told
        }
    }

    #[tokio::test]
    async fn what_is_named_while_one_runs_is_in_the_next() {
        LocalSet::new()
            .run_until(async {
                let mut rig = Rig::new();
                let first = rig.add();
                assert_eq!(rig.begun.recv().await, Some(1));
                let mut others = [(); 3].map(|()| rig.add());
                rig.end.send(Ok(())).expect("runs");
                assert_eq!(first.await, Ok(true));
                assert_eq!(rig.begun.recv().await, Some(3));
                assert!(others.iter_mut().all(|other| other.try_recv().is_err()));
                rig.end.send(Err(io::ErrorKind::StorageFull.into())).expect("runs");
                for other in others {
                    assert_eq!(other.await, Ok(false));
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_written_comes_along_if_it_is_soon_named() {
        LocalSet::new()
            .run_until(async {
                let mut rig = Rig::new();
                let began = Instant::now();
                let soon = Writing::begin(&rig.writing);
                let _first = rig.add();
                tokio::task::yield_now().await;
                assert!(rig.begun.try_recv().is_err());
                let _second = rig.add();
                drop(soon);
                assert_eq!(rig.begun.recv().await, Some(2));
                assert_eq!(began.elapsed(), Duration::ZERO);
                rig.end.send(Ok(())).expect("runs");
                let _late = Writing::begin(&rig.writing);
                let _third = rig.add();
                let began = Instant::now();
                assert_eq!(rig.begun.recv().await, Some(1));
                assert_eq!(began.elapsed(), GATHER);
                rig.end.send(Ok(())).expect("runs");
            })
            .await;
    }

    /// A call on a directory of FUSE might never return.
    #[test]
    fn what_is_on_no_volume_with_a_journal_is_refused() {
        let refused = Rc::new(Cell::new(false));
        let here = Rc::clone(&refused);
        let dir = File::open("/proc/self").expect("a directory").into();
        Commits::new().add(dir, Box::new(move |outcome| here.set(outcome.is_err())));
        assert!(refused.get());
    }
}
