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
    open: Mutex<HashMap<MailboxName, Arc<Slot>>>,
    watch: Watch,
}

/// The open mailbox of one name. Held while it is opened, so that two sessions never open it twice and nobody waits who
/// asks for another one.
type Slot = Mutex<Weak<Shared>>;

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
            Some(_) => self.forget(|_| true),
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

    /// An open mailbox: one object for all who ask, as long as it is what the name stands for.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Shared>, Error> {
        let store = self.store()?;
        let name = store.name(name)?;
        let slot = self.slot(&name);
        let mut slot = lock(&slot);
        if let Some(shared) = slot.upgrade() {
            match store.identity(&name) {
                Ok(identity) if identity == shared.identity && !shared.is_lost() => return Ok(shared),
                // Another program moved or removed it.
                Ok(_) | Err(Error::NoMailbox) => shared.lose(),
                Err(error) => return Err(error),
            }
        }
        let mailbox = store.mailbox(&name)?;
        let shared = Arc::new(Shared::new(name, mailbox));
        *slot = Arc::downgrade(&shared);
        Ok(shared)
    }

    fn slot(&self, name: &MailboxName) -> Arc<Slot> {
        let mut open = lock(&self.open);
        // One that nobody else has is not being opened: its lock is free.
        open.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
        open.entry(name.clone()).or_default().clone()
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
        self.forget(|other| *other == name);
        Ok(())
    }

    /// Sessions that have a renamed mailbox open, or one below it, are told that it is gone.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let store = self.store()?;
        let (from, to) = (store.name(from)?, store.name(to)?);
        store.rename(&from, &to)?;
        if !from.is_inbox() {
            let below = format!("{from}{}", self.separator());
            self.forget(|name| *name == from || name.as_str().starts_with(&below));
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

    /// These names stand for something else from now on. Waits for who is opening one of them.
    fn forget(&self, which: impl Fn(&MailboxName) -> bool) {
        let forgotten: Vec<_> = lock(&self.open).extract_if(|name, _| which(name)).collect();
        for (_, slot) in forgotten {
            if let Some(shared) = lock(&slot).upgrade() {
                shared.lose();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use imap::question::Access;
    use tempfile::TempDir;

    use super::*;

    fn maildir() -> (TempDir, Arc<Mailboxes>) {
        let place = TempDir::new().expect("a directory");
        let location = Location::Maildir { root: place.path().join("Maildir") };
        let options = Options { lock_timeout: Duration::from_secs(2), ..Options::default() };
        (place, Arc::new(Mailboxes::new(location, options, Watch::start())))
    }

    fn mbox() -> (TempDir, Arc<Mailboxes>) {
        let place = TempDir::new().expect("a directory");
        let (inbox, folders) = (place.path().join("inbox"), place.path().join("mail"));
        let all = Mailboxes::new(Location::Mbox { inbox, folders }, Options::default(), Watch::start());
        (place, Arc::new(all))
    }

    fn append(all: &Mailboxes, name: &str) {
        let shared = all.get(name).expect("open");
        let content = b"Subject: a\r\n\r\nb\r\n";
        let date = mail::date::Moment::utc(1_795_191_067);
        let message = mailstore::NewMessage { content, flags: mail::Flags::default(), date };
        shared.change(|mailbox| mailbox.append(&[message])).expect("stored");
    }

    fn messages(all: &Mailboxes, name: &str) -> u32 {
        all.status(name).expect("status").messages
    }

    #[test]
    fn what_was_below_a_renamed_mailbox_is_found_under_its_new_name_alone() {
        for (_place, all) in [maildir(), mbox()] {
            let name = |name: &str| name.replace('/', &all.separator().to_string());
            all.create(&name("p/kid")).expect("made");
            let held = all.get(&name("p/kid")).expect("open");
            let (follower, _) = held.follow(Access::Select).expect("followed");
            all.rename("p", "q").expect("renamed");
            assert!(follower.take().lost);
            all.create(&name("p/kid")).expect("made anew");
            append(&all, &name("p/kid"));
            assert_eq!((messages(&all, &name("p/kid")), messages(&all, &name("q/kid"))), (1, 0));
            drop(held);
        }
    }

    #[test]
    fn what_other_programs_moved_or_removed_is_not_what_its_name_stands_for() {
        let (place, all) = maildir();
        let root = place.path().join("Maildir");
        all.create("a").expect("made");
        let held = all.get("a").expect("open");
        let (follower, _) = held.follow(Access::Select).expect("followed");
        std::fs::rename(root.join(".a"), root.join(".b")).expect("moved");
        assert!(matches!(all.get("a"), Err(Error::NoMailbox)));
        assert!(follower.take().lost);
        let _held = all.get("b").expect("open");
        std::fs::remove_dir_all(root.join(".b")).expect("removed");
        all.create("b").expect("made anew");
        assert!(all.get("b").expect("open").lock().mailbox.writable().is_ok());
        append(&all, "b");
        assert_eq!(messages(&all, "b"), 1);
    }

    #[test]
    fn examine_shows_what_is_recent_and_leaves_it_so() {
        let (place, all) = maildir();
        let deliver = |name: &str| write(&place.path().join("Maildir/new").join(name), "Subject: a\n\nb\n");
        all.get("INBOX").expect("made");
        deliver("1795191067.M1P1.vm");
        let shared = all.get("INBOX").expect("open");
        let recent = |known: &[imap::question::Known]| known.iter().map(|known| known.recent).collect::<Vec<_>>();
        let (follower, opened) = shared.follow(Access::Examine).expect("followed");
        assert_eq!((recent(&opened.messages), all.status("INBOX").expect("status").recent), (vec![true], 1));
        deliver("1795191068.M1P1.vm");
        shared.refresh().expect("looked");
        assert_eq!(recent(&follower.take().appeared), [true]);
        let (_selecting, opened) = shared.follow(Access::Select).expect("followed");
        assert_eq!(recent(&opened.messages), [true, true]);
        let (_examining, opened) = shared.follow(Access::Examine).expect("followed");
        assert_eq!(recent(&opened.messages), [false, false]);
    }

    /// Root may read everything: a directory that only looks like a file when it is listed is unreadable for all.
    #[test]
    fn a_message_that_cannot_be_read_costs_no_other() {
        let (place, all) = maildir();
        all.get("INBOX").expect("made");
        let new = place.path().join("Maildir/new");
        write(&new.join("1.M1P1.vm"), "Subject: a\n\nb\n");
        write(&new.join("2.M1P1.vm"), "Subject: a\n\nb\n");
        let shared = all.get("INBOX").expect("open");
        std::fs::remove_file(new.join("1.M1P1.vm")).expect("removed");
        std::fs::create_dir(new.join("1.M1P1.vm")).expect("made");
        let uids: Vec<mail::Uid> =
            shared.lock().mailbox.snapshot().messages.iter().map(|message| message.uid).collect();
        let test = imap::question::Test::Content(imap::grammar::search::Content::Text("b".into()));
        assert_eq!(crate::lookup::search(&shared, uids.clone(), test).expect("searched"), uids[1..]);
        let (read, _) = crate::reading::read(&shared, &uids, imap::question::Need::Whole).expect("read");
        assert_eq!(read[0], Err(imap::question::Missing::Unreadable));
        assert!(read[1].is_ok());
    }

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn who_waits_for_a_lock_keeps_nobody_from_another_mailbox() {
        let (place, all) = maildir();
        all.create("lk").expect("made");
        let locked = place.path().join("Maildir/.lk");
        write(&locked.join("dovecot-uidlist.lock"), "");
        write(&locked.join("new/1795191067.M1P1.vm"), "Subject: a\n\nb\n");
        let (waiting, begun) = (all.clone(), Instant::now());
        let opener = std::thread::spawn(move || waiting.get("lk").map(drop));
        let mut longest = Duration::ZERO;
        while !opener.is_finished() {
            let asked = Instant::now();
            assert_eq!(messages(&all, "INBOX"), 0);
            longest = longest.max(asked.elapsed());
        }
        assert!(matches!(opener.join().expect("no panic"), Err(Error::Busy)));
        assert!(begun.elapsed() > Duration::from_secs(1) && longest < Duration::from_secs(1), "{longest:?}");
    }
}
