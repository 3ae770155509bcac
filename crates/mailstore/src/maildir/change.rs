//! Reading and changing the messages of a Maildir.
//!
//! Flags are a rename, expunging is an unlink, a copy is a hard link. A file that another program renamed meanwhile is
//! looked for again; only one that is surely gone counts as gone. New files are written in `tmp/`, synced, renamed, the
//! directory synced, then the uid list: a crash in between leaves a whole message that gets a uid at the next look.
//! Changes of flags are not synced: after a power cut a message may have its old flags.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use durable::{Access, Dir, File};
use mail::date::Moment;
use mail::{Flags, Uid};

use super::control::{self, LockFile};
use super::delivery::create_unique;
use super::folder::Maildir;
use super::keywords::{self, Keywords};
use super::name;
use super::scan::{Folder, Place};
use super::uidlist;
use crate::incoming::{Carried, OnItsWay};
use crate::line_ends::{Bare, to_crlf};
use crate::reading::{Reading, Source};
use crate::{Error, FlagChange, Incoming, NewMessage, holder};

/// How often a file that moved is looked for.
const TRIES: u32 = 4;
const CHUNK: usize = 64 * 1024;

/// A file that stands in its final place, or in `tmp/`, and goes again when the whole group fails.
struct Placed {
    dir: Dir,
    name: String,
}

impl Maildir {
    /// Runs `action` on a message's file, wherever it has gone meanwhile.
    fn with_file<T>(&mut self, uid: Uid, action: impl Fn(&Dir, &Place) -> io::Result<T>) -> Result<T, Error> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.look_harder()?;
            }
            let Some(at) = self.index(uid) else { return Err(Error::NoMessage) };
            let place = &self.places[at];
            match action(self.folders.dir(place.folder), place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                other => return Ok(other?),
            }
        }
        Err(Error::NoMessage)
    }

    fn open_message(&mut self, uid: Uid) -> Result<File, Error> {
        self.with_file(uid, |dir, place| dir.open_file(&place.name, Access::Read))
    }

    pub(crate) fn read(&mut self, uid: Uid) -> Result<Vec<u8>, Error> {
        let message = to_crlf(self.open_message(uid)?.read_all(u64::MAX)?);
        self.sizes.insert(uid, message.len() as u64);
        Ok(message)
    }

    pub(crate) fn read_header(&mut self, uid: Uid) -> Result<Vec<u8>, Error> {
        let file = self.open_message(uid)?;
        let mut octets = Vec::new();
        let mut chunk = vec![0; 8 * 1024];
        loop {
            let got = file.read_at(&mut chunk, octets.len() as u64)?;
            let from = octets.len().saturating_sub(4);
            octets.extend_from_slice(&chunk[..got]);
            let ended = octets.starts_with(b"\n") || octets.starts_with(b"\r\n");
            let blank = |pattern| memchr::memmem::find(&octets[from..], pattern).is_some();
            if got == 0 || ended || blank(b"\n\n") || blank(b"\n\r\n") {
                octets.truncate(mail::header::length(&octets));
                return Ok(to_crlf(octets));
            }
            chunk.resize((chunk.len() * 2).min(CHUNK), 0);
        }
    }

    pub(crate) fn size(&mut self, uid: Uid) -> Result<u64, Error> {
        if let Some(size) = self.sizes.get(&uid) {
            return Ok(*size);
        }
        let at = self.index(uid).ok_or(Error::NoMessage)?;
        let listed = || self.list.get(uid)?.field('W')?.parse().ok();
        if let Some(size) = name::field(&self.places[at].name, 'W').or_else(listed) {
            return Ok(size);
        }
        self.counted_size(uid)
    }

    pub(crate) fn begin(&mut self, uid: Uid) -> Result<Reading, Error> {
        Ok(Reading::new(uid, Source::File(self.open_message(uid)?)))
    }

    pub(crate) fn counted_size(&mut self, uid: Uid) -> Result<u64, Error> {
        if let Some(size) = self.sizes.get(&uid) {
            return Ok(*size);
        }
        let file = self.open_message(uid)?;
        let (mut size, mut bare, mut chunk) = (0, Bare::default(), vec![0; CHUNK]);
        let mut extra = 0;
        loop {
            match file.read_at(&mut chunk, size)? {
                0 => break,
                got => {
                    extra += bare.count(&chunk[..got]);
                    size += got as u64;
                }
            }
        }
        self.sizes.insert(uid, size + extra);
        Ok(size + extra)
    }

    pub(crate) fn date(&mut self, uid: Uid) -> Result<Moment, Error> {
        let meta = self.with_file(uid, |dir, place| dir.stat(&place.name))?;
        let seconds = match meta.mtime.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
        };
        Ok(Moment::utc(seconds))
    }

    pub(crate) fn uidl(&self, uid: Uid) -> Result<String, Error> {
        self.index(uid).ok_or(Error::NoMessage)?;
        let own = self.list.get(uid).and_then(|record| record.field('P')).filter(|own| !own.is_empty());
        Ok(own.map_or_else(|| format!("{:08x}{:08x}", uid.get(), self.list.validity.get()), str::to_owned))
    }

    pub(crate) fn claim_recent(&mut self) -> Result<Vec<Uid>, Error> {
        self.look()?;
        let recent: Vec<Uid> = self.snapshot.messages.iter().filter(|m| m.recent).map(|m| m.uid).collect();
        for uid in &recent {
            match self.rename(*uid, |flags| flags.clone()) {
                Ok(_) | Err(Error::NoMessage) => (),
                Err(error) => return Err(error.write_refused()),
            }
        }
        Ok(recent)
    }

    pub(crate) fn set_flags(&mut self, uids: &[Uid], change: &FlagChange) -> Result<Vec<Uid>, Error> {
        if let FlagChange::Add(flags) | FlagChange::Replace(flags) = change {
            self.need_keywords([flags])?;
        }
        let mut changed = Vec::new();
        for uid in uids {
            let Some(message) = self.index(*uid).map(|at| &self.snapshot.messages[at]) else { continue };
            if change.apply(&message.flags) == message.flags {
                continue;
            }
            match self.rename(*uid, |flags| change.apply(flags)) {
                Ok(true) => changed.push(*uid),
                Ok(false) | Err(Error::NoMessage) => (),
                Err(error) => return Err(error.write_refused()),
            }
        }
        changed.sort_unstable();
        Ok(changed)
    }

    /// Renames a message's file into `cur/` with new flags. Whether they are others than before.
    fn rename(&mut self, uid: Uid, new_flags: impl Fn(&Flags) -> Flags) -> Result<bool, Error> {
        let keywords = self.keywords.clone();
        let cur = self.folders.cur.clone();
        let name = self.with_file(uid, |dir, place| {
            let flags = new_flags(&name::flags(&place.name, &keywords));
            let name = name::with_flags(&place.name, &flags, &keywords);
            if place.folder == Folder::New || place.name != name {
                dir.rename(&place.name, &cur, &name)?;
            }
            Ok(name)
        })?;
        // As the next look reads them: keywords are spelt as their table has them.
        let flags = name::flags(&name, &keywords);
        let at = self.index(uid).ok_or(Error::NoMessage)?;
        self.places[at] = Place { name, folder: Folder::Cur };
        let message = &mut self.snapshot.messages[at];
        message.recent = false;
        let others = message.flags != flags;
        message.flags = flags;
        Ok(others)
    }

    /// Gives letters to keywords that have none; when all are taken, those that no message bears any more.
    fn need_keywords<'a>(&mut self, all: impl IntoIterator<Item = &'a Flags>) -> Result<(), Error> {
        let missing = |keywords: &Keywords, name: &str| keywords.letter(name).is_none();
        let wanted: Vec<&String> = all.into_iter().flat_map(|flags| &flags.keywords).collect();
        if !wanted.iter().any(|name| missing(&self.keywords, name)) {
            return Ok(());
        }
        let _lock = LockFile::take(&self.dir, "dovecot-keywords.lock", self.tree.timeout)?;
        let mut table = Keywords::read(&self.dir)?;
        if !wanted.iter().all(|keyword| table.add(keyword)) {
            self.look_harder()?;
            table.keep(|name| self.bears(name) || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)));
            if !wanted.iter().all(|keyword| table.add(keyword)) {
                return Err(Error::KeywordLimit);
            }
        }
        control::replace(&self.dir, keywords::FILE, table.text().as_bytes())?;
        self.keywords = table;
        self.note_keywords_written()
    }

    pub(crate) fn expunge(&mut self, uids: &[Uid]) -> Result<Vec<Uid>, Error> {
        let mut gone = Vec::new();
        let mut from = Vec::new();
        let mut failure = None;
        for uid in uids {
            match self.with_file(*uid, |dir, place| dir.unlink(&place.name).map(|()| place.folder)) {
                Ok(folder) => {
                    gone.push(*uid);
                    from.push(folder);
                }
                Err(Error::NoMessage) => (),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let set: HashSet<Uid> = gone.iter().copied().collect();
        self.dead.extend(&set);
        let mut places = std::mem::take(&mut self.places).into_iter();
        let messages = std::mem::take(&mut self.snapshot.messages);
        for message in messages {
            let place = places.next();
            if set.contains(&message.uid) {
                self.sizes.remove(&message.uid);
            } else {
                self.snapshot.messages.push(message);
                self.places.extend(place);
            }
        }
        self.folders.sync(&from)?;
        gone.sort_unstable();
        match failure {
            // What is gone is gone; the next look tells of it.
            Some(error) => {
                self.pending.merge(crate::Changes { vanished: gone, ..crate::Changes::default() });
                Err(error.write_refused())
            }
            None => Ok(gone),
        }
    }

    pub(crate) fn append(&mut self, messages: &[NewMessage<'_>]) -> Result<Vec<Uid>, Error> {
        self.need_keywords(messages.iter().map(|message| &message.flags))?;
        let mut group = Group::default();
        for message in messages {
            let mut incoming = self.begin_append()?;
            incoming.write(message.content)?;
            self.seal(incoming, (&message.flags, message.date), &mut group)?;
        }
        group.move_in(self)?;
        self.finish(group)
    }

    /// A file in `tmp/`.
    pub(crate) fn begin_append(&self) -> Result<Incoming, Error> {
        let tmp = &self.folders.tmp;
        let (name, file) = create_unique(tmp, &self.tree.naming).map_err(Error::write_refused)?;
        Ok(Incoming::named(file, tmp.clone(), name))
    }

    pub(crate) fn store(&mut self, incoming: Incoming, flags: &Flags, date: Moment) -> Result<Uid, Error> {
        self.need_keywords([flags])?;
        let mut group = Group::default();
        self.seal(incoming, (flags, date), &mut group)?;
        group.move_in(self)?;
        self.finish(group)?.first().copied().ok_or(Error::NoMessage)
    }

    /// Each in a file of its own.
    pub(crate) fn store_all(&mut self, carried: &Carried) -> Result<Vec<Uid>, Error> {
        self.need_keywords(carried.messages.iter().map(|message| &message.flags))?;
        let mut group = Group::default();
        for OnItsWay { range, flags, date } in &carried.messages {
            let mut incoming = self.begin_append()?;
            let (mut from, mut chunk) = (range.start, vec![0; CHUNK]);
            while from < range.end {
                let most = usize::try_from(range.end - from).unwrap_or(CHUNK).min(CHUNK);
                match carried.file().read_at(&mut chunk[..most], from)? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    got => {
                        incoming.write(&chunk[..got])?;
                        from += got as u64;
                    }
                }
            }
            self.seal(incoming, (flags, *date), &mut group)?;
        }
        group.move_in(self)?;
        self.finish(group)
    }

    /// Dates and syncs a file in `tmp/`; its final name tells sizes and flags.
    fn seal(&self, mut incoming: Incoming, about: (&Flags, Moment), group: &mut Group) -> Result<(), Error> {
        let (tmp, (flags, date)) = (&self.folders.tmp, about);
        let wide = incoming.end()?;
        let temporary = incoming.take_name()?;
        group.placed.push(Placed { dir: tmp.clone(), name: temporary.clone() });
        tmp.set_mtime(&temporary, time_of(date))?;
        incoming.file.sync()?;
        let name = format!("{temporary},S={},W={wide}", incoming.size);
        let name = if *flags == Flags::default() { name } else { name::with_flags(&name, flags, &self.keywords) };
        group.plan.push((temporary, name));
        Ok(())
    }

    pub(crate) fn copy(&mut self, uids: &[Uid], to: &mut Self) -> Result<Vec<(Uid, Uid)>, Error> {
        let flags: Vec<Flags> =
            uids.iter().filter_map(|uid| self.snapshot.get(*uid)).map(|m| m.flags.clone()).collect();
        to.need_keywords(&flags)?;
        let (cur, keywords) = (&to.folders.cur, &to.keywords);
        let mut group = Group::default();
        for uid in uids {
            let flags = self.snapshot.get(*uid).ok_or(Error::NoMessage)?.flags.clone();
            let fresh = to.tree.naming.next();
            let target = |place: &Place| name::with_flags(&sized(&fresh, &place.name), &flags, keywords);
            let name = self.link_one(*uid, cur, target)?;
            group.push_final(cur, name);
        }
        let new = to.finish(group)?;
        Ok(uids.iter().copied().zip(new).collect())
    }

    /// As [`Maildir::copy`], into this mailbox itself.
    pub(crate) fn copy_here(&mut self, uids: &[Uid]) -> Result<Vec<(Uid, Uid)>, Error> {
        let (cur, keywords) = (self.folders.cur.clone(), self.keywords.clone());
        let tree = self.tree.clone();
        let mut group = Group::default();
        for uid in uids {
            let fresh = tree.naming.next();
            let target = |place: &Place| {
                let flags = name::flags(&place.name, &keywords);
                name::with_flags(&sized(&fresh, &place.name), &flags, &keywords)
            };
            let name = self.link_one(*uid, &cur, target)?;
            group.push_final(&cur, name);
        }
        let new = self.finish(group)?;
        Ok(uids.iter().copied().zip(new).collect())
    }

    /// A hard link to a message's file; a copy where links are not possible.
    fn link_one(&mut self, uid: Uid, dir: &Dir, target: impl Fn(&Place) -> String) -> Result<String, Error> {
        self.with_file(uid, |from, place| {
            let name = target(place);
            match from.link(&place.name, dir, &name) {
                Err(error) if cannot_link(&error) => copy_file(from, &place.name, dir, &name)?,
                other => other?,
            }
            Ok(name)
        })
    }

    /// The files are in place: syncs the directories, then gives uids. On failure the files go again.
    fn finish(&mut self, mut group: Group) -> Result<Vec<Uid>, Error> {
        let _lock = LockFile::take(&self.dir, uidlist::LOCK, self.tree.timeout)?;
        self.folders.sync(&group.plan.iter().map(|(_, name)| folder_of(name)).collect::<Vec<_>>())?;
        self.read_list()?;
        let from = self.list.len();
        let mut uids = Vec::new();
        for (_, name) in &group.plan {
            // Another process may have seen the file and given it a uid before we had the lock.
            let known = self.list.find(&name::key(name)).map(|record| record.uid);
            let uid = known.or_else(|| self.list.assign(name));
            uids.push(uid.ok_or_else(|| Error::Damaged("no uids are left".into()))?);
        }
        self.write_list(Some(from))?;
        group.placed.clear();
        drop(_lock);
        self.look_harder()?;
        Ok(uids)
    }

    pub(crate) fn writable(&self) -> Result<(), Error> {
        let (name, file) = create_unique(&self.folders.tmp, &self.tree.naming).map_err(Error::write_refused)?;
        drop(file);
        self.folders.tmp.unlink(&name)?;
        Ok(())
    }

    /// Removes what interrupted writers left: on the way to a lock, and in `tmp/` more than 36 hours ago.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        holder::sweep(&self.dir)?;
        for entry in self.folders.tmp.entries()? {
            let Ok(meta) = self.folders.tmp.stat(&entry.name) else { continue };
            if SystemTime::now().duration_since(meta.mtime).is_ok_and(|age| age > LEFT_OVER) {
                let _ = self.folders.tmp.unlink(&entry.name);
            }
        }
        Ok(())
    }
}

const LEFT_OVER: Duration = Duration::from_secs(36 * 3600);

/// Files on their way in; removed again when dropped before they are accepted.
#[derive(Default)]
struct Group {
    placed: Vec<Placed>,
    /// Name in `tmp/` (empty: already in place) and final name.
    plan: Vec<(String, String)>,
}

impl Group {
    fn push_final(&mut self, dir: &Dir, name: String) {
        self.placed.push(Placed { dir: dir.clone(), name: name.clone() });
        self.plan.push((String::new(), name));
    }

    fn move_in(&mut self, to: &Maildir) -> Result<(), Error> {
        for (at, (temporary, name)) in self.plan.iter().enumerate() {
            let dir = to.folders.dir(folder_of(name));
            to.folders.tmp.rename_new(temporary, dir, name)?;
            self.placed[at] = Placed { dir: dir.clone(), name: name.clone() };
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for placed in &self.placed {
            let _ = placed.dir.unlink(&placed.name);
        }
    }
}

/// Where a message of this name goes.
fn folder_of(name: &str) -> Folder {
    if name.contains(":2,") { Folder::Cur } else { Folder::New }
}

/// A fresh base with the sizes of the old name.
pub(super) fn sized(fresh: &str, old: &str) -> String {
    let mut name = fresh.to_owned();
    for letter in ['S', 'W'] {
        if let Some(size) = name::field(old, letter) {
            name += &format!(",{letter}={size}");
        }
    }
    name
}

fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn copy_file(from: &Dir, name: &str, to: &Dir, target: &str) -> io::Result<()> {
    let source = from.open_file(name, Access::Read)?;
    let meta = source.meta()?;
    let copy = to.create(target, 0o600)?;
    let written = source.copy_range(0..meta.size, &copy, 0);
    let kept = written.and_then(|()| to.set_mtime(target, meta.mtime)).and_then(|()| copy.sync());
    if kept.is_err() {
        let _ = to.unlink(target);
    }
    kept
}

fn time_of(moment: Moment) -> SystemTime {
    let seconds = Duration::from_secs(moment.seconds.unsigned_abs());
    if moment.seconds < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds }
}
