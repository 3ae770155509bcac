//! Mailboxes that cannot be written, and readers that look at another place than mail goes to.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use config::mailbox::{Delivery, delivery};

use super::logins::{Person, people};
use super::{Fault, Patient};

/// Mail is delivered to one place and read from another.
pub(super) fn places(patient: &Patient) -> Vec<Fault> {
    let fault = |text: String| {
        let (what, _) = text.split_once(": ").unwrap_or((&text, ""));
        let mut letters = what.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        let mend = match patient.config.source("mail_location") {
            Some(source) if source.file.extension().is_some_and(|end| end == "conf") => {
                format!("editor +{} {} && {}", source.line, source.file.display(), patient.facteur("reload"))
            }
            _ => patient.set("unset mail_location"),
        };
        Fault::new(format!("{first}{}.", letters.as_str()), mend)
    };
    config::mailbox::mismatch(patient.config).map(fault).into_iter().collect()
}

/// Mailboxes that their owners may not write.
pub(super) fn check(patient: &Patient) -> Vec<Fault> {
    let mut found = spool_directory(patient);
    found.extend(people(patient.config).iter().filter_map(|person| wrong(patient, person)));
    found
}

/// `/var/mail` must exist where mail goes there.
fn spool_directory(patient: &Patient) -> Vec<Fault> {
    let dir = Path::new(patient.config.text("mail_spool_directory"));
    let used = patient.config.text("home_mailbox").is_empty() && patient.config.text("mailbox_command").is_empty();
    let shown = dir.display();
    match fs::metadata(dir) {
        Err(error) if used && error.kind() == ErrorKind::NotFound => {
            let mend = format!("install -d -m 2775 -g {} {shown}", patient.config.text("mail_privileged_group"));
            vec![Fault::new(format!("{shown}, where mail goes, is missing."), mend)]
        }
        _ => Vec::new(),
    }
}

fn wrong(patient: &Patient, person: &Person) -> Option<Fault> {
    let Person { name, uid, home, .. } = person;
    let box_path: PathBuf = match delivery(patient.config, name, home) {
        Delivery::Command(_) => return None,
        Delivery::Maildir(path) | Delivery::Mbox(path) => path,
    };
    if box_path.starts_with(home) {
        match fs::metadata(home) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let sentence =
                    format!("The home of {name}, {}, is missing, so mail cannot be delivered.", home.display());
                return Some(Fault::new(sentence, format!("install -d -o {name} {}", home.display())));
            }
            meta => {
                if let Some(fault) = closed(name, *uid, home, &meta.ok()?) {
                    return Some(fault);
                }
            }
        }
    }
    // None yet: the first delivery makes it.
    let meta = fs::symlink_metadata(&box_path).ok()?;
    let inside = ["new", "tmp", "cur"].map(|part| box_path.join(part));
    let mut fault = closed(name, *uid, &box_path, &meta);
    for path in inside.iter().filter(|_| meta.is_dir()) {
        fault = fault.or_else(|| closed(name, *uid, path, &fs::symlink_metadata(path).ok()?));
    }
    fault
}

/// Not the user's, or not writable.
fn closed(name: &str, uid: u32, path: &Path, meta: &Metadata) -> Option<Fault> {
    let shown = path.display();
    let needed = if meta.is_dir() { 0o300 } else { 0o200 };
    if meta.uid() != uid {
        let sentence = format!("{shown} does not belong to {name}, so mail for {name} cannot be delivered or read.");
        return Some(Fault::new(sentence, format!("chown -R {name} {shown}")));
    }
    if meta.mode() & needed != needed {
        let sentence = format!("{shown} may not be written, so mail for {name} cannot be delivered or read.");
        return Some(Fault::new(sentence, format!("chmod u+rwX {shown}")));
    }
    None
}
