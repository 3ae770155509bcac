//! One open mailbox, shared by all sessions of the user: each operation publishes what it changed to every session.
//!
//! What has been published is compared with the store's snapshot after each operation, so that a change found on the way,
//! made by another program, is never lost between two sessions. All functions block; the world calls them on the
//! blocking pool.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use imap::question::{Access, Known, Opened};
use mail::Uid;
use mailstore::{Error, Identity, Mailbox, MailboxName, Message, Snapshot};

use crate::follower::Follower;

/// An open mailbox and who follows it.
pub(crate) struct Shared {
    /// As the log calls it.
    pub(crate) name: MailboxName,
    state: Mutex<State>,
    followers: Mutex<Vec<Weak<Follower>>>,
    /// What to watch for changes by other programs.
    pub(crate) watch: Vec<PathBuf>,
    /// What its name stood for when it was opened.
    pub(crate) identity: Identity,
    /// Nobody opens it under its name any more, and who still comes to follow it is told.
    lost: AtomicBool,
}

/// The mailbox and what all followers know of it.
pub(crate) struct State {
    pub(crate) mailbox: Mailbox,
    published: Snapshot,
}

impl Shared {
    pub(crate) fn new(name: MailboxName, mailbox: Mailbox) -> Self {
        let published = mailbox.snapshot().clone();
        let (watch, identity) = (mailbox.watch(), mailbox.identity());
        let (state, lost) = (Mutex::new(State { mailbox, published }), AtomicBool::new(false));
        Self { name, state, followers: Mutex::default(), watch, identity, lost }
    }

    /// The mailbox, for reading.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the mailbox and tells everybody what changed, also when it failed half-way.
    pub(crate) fn change<T>(&self, action: impl FnOnce(&mut Mailbox) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.lock();
        let result = action(&mut state.mailbox);
        self.publish(&mut state);
        result
    }

    /// The same with two mailboxes, locked in an order in which no two sessions can wait for one another.
    pub(crate) fn change_both<T>(
        from: &Arc<Self>,
        to: &Arc<Self>,
        action: impl FnOnce(&mut Mailbox, &mut Mailbox) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let first_is_from = Arc::as_ptr(from) < Arc::as_ptr(to);
        let (mut a, mut b) = if first_is_from { (from.lock(), to.lock()) } else { (to.lock(), from.lock()) };
        let (source, target) = if first_is_from { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let result = action(&mut source.mailbox, &mut target.mailbox);
        to.publish(target);
        from.publish(source);
        result
    }

    /// Looks at the disk.
    pub(crate) fn refresh(&self) -> Result<(), Error> {
        match self.change(|mailbox| mailbox.refresh().map(|_| ())) {
            Err(Error::NoMailbox) => {
                self.lose();
                Err(Error::NoMailbox)
            }
            result => result,
        }
    }

    /// A new follower, and the mailbox as it finds it.
    pub(crate) fn follow(&self, access: Access) -> Result<(Arc<Follower>, Opened), Error> {
        self.refresh()?;
        let mut state = self.lock();
        let writable = access == Access::Select && writable(&state.mailbox);
        let recent = if writable { claim(&mut state.mailbox) } else { unclaimed(&state.mailbox) };
        // Claiming renames files: nobody is told of what is no change.
        self.publish(&mut state);
        let follower = Arc::new(Follower::new(access));
        self.followers().push(Arc::downgrade(&follower));
        if self.is_lost() {
            follower.lost();
        }
        let snapshot = state.mailbox.snapshot();
        let opened = Opened {
            uid_validity: snapshot.uid_validity,
            uid_next: snapshot.uid_next,
            messages: snapshot.messages.iter().map(|message| known(message, &recent)).collect(),
            keywords: state.mailbox.keywords(),
            most_keywords: state.mailbox.most_keywords(),
            writable,
        };
        Ok((follower, opened))
    }

    /// Tells all followers that the mailbox is gone.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        self.live().iter().for_each(|follower| follower.lost());
    }

    /// Whether that was told.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Whether anybody follows it.
    pub(crate) fn is_followed(&self) -> bool {
        !self.live().is_empty()
    }

    fn publish(&self, state: &mut State) {
        let now = state.mailbox.snapshot();
        if *now == state.published {
            return;
        }
        let followers = self.live();
        if now.uid_validity != state.published.uid_validity {
            followers.iter().for_each(|follower| follower.lost());
            state.published = now.clone();
            return;
        }
        // The first session that may write takes the recent marks of what is new; where there is none, all see them.
        let owner = followers.iter().position(|follower| follower.access == Access::Select);
        let fresh =
            now.messages.last().map(|message| message.uid) > state.published.messages.last().map(|message| message.uid);
        let recent = match owner {
            Some(_) if fresh => claim(&mut state.mailbox),
            Some(_) => BTreeSet::new(),
            None => unclaimed(&state.mailbox),
        };
        let now = state.mailbox.snapshot().clone();
        for (at, follower) in followers.iter().enumerate() {
            tell(
                follower,
                &state.published,
                &now,
                if owner.is_none_or(|owner| owner == at) { Some(&recent) } else { None },
            );
            follower.wake();
        }
        state.published = now;
    }

    fn live(&self) -> Vec<Arc<Follower>> {
        let mut followers = self.followers();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.iter().filter_map(Weak::upgrade).collect()
    }

    fn followers(&self) -> MutexGuard<'_, Vec<Weak<Follower>>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes over both snapshots once, in the order of uids.
fn tell(follower: &Follower, old: &Snapshot, new: &Snapshot, recent: Option<&BTreeSet<Uid>>) {
    let none = BTreeSet::new();
    let (mut before, mut after) = (old.messages.iter().peekable(), new.messages.iter().peekable());
    loop {
        match (before.peek(), after.peek()) {
            (Some(gone), Some(here)) if gone.uid < here.uid => {
                follower.vanished(gone.uid);
                before.next();
            }
            (Some(was), Some(is)) if was.uid == is.uid => {
                if was.flags != is.flags {
                    follower.flags(is.uid, &is.flags);
                }
                before.next();
                after.next();
            }
            (Some(gone), None) => {
                follower.vanished(gone.uid);
                before.next();
            }
            (_, Some(new)) => {
                follower.appeared(known(new, recent.unwrap_or(&none)));
                after.next();
            }
            (None, None) => return,
        }
    }
}

fn known(message: &Message, recent: &BTreeSet<Uid>) -> Known {
    Known { uid: message.uid, flags: message.flags.clone(), recent: recent.contains(&message.uid) }
}

fn claim(mailbox: &mut Mailbox) -> BTreeSet<Uid> {
    mailbox.claim_recent().map(|uids| uids.into_iter().collect()).unwrap_or_else(|error| {
        tracing::warn!("cannot take the recent marks: {error}");
        BTreeSet::new()
    })
}

/// The recent marks, for who may look but not take.
fn unclaimed(mailbox: &Mailbox) -> BTreeSet<Uid> {
    mailbox.snapshot().messages.iter().filter(|message| message.recent).map(|message| message.uid).collect()
}

fn writable(mailbox: &Mailbox) -> bool {
    mailbox.writable().inspect_err(|error| tracing::warn!("mailbox is opened read-only: {error}")).is_ok()
}
