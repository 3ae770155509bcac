//! The queue's directories: there, owned by who must write them, closed to everybody else.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Uid, User};

use super::{Fault, Patient};

/// Directories with the wrong owner or mode.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let root = Path::new(patient.config.text("queue_directory"));
    // It is made at the first start.
    let Ok(top) = fs::metadata(root) else { return Vec::new() };
    let owner = match patient.is_trial() {
        true => Some(top.uid()),
        false => User::from_name(patient.config.text("mail_owner")).ok().flatten().map(|user| user.uid.as_raw()),
    };
    let Some(owner) = owner else { return Vec::new() };
    let names = ["maildrop", "incoming", "active", "deferred", "hold", "corrupt"];
    names.iter().filter_map(|name| wrong(&root.join(name), owner)).collect()
}

fn wrong(path: &Path, owner: u32) -> Option<Fault> {
    let shown = path.display();
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let sentence = format!("The directory {shown} of the queue is missing.");
            return Some(Fault::new(sentence, "facteur stop mta; facteur start mta   # makes it again"));
        }
        meta => meta.ok()?,
    };
    let name =
        |uid: u32| User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    if meta.uid() != owner {
        let sentence =
            format!("{shown} belongs to {}, but {} must write there: mail is stuck.", name(meta.uid()), name(owner));
        return Some(Fault::new(sentence, format!("chown -R {} {shown}", name(owner))));
    }
    if meta.mode() & 0o300 != 0o300 {
        return Some(Fault::new(
            format!("{shown} may not be written by its owner: mail is stuck."),
            format!("chmod u+rwx {shown}"),
        ));
    }
    if meta.mode() & 0o002 != 0 {
        return Some(Fault::new(format!("{shown} may be written by everybody."), format!("chmod o-rwx {shown}")));
    }
    None
}
