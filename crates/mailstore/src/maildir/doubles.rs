//! Two files of one key, as a restored backup leaves them beside one another: `NAME:2,` and `NAME:2,S`.
//!
//! A uid belongs to a key, and EXPUNGE of one file would leave the other under the uid that was told as gone. So one of them
//! gets a name of its own, and with it a uid. Nothing is removed. Done under the lock of the uid list, that no two programs of
//! ours rename one each. A crash leaves either name.

use std::io;
use std::mem::{swap, take};

use durable::Meta;

use super::change::sized;
use super::control::LockFile;
use super::folder::Maildir;
use super::name;
use super::scan::{Found, Place};
use super::uidlist;
use crate::Error;

impl Maildir {
    /// Gives doubles names of their own, if they surely are such.
    pub(super) fn part_doubles(&self, found: &mut Found) -> Result<(), Error> {
        let doubles = take(&mut found.doubles);
        if found.stamp.is_none() || doubles.is_empty() {
            return Ok(());
        }
        let _lock = match LockFile::take(&self.dir, uidlist::LOCK, self.tree.timeout) {
            Ok(lock) => lock,
            Err(Error::ReadOnly(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for double in doubles {
            self.part(double, found)?;
        }
        Ok(())
    }

    fn part(&self, mut double: Place, found: &mut Found) -> Result<(), Error> {
        let Some(kept) = found.files.get_mut(&*name::key(&double.name)) else { return Ok(()) };
        if self.places.contains(&double) {
            swap(kept, &mut double);
        }
        // Two names of one file are what some programs rename by: not two messages.
        let identity = |meta: Meta| (meta.device, meta.inode);
        match (self.meta_of(kept)?.map(identity), self.meta_of(&double)?.map(identity)) {
            (Some(one), Some(other)) if one != other => {}
            _ => return Ok(()),
        }
        let dir = self.folders.dir(double.folder);
        let flags = double.name.find(':').map_or("", |at| &double.name[at..]);
        let name = sized(&self.tree.naming.next(), &double.name) + flags;
        match dir.rename_new(&double.name, dir, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => {
                other.map_err(|error| Error::from(error).write_refused())?;
                let folder = double.folder;
                found.files.insert(name::key(&name).into_owned(), Place { name, folder });
            }
        }
        Ok(())
    }

    fn meta_of(&self, place: &Place) -> Result<Option<Meta>, Error> {
        match self.folders.dir(place.folder).stat(&place.name) {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
