//! All mailboxes of the user: the store, and which of them are open now. All functions block.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use imap::grammar::list::SpecialUse;
use imap::question::{Children, Counts, Folder, FolderKind};
use mail::Flag;
use mailstore::{Error, Location, MailboxName, Options, Store};

use crate::shared::Shared;
use crate::watch::Watch;

/// The user's mail.
pub(crate) struct Mailboxes {
    location: Location,
    options: Options,
    store: Mutex<Option<Arc<Store>>>,
    open: Mutex<HashMap<MailboxName, Weak<Shared>>>,
    watch: Watch,
}

impl Mailboxes {
    pub(crate) fn new(location: Location, options: Options, watch: Watch) -> Self {
        Self { location, options, store: Mutex::default(), open: Mutex::default(), watch }
    }

    /// The store, opened when it is first needed; a failure is tried again the next time. Where another Maildir took its
    /// place, that one is opened, and who looks at a mailbox of the old one is told that it is gone.
    pub(crate) fn store(&self) -> Result<Arc<Store>, Error> {
        let mut kept = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.take() {
            Some(store) if store.is_current() => return Ok(kept.insert(store).clone()),
            Some(_) => {
                self.opened().drain().filter_map(|(_, shared)| shared.upgrade()).for_each(|shared| shared.lose())
            }
            None => {}
        }
        let store = Arc::new(Store::open(self.location.clone(), self.options.clone())?);
        *kept = Some(store.clone());
        Ok(store)
    }

    /// What divides levels of names, known before anything is opened.
    pub(crate) const fn separator(&self) -> char {
        match self.location {
            Location::Maildir { .. } => '.',
            Location::Mbox { .. } => '/',
        }
    }

    /// An open mailbox: one object for all who ask.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Shared>, Error> {
        let store = self.store()?;
        let name = store.name(name)?;
        // Held while the mailbox is opened, so that two sessions never open it twice.
        let mut open = self.opened();
        open.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = open.get(&name).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let shared = Arc::new(Shared::new(store.mailbox(&name)?));
        open.insert(name, Arc::downgrade(&shared));
        Ok(shared)
    }

    /// The same, watched for changes by other programs as long as somebody follows it.
    pub(crate) fn get_watched(&self, name: &str) -> Result<Arc<Shared>, Error> {
        let shared = self.get(name)?;
        self.watch.add(&shared);
        Ok(shared)
    }

    pub(crate) fn folders(&self) -> Result<Vec<Folder>, Error> {
        let store = self.store()?;
        let subscriptions = store.subscriptions()?;
        let mut folders: Vec<Folder> =
            store.list()?.into_iter().map(|folder| listed(&folder, &subscriptions)).collect();
        for name in subscriptions {
            if folders.iter().all(|folder| folder.name != name.as_str()) {
                let name = name.as_str().to_owned();
                folders.push(Folder {
                    name,
                    kind: FolderKind::Missing,
                    children: Children::None,
                    subscribed: true,
                    uses: Vec::new(),
                });
            }
        }
        Ok(folders)
    }

    pub(crate) fn status(&self, name: &str) -> Result<Counts, Error> {
        let shared = self.get(name)?;
        shared.refresh()?;
        let state = shared.lock();
        let snapshot = state.mailbox.snapshot();
        let count = |wanted: &dyn Fn(&mailstore::Message) -> bool| {
            u32::try_from(snapshot.messages.iter().filter(|message| wanted(message)).count()).unwrap_or(u32::MAX)
        };
        Ok(Counts {
            messages: count(&|_| true),
            recent: count(&|message| message.recent),
            unseen: count(&|message| !message.flags.has(Flag::Seen)),
            uid_next: snapshot.uid_next,
            uid_validity: snapshot.uid_validity,
        })
    }

    pub(crate) fn create(&self, name: &str) -> Result<(), Error> {
        let store = self.store()?;
        store.create(&store.name(name)?)
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Error> {
        let store = self.store()?;
        let name = store.name(name)?;
        store.delete(&name)?;
        self.forget(&name);
        Ok(())
    }

    /// Sessions that have a renamed mailbox open are told that it is gone.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let store = self.store()?;
        let (from, to) = (store.name(from)?, store.name(to)?);
        store.rename(&from, &to)?;
        if !from.is_inbox() {
            self.forget(&from);
        }
        Ok(())
    }

    pub(crate) fn subscribe(&self, name: &str) -> Result<(), Error> {
        let store = self.store()?;
        store.subscribe(&store.name(name)?)
    }

    pub(crate) fn unsubscribe(&self, name: &str) -> Result<(), Error> {
        let store = self.store()?;
        store.unsubscribe(&store.name(name)?)
    }

    fn forget(&self, name: &MailboxName) {
        if let Some(shared) = self.opened().remove(name).and_then(|shared| shared.upgrade()) {
            shared.lose();
        }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<MailboxName, Weak<Shared>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listed(folder: &mailstore::Folder, subscriptions: &[MailboxName]) -> Folder {
    Folder {
        name: folder.name.as_str().to_owned(),
        kind: if folder.selectable { FolderKind::Mailbox } else { FolderKind::Level },
        children: match folder.children {
            mailstore::Children::Some => Children::Some,
            mailstore::Children::None => Children::None,
            mailstore::Children::Impossible => Children::Impossible,
        },
        subscribed: subscriptions.contains(&folder.name),
        uses: special_use(folder.name.as_str()).into_iter().collect(),
    }
}

/// What a mailbox of this name is for: the names that Debian's mail readers and Dovecot's sample configuration use.
pub(crate) fn special_use(name: &str) -> Option<SpecialUse> {
    match name {
        "Archive" | "Archives" => Some(SpecialUse::Archive),
        "Drafts" => Some(SpecialUse::Drafts),
        "Junk" => Some(SpecialUse::Junk),
        "Sent" | "Sent Messages" => Some(SpecialUse::Sent),
        "Trash" => Some(SpecialUse::Trash),
        _ => None,
    }
}
