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
    let Person { name, home, .. } = person;
    let written = match delivery(patient.config, name, home) {
        Delivery::Command(_) => return None,
        Delivery::Maildir(path) | Delivery::Mbox(path) => path,
    };
    // Without a slash at the end, behind which a link would be followed.
    let box_path: PathBuf = written.components().collect();
    if box_path.starts_with(home) {
        match fs::metadata(home) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let sentence =
                    format!("The home of {name}, {}, is missing, so mail cannot be delivered.", home.display());
                return Some(Fault::new(sentence, format!("install -d -o {name} {}", home.display())));
            }
            meta => {
                if let Some(fault) = closed(person, home, &meta.ok()?, patient) {
                    return Some(fault);
                }
            }
        }
    }
    // None yet: the first delivery makes it.
    let meta = fs::symlink_metadata(&box_path).ok()?;
    let inside = ["new", "tmp", "cur"].map(|part| box_path.join(part));
    let mut fault = closed(person, &box_path, &meta, patient);
    for path in inside.iter().filter(|_| meta.is_dir()) {
        fault = fault.or_else(|| closed(person, path, &fs::symlink_metadata(path).ok()?, patient));
    }
    fault
}

/// Not the user's, or not writable.
fn closed(person: &Person, path: &Path, meta: &Metadata, patient: &Patient) -> Option<Fault> {
    let (name, shown) = (&person.name, path.display());
    let needed = if meta.is_dir() { 0o300 } else { 0o200 };
    if meta.uid() != person.uid {
        let sentence = format!("{shown} does not belong to {name}, so mail for {name} cannot be delivered or read.");
        let spool = Path::new(patient.config.text("mail_spool_directory"));
        return Some(Fault::new(sentence, given_back(person, path, spool)));
    }
    if meta.mode() & needed != needed {
        let sentence = format!("{shown} may not be written, so mail for {name} cannot be delivered or read.");
        return Some(Fault::new(sentence, format!("chmod u+rwX {shown}")));
    }
    None
}

/// The command that makes a mailbox its owner's again. Root will obey it, so all that is beneath is given away only of
/// what lies, after all links, in the home or the mail spool.
fn given_back(Person { name, home, .. }: &Person, path: &Path, spool: &Path) -> String {
    let shown = path.display();
    let Ok(real) = path.canonicalize() else { return format!("ls -l {shown}") };
    let beneath = |place: &Path| place.canonicalize().is_ok_and(|place| real != place && real.starts_with(place));
    match real.is_dir() {
        true if beneath(home) || beneath(spool) => format!("chown -R {name} {shown}"),
        _ if path == home || beneath(home) || beneath(spool) => format!("chown -h {name} {shown}"),
        _ => format!("ls -l {shown}   # neither in {} nor in {}: see to it by hand", home.display(), spool.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mailbox in the home that is a link to elsewhere is its owner's trap for root.
    #[test]
    fn nothing_outside_home_and_spool_is_given_away() {
        let place = tempfile::tempdir().expect("tempdir");
        let (home, etc) = (place.path().join("kevin"), place.path().join("etc"));
        fs::create_dir_all(home.join("Maildir")).and_then(|()| fs::create_dir(&etc)).expect("directories");
        fs::write(home.join("mbox"), "").expect("a file");
        std::os::unix::fs::symlink(&etc, home.join("link")).expect("a link");
        let person = Person::at("kevin", &home);
        let told = |path: &Path| given_back(&person, path, Path::new("/var/mail"));
        assert_eq!(told(&home.join("Maildir")), format!("chown -R kevin {}/Maildir", home.display()));
        assert_eq!(told(&home.join("mbox")), format!("chown -h kevin {}/mbox", home.display()));
        assert_eq!(told(&home), format!("chown -h kevin {}", home.display()));
        for outside in [home.join("link"), etc] {
            assert!(told(&outside).starts_with("ls -l "), "{}", told(&outside));
        }
    }
}
