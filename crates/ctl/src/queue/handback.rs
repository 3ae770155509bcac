//! `facteur queue export`: gives what waits in our queue to the mail system that came after us, by its `sendmail`.
//!
//! A message goes from our queue when that `sendmail` has taken it for all who had not got it yet. Held and damaged mail
//! stays and is told. Nothing is done while Facteur itself serves the queue.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use config::Config;
use mail::{Notify, QueueId, Recipient, Ret};
use spool::{OpenError, Queue, QueueFile, Spool};

use super::postfix_file::Letter;
use super::takeover::{Means, send};
use super::{Deed, all, content};

/// `facteur queue export`; exit status 1 if something could not be handed over.
pub(super) fn run(config: &Config, spool: &Spool) -> Result<ExitCode> {
    let own = PathBuf::from(config.text("daemon_directory")).join("facteur-drop");
    if own.exists() {
        bail!("Facteur is installed and serves this queue itself: facteur queue flush");
    }
    let sendmail = Path::new(config.text("command_directory")).join("sendmail");
    let (mut done, mut code) = (0_usize, ExitCode::SUCCESS);
    for (queue, id) in all(spool, &[Queue::Incoming, Queue::Active, Queue::Deferred])? {
        match hand_over(spool, queue, id, &sendmail) {
            Ok(()) => {
                tracing::info!("{id}: {}", Deed::Delete.logged());
                done += 1;
            }
            Err(error) => {
                eprintln!("facteur: {id} stays: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    println!("{done} message{} handed over to {}", if done == 1 { "" } else { "s" }, sendmail.display());
    let left = all(spool, &[Queue::Hold, Queue::Corrupt])?.len();
    if left > 0 {
        println!("{left} on hold or damaged left in {}", config.text("queue_directory"));
    }
    Ok(code)
}

fn hand_over(spool: &Spool, queue: Queue, id: QueueId, sendmail: &Path) -> Result<()> {
    let file = match spool.read(queue, id) {
        Ok(file) => file,
        Err(OpenError::Gone) => return Ok(()),
        Err(OpenError::Damaged(damage)) => bail!("it is damaged: {damage}"),
        Err(OpenError::Disk(error)) => return Err(error).context("it cannot be read"),
    };
    for letter in letters(&file).context("it cannot be read")? {
        send(&Means { sendmail, config: None }, &letter)?;
    }
    spool.remove(queue, id).context("it was handed over and cannot be removed")
}

/// One for each sender: that of a list is its owner.
fn letters(file: &QueueFile) -> io::Result<Vec<Letter>> {
    let mut octets = Vec::new();
    content(file, &mut octets)?;
    let mut open: BTreeMap<String, Vec<&Recipient>> = BTreeMap::new();
    for (_, slot) in file.open_slots() {
        let sender = slot.sender.as_ref().or(file.envelope.reverse_path.as_ref());
        open.entry(sender.map_or_else(String::new, ToString::to_string)).or_default().push(&slot.recipient);
    }
    let ret = file.envelope.ret.map(|ret| match ret {
        Ret::Full => 1,
        Ret::Headers => 2,
    });
    let letter = |(sender, recipients): (String, Vec<&Recipient>)| {
        let first = recipients.first().and_then(|recipient| recipient.notify);
        Letter {
            sender,
            notify: first.filter(|_| recipients.iter().all(|one| one.notify == first)).map(bits),
            recipients: recipients.iter().map(|recipient| recipient.address.to_string()).collect(),
            content: octets.clone(),
            ret,
            envid: file.envelope.envid.clone(),
        }
    };
    Ok(open.into_iter().map(letter).collect())
}

/// As Postfix counts them.
fn bits(notify: Notify) -> u32 {
    let Notify { success, failure, delay } = notify;
    let asked = u32::from(success) * 2 + u32::from(delay) * 4 + u32::from(failure) * 8;
    if asked == 0 { 1 } else { asked }
}
