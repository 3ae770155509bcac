//! Where one message goes: what the task asks, what `.forward` says, what the configuration says.

use std::path::PathBuf;

use config::mailbox::Delivery;
use handover::{Outcome, Target, What};
use mail::{Address, EnhancedStatus};

use crate::forward;
use crate::message::Message;
use crate::settings::{Settings, Wishes};

/// What is to be done with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into the Maildir with this root.
    Maildir(PathBuf),
    /// Appended to this mbox.
    Mbox(PathBuf),
    /// To this file, as `.forward` or an alias names it.
    File(String),
    /// The standard input of this command.
    Command(String),
    /// Nothing here: this is the answer.
    Answer(Outcome),
}

/// Decides.
#[must_use]
pub fn route(settings: &Settings, message: &Message) -> Step {
    if message.has_been_here() {
        let text = format!("mail forwarding loop for {}", message.task.recipient);
        return Step::Answer(Outcome::Bounced(EnhancedStatus::new(5, 4, 6), text));
    }
    match &message.task.what {
        What::Mailbox => mailbox(settings),
        What::Command(command) => Step::Command(command.clone()),
        What::File(file) => Step::File(file.clone()),
        What::User if settings.owner.wishes == Wishes::Ignored => mailbox(settings),
        What::User => match forward::read(settings, &message.task.extension) {
            Ok(None) => mailbox(settings),
            Ok(Some(targets)) => forwarded(settings, message, &targets),
            Err(why) => wait(why),
        },
        What::Listed(item) => match forward::read(settings, &message.task.extension) {
            Ok(targets) => listed(settings, message, item, &targets.unwrap_or_default()),
            Err(why) => wait(why),
        },
    }
}

fn mailbox(settings: &Settings) -> Step {
    match &settings.delivery {
        Delivery::Command(command) => Step::Command(command.clone()),
        Delivery::Maildir(root) => Step::Maildir(root.clone()),
        Delivery::Mbox(path) => Step::Mbox(path.clone()),
    }
}

/// One destination is served at once; several become recipients of their own, so that each is tried until it is done.
fn forwarded(settings: &Settings, message: &Message, targets: &[Target]) -> Step {
    if let [only] = targets {
        match only {
            Target::Command(command) => return Step::Command(command.clone()),
            Target::File(file) => return Step::File(file.clone()),
            Target::Mailbox(user) if *user == settings.owner.name => return mailbox(settings),
            Target::Address(address) if is_owner(settings, message, address) => return mailbox(settings),
            Target::Address(_) | Target::Include(_) | Target::Mailbox(_) => {}
        }
    }
    let mut list: Vec<Address> = Vec::new();
    for target in targets {
        let Some(address) = recipient(settings, message, target) else {
            return wait(format!("a destination in the .forward of {} is too long", settings.owner.name));
        };
        if !list.contains(&address) {
            list.push(address);
        }
    }
    Step::Answer(Outcome::Expanded(list.into()))
}

/// An item of `.forward` as a recipient of its own; `local` takes it apart again.
fn recipient(settings: &Settings, message: &Message, target: &Target) -> Option<Address> {
    let name = &settings.owner.name;
    let local = match target {
        Target::Address(address) if is_owner(settings, message, address) => format!("\\{name}"),
        Target::Address(address) => {
            let address = address.clone();
            return Some(match message.task.recipient.domain() {
                Some(domain) => address.qualified(domain),
                None => address,
            });
        }
        Target::Command(command) => format!("{name}|{command}"),
        Target::File(file) | Target::Include(file) => format!("{name}{file}"),
        Target::Mailbox(user) => format!("\\{user}"),
    };
    Address::new(&local, message.task.recipient.domain().cloned()).ok()
}

/// The owner's own address: mail for it stays here instead of going round.
fn is_owner(settings: &Settings, message: &Message, address: &Address) -> bool {
    let recipient = &message.task.recipient;
    let same_domain = address.domain().is_none() || address.domain() == recipient.domain();
    let name = address.local();
    same_domain && (name.eq_ignore_ascii_case(recipient.local()) || name.eq_ignore_ascii_case(&settings.owner.name))
}

/// A command or file that became a recipient of its own is obeyed only while `.forward` still lists it.
fn listed(settings: &Settings, message: &Message, item: &str, targets: &[Target]) -> Step {
    for target in targets {
        match target {
            Target::Command(command) if item.strip_prefix('|') == Some(command) => {
                return Step::Command(command.clone());
            }
            Target::File(file) if item == file => return Step::File(file.clone()),
            Target::Address(_) | Target::Command(_) | Target::File(_) | Target::Include(_) | Target::Mailbox(_) => {}
        }
    }
    if targets.is_empty() {
        let name = &settings.owner.name;
        let text = format!("unknown user: \"{}\"", message.task.recipient.local());
        return match message.task.recipient.local() == name {
            // The owner emptied .forward meanwhile: the mailbox is where mail goes now.
            true => mailbox(settings),
            false => Step::Answer(Outcome::Bounced(EnhancedStatus::new(5, 1, 1), text)),
        };
    }
    forwarded(settings, message, targets)
}

fn wait(why: String) -> Step {
    Step::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), why))
}
