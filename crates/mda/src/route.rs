//! Where one message goes: what the task asks, what `.forward` says, what the configuration says.

use std::path::PathBuf;

use config::mailbox::Delivery;
use handover::item::{self, List};
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
        What::Listed(_) if settings.owner.wishes == Wishes::Ignored => expanded(settings, message, &[]),
        What::User => match forward::read(settings, &message.task.extension) {
            Ok(None) => mailbox(settings),
            Ok(Some(targets)) => forwarded(settings, message, &targets),
            Err(why) => wait(why),
        },
        What::Listed(sign) => match forward::read(settings, &message.task.extension) {
            Ok(targets) => listed(settings, message, sign, &targets.unwrap_or_default()),
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
    expanded(settings, message, targets)
}

/// Every destination becomes a recipient of its own. Without any, the mailbox is the one.
fn expanded(settings: &Settings, message: &Message, targets: &[Target]) -> Step {
    let name = &settings.owner.name;
    let own = [Target::Mailbox(name.clone())];
    let mut list: Vec<Address> = Vec::new();
    for target in if targets.is_empty() { &own } else { targets } {
        let Some(address) = recipient(settings, message, target) else {
            return wait(format!("a destination in the .forward of {name} is too long"));
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
    let domain = message.task.recipient.domain();
    let local = match target {
        Target::Address(address) if is_owner(settings, message, address) => item::mailbox(name),
        Target::Address(address) => {
            let address = address.clone();
            return Some(match domain {
                Some(domain) => address.qualified(domain),
                None => address,
            });
        }
        Target::Mailbox(user) => item::mailbox(user),
        Target::Command(_) | Target::File(_) | Target::Include(_) => {
            format!("{name}{}", item::sign(List::Forward, name, target)?)
        }
    };
    Address::new(&local, domain.cloned()).ok()
}

/// The owner's own address: mail for it stays here instead of going round.
fn is_owner(settings: &Settings, message: &Message, address: &Address) -> bool {
    let recipient = &message.task.recipient;
    let same_domain = address.domain().is_none() || address.domain() == recipient.domain();
    let name = address.local();
    same_domain && (name.eq_ignore_ascii_case(recipient.local()) || name.eq_ignore_ascii_case(&settings.owner.name))
}

/// A command or file that became a recipient of its own is obeyed only while `.forward` still lists it. Else it becomes
/// what the list is now, the mailbox if that is nothing, as recipients: who has the message already must not get it twice.
fn listed(settings: &Settings, message: &Message, sign: &str, targets: &[Target]) -> Step {
    let name = &settings.owner.name;
    match targets.iter().find(|target| item::is_forwards(name, target, sign)) {
        Some(Target::Command(command)) => Step::Command(command.clone()),
        Some(Target::File(file)) => Step::File(file.clone()),
        // An alias of that name is no more: what is left is its owner, who may have had the message as such.
        None if !sign.starts_with(item::ITSELF) => {
            let domain = message.task.recipient.domain().cloned();
            match Address::new(&format!("{name}{}", item::ITSELF), domain) {
                Ok(owner) => Step::Answer(Outcome::Expanded(vec![owner].into())),
                Err(_) => expanded(settings, message, targets),
            }
        }
        _ => expanded(settings, message, targets),
    }
}

fn wait(why: String) -> Step {
    Step::Answer(Outcome::Deferred(EnhancedStatus::new(4, 3, 5), why))
}
