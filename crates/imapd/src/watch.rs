//! Sees that another program changed an open mailbox (mda, mutt, procmail) and looks at it at once.
//!
//! One inotify instance and one thread per process, however many mailboxes and sessions there are. Where the kernel gives
//! none, the thread looks every second instead. A mailbox that nobody follows any more is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::shared::Shared;

/// How often to look where inotify is not to be had.
const POLL: Duration = Duration::from_secs(1);

/// The watcher of a process.
pub(crate) struct Watch {
    how: Arc<How>,
}

enum How {
    Inotify(Inotify, Mutex<HashMap<WatchDescriptor, Vec<Weak<Shared>>>>),
    Polling(Mutex<Vec<Weak<Shared>>>),
}

impl Watch {
    /// Starts the thread; without one, changes by other programs are seen when a client asks.
    pub(crate) fn start() -> Self {
        let how = Arc::new(match Inotify::init(InitFlags::IN_CLOEXEC) {
            Ok(inotify) => How::Inotify(inotify, Mutex::default()),
            Err(error) => {
                tracing::warn!("no inotify ({error}): looking for new mail every second");
                How::Polling(Mutex::default())
            }
        });
        let watched = how.clone();
        if let Err(error) = thread::Builder::new().name("watch".into()).spawn(move || watched.run()) {
            tracing::error!("cannot watch for new mail: {error}");
        }
        Self { how }
    }

    /// Watches a mailbox; doing so twice makes no difference.
    pub(crate) fn add(&self, shared: &Arc<Shared>) {
        match &*self.how {
            How::Inotify(inotify, watched) => {
                let mut watched = lock(watched);
                forget_closed(inotify, &mut watched);
                for path in &shared.watch {
                    match inotify.add_watch(path, changes()) {
                        Ok(descriptor) => remember(watched.entry(descriptor).or_default(), shared),
                        Err(error) => tracing::warn!("cannot watch {}: {error}", path.display()),
                    }
                }
            }
            How::Polling(watched) => remember(&mut lock(watched), shared),
        }
    }
}

impl How {
    fn run(&self) {
        loop {
            let changed = match self {
                Self::Inotify(inotify, watched) => match inotify.read_events() {
                    Ok(events) => {
                        let watched = lock(watched);
                        let found = events.iter().filter_map(|event| watched.get(&event.wd)).flatten();
                        distinct(found.filter_map(Weak::upgrade))
                    }
                    Err(nix::errno::Errno::EINTR) => continue,
                    Err(error) => return tracing::error!("inotify: {error}"),
                },
                Self::Polling(watched) => {
                    thread::sleep(POLL);
                    distinct(lock(watched).iter().filter_map(Weak::upgrade))
                }
            };
            for shared in changed.iter().filter(|shared| shared.is_followed()) {
                if let Err(error) = shared.refresh() {
                    tracing::warn!("cannot look at a mailbox that changed: {error}");
                }
            }
        }
    }
}

fn changes() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CLOSE_WRITE
}

fn remember(list: &mut Vec<Weak<Shared>>, shared: &Arc<Shared>) {
    list.retain(|known| known.strong_count() > 0);
    if !list.iter().any(|known| known.as_ptr() == Arc::as_ptr(shared)) {
        list.push(Arc::downgrade(shared));
    }
}

fn forget_closed(inotify: &Inotify, watched: &mut HashMap<WatchDescriptor, Vec<Weak<Shared>>>) {
    watched.retain(|descriptor, list| {
        list.retain(|shared| shared.strong_count() > 0);
        if list.is_empty() {
            // The directory may be gone, and its watch with it.
            let _ = inotify.rm_watch(*descriptor);
        }
        !list.is_empty()
    });
}

fn distinct(found: impl Iterator<Item = Arc<Shared>>) -> Vec<Arc<Shared>> {
    let mut all: Vec<Arc<Shared>> = found.collect();
    all.sort_by_key(Arc::as_ptr);
    all.dedup_by_key(|shared| Arc::as_ptr(shared));
    all
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
