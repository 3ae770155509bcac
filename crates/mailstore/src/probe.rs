//! Files that others write, as the fuzzer brings them: read, given back, and read again the same. Panics where a promise is
//! broken; of no use otherwise.

use std::io;
use std::path::Path;
use std::time::Duration;

use durable::forgetful::Forgetful;

use crate::maildir::keywords::Keywords;
use crate::maildir::uidlist::UidList;
use crate::mbox::folder::Mbox;
use crate::mbox::lock::Place;
use crate::{Error, FlagChange};

/// Any octets are an mbox: its messages get uids that stay, their sizes are what is read, and changes keep them.
///
/// # Errors
/// None on a disk in memory.
pub fn mbox(octets: &[u8]) -> Result<(), Error> {
    let disk = Forgetful::default();
    disk.root().create("kevin", 0o600)?.append(octets)?;
    let open = || {
        let place = Place { dir: disk.root(), name: "kevin".into(), privileged: None, timeout: Duration::ZERO };
        Mbox::open(place, Path::new("/nonexistent"), 0)
    };
    let mut first = open()?;
    let messages = first.snapshot().clone().messages;
    let mut contents = Vec::new();
    for message in &messages {
        let content = first.read(message.uid)?;
        assert_eq!(content.len() as u64, first.size(message.uid)?);
        let mut reading = first.begin(message.uid)?;
        assert!(content.starts_with(&first.read_from(&mut reading, 0, 50)?));
        contents.push(content);
    }
    let mut flags = mail::Flags::default();
    flags.set(mail::Flag::Flagged);
    let uids: Vec<mail::Uid> = messages.iter().map(|message| message.uid).collect();
    first.set_flags(&uids, &FlagChange::Add(flags))?;
    first.expunge(&uids[..uids.len().min(1)])?;
    let mut again = open()?;
    let left: Vec<mail::Uid> = again.snapshot().messages.iter().map(|message| message.uid).collect();
    assert_eq!(left, uids.get(1..).unwrap_or_default());
    for (uid, content) in uids.iter().zip(&contents).skip(1) {
        assert_eq!(String::from_utf8_lossy(&again.read(*uid)?), String::from_utf8_lossy(content));
    }
    Ok(())
}

/// Any text as `dovecot-uidlist` and `dovecot-keywords`: what is understood is written as it is read.
///
/// # Errors
/// Never.
pub fn control_files(text: &str) -> io::Result<()> {
    let keywords = Keywords::parse(text);
    assert_eq!(Keywords::parse(&keywords.text()), keywords);
    let Some(mut list) = UidList::parse(text) else { return Ok(()) };
    let before = list.len();
    let given = list.assign("1795191067.M1P1.fuzz,S=3:2,S");
    list.complete(|| "0".repeat(32));
    let again = UidList::parse(&list.text()).ok_or(io::ErrorKind::InvalidData)?;
    assert_eq!((again.records(), again.next()), (list.records(), list.next()));
    assert!(again.is_appendable() && again.len() == before + usize::from(given.is_some()));
    Ok(())
}
