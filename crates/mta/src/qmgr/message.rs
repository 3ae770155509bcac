//! A message in delivery, as `qmgr` holds it in memory: who is left, what became of the others, what is not noted yet.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use durable::File;
use handover::relay::{DsnSupport, Remote, Stage, Terms};
use handover::{Body, Expansion, Outcome};
use mail::{Address, Domain, EnhancedStatus, QueueId, Recipient};
use spool::{QueueFile, Readers};

use super::prompt::Loan;
use super::settle::Lot;
use super::windows::{Age, Name, Windows};
use crate::bounce::{Action, Fate};

/// What the operator wants done with a message once nothing of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Put aside.
    Hold,
    /// Gone, and nobody is told.
    Delete,
}

/// A message in delivery.
pub struct Message {
    /// Its name.
    pub id: QueueId,
    /// Its sender, and what else holds for all recipients.
    pub terms: Terms,
    /// The content filter that it goes to first.
    pub filter: Option<String>,
    /// Whether it was tried before.
    pub age: Age,
    /// When it came.
    pub arrival: SystemTime,
    /// When it was taken up.
    pub active: SystemTime,
    /// Where in the file it is.
    pub content: Range<u64>,
    /// The queue file, for its recorder.
    pub file: Arc<Mutex<QueueFile>>,
    /// What goes to the delivery programs; `None`: there was no descriptor left.
    pub body: Option<Body>,
    /// Recipients, numbered as in the file.
    pub slots: Vec<Slot>,
    /// How many recipients wait or are with `local`.
    pub open: usize,
    /// What is not in the file yet.
    pub notes: Notes,
    /// What the operator wants.
    pub wish: Option<Wish>,
    /// Whose next hops are tried although they are left in peace.
    pub urgent: Option<Urgent>,
    /// Who may still have the file open when nothing is open any more.
    pub readers: Readers,
    /// Whose it is, until it is ours.
    pub(super) loan: Option<Loan>,
    places: Option<HashMap<(String, Option<String>), usize>>,
}

/// Recipients somebody wants a try for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// All of a message.
    All,
    /// Those of this domain.
    Of(Domain),
}

impl Urgent {
    /// This one is among them.
    #[must_use]
    pub fn includes(&self, recipient: &Address) -> bool {
        match self {
            Self::All => true,
            Self::Of(domain) => recipient.domain() == Some(domain),
        }
    }
}

/// One recipient.
pub struct Slot {
    /// Who.
    pub recipient: Recipient,
    /// Whose alias or `.forward` named him.
    pub parent: Option<usize>,
    /// The sender he has instead of the message's: the owner of the list.
    pub sender: Option<Address>,
    /// Where he waits or waited for his turn, if he is relayed.
    pub to: Option<Name>,
    /// How far he is.
    pub state: State,
    /// The host that said so.
    pub remote: Option<Remote>,
}

/// How far a recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for a turn, or is with `local`.
    Open,
    /// Finished before this try, or became others.
    Finished,
    /// Became many others, and the sender wants to hear of success.
    Expanded,
    /// Delivered in this try.
    Sent(EnhancedStatus, String),
    /// Never.
    Failed(EnhancedStatus, String),
    /// Not now.
    Deferred(EnhancedStatus, String),
}

/// What is not in the queue file yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Recipients that became others, with the number of the first of them. To be written first: it gives the others
    /// their numbers.
    pub expanded: Vec<Expanded>,
    /// Recipients that are done.
    pub sent: Vec<usize>,
}

/// A recipient that became others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// Its number.
    pub slot: usize,
    /// The number of the first of the others.
    pub first: usize,
    /// The others.
    pub into: Vec<Recipient>,
    /// The sender they get.
    pub owner: Option<Address>,
}

/// A queue file, for others to read.
pub(super) fn body_of(file: &File) -> Option<Body> {
    match file.octets() {
        Some(octets) => Some(Body::Enclosed(octets)),
        None => file.lend().and_then(|fd| fd.try_clone_to_owned()).ok().map(|fd| Body::File(Arc::new(fd))),
    }
}

impl Message {
    /// From its queue file.
    #[must_use]
    pub fn new(file: QueueFile, age: Age) -> Self {
        let slots: Vec<Slot> = file
            .slots
            .iter()
            .map(|slot| Slot {
                recipient: slot.recipient.clone(),
                parent: slot.parent.map(|parent| parent as usize),
                sender: slot.sender.clone(),
                to: None,
                state: if slot.progress.is_finished() { State::Finished } else { State::Open },
                remote: None,
            })
            .collect();
        Self {
            id: file.id,
            terms: Terms {
                sender: file.envelope.reverse_path.clone(),
                envid: file.envelope.envid.clone(),
                ret: file.envelope.ret,
                body: file.envelope.body,
                smtputf8: file.envelope.smtputf8,
                stage: if file.envelope.filter.is_some() { Stage::Filter } else { Stage::Leaving },
            },
            filter: file.envelope.filter.clone(),
            age,
            arrival: file.arrival,
            active: SystemTime::now(),
            content: file.content.clone(),
            body: body_of(&file.file),
            open: slots.iter().filter(|slot| slot.state == State::Open).count(),
            slots,
            file: Arc::new(Mutex::new(file)),
            notes: Notes::default(),
            wish: None,
            urgent: None,
            readers: Readers::None,
            loan: None,
            places: None,
        }
    }

    /// Takes the last word about a recipient. What comes back are the numbers of recipients that are new thereby.
    pub fn take(&mut self, slot: usize, outcome: Outcome) -> Range<usize> {
        let state = match outcome {
            Outcome::Sent(status, text) => {
                self.notes.sent.push(slot);
                State::Sent(status, text)
            }
            Outcome::Bounced(status, text) => State::Failed(status, text),
            Outcome::Deferred(status, text) => State::Deferred(status, text),
            Outcome::Expanding(list) => return self.expand(slot, list.into()),
            Outcome::Expanded(expansion) => return self.expand(slot, expansion),
        };
        self.close(slot, state);
        0..0
    }

    fn close(&mut self, slot: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(slot)
            && slot.state == State::Open
        {
            slot.state = state;
            self.open -= 1;
        }
    }

    /// A recipient becomes others. Who is a recipient already is not told twice; who named this one in the first place,
    /// by whatever detour, makes a loop.
    fn expand(&mut self, slot: usize, Expansion { into: list, owner }: Expansion) -> Range<usize> {
        let Some((mut parent, own)) = self.slots.get(slot).map(|slot| (slot.recipient.clone(), slot.sender.clone()))
        else {
            return 0..0;
        };
        if let Some(back) = list.iter().find(|address| self.descends_from(slot, address)) {
            let text = format!("mail forwarding loop for {back}");
            self.close(slot, State::Failed(EnhancedStatus::new(5, 4, 6), text));
            return 0..0;
        }
        let slots = &self.slots;
        let places = self.places.get_or_insert_with(|| {
            slots.iter().enumerate().map(|(place, slot)| (folded(&slot.recipient.address), place)).collect()
        });
        // RFC 3461 §5.2.7.3: of an address that stands for many, that is the success.
        let told = list.len() > 1 && parent.notify.is_some_and(|notify| notify.success);
        if told && let Some(notify) = &mut parent.notify {
            notify.success = false;
        }
        // The null sender stays: nothing is told about a notice.
        let owner = owner.filter(|_| self.terms.sender.is_some());
        let first = self.slots.len();
        let mut into = Vec::new();
        for address in list {
            let key = folded(&address);
            if places.contains_key(&key) {
                continue;
            }
            places.insert(key, first + into.len());
            let original = parent.original.clone().unwrap_or_else(|| parent.address.clone());
            into.push(Recipient { address, original: Some(original), ..parent.clone() });
        }
        self.slots.extend(into.iter().map(|recipient| Slot {
            recipient: recipient.clone(),
            parent: Some(slot),
            sender: owner.clone().or_else(|| own.clone()),
            to: None,
            state: State::Open,
            remote: None,
        }));
        self.open += into.len();
        self.notes.expanded.push(Expanded { slot, first, into, owner });
        self.close(slot, if told { State::Expanded } else { State::Finished });
        first..self.slots.len()
    }

    fn descends_from(&self, slot: usize, address: &Address) -> bool {
        let mut at = Some(slot);
        // Parents have lower numbers, so this ends.
        while let Some(place) = at {
            let Some(slot) = self.slots.get(place) else { return false };
            if slot.recipient.address == *address {
                return true;
            }
            at = slot.parent.filter(|parent| *parent < place);
        }
        false
    }

    /// The sender that a recipient sees.
    #[must_use]
    pub fn sender_for(&self, slot: &Slot) -> Option<Address> {
        slot.sender.clone().or_else(|| self.terms.sender.clone())
    }

    /// Recipients that are open.
    #[must_use]
    pub fn open_slots(&self) -> Vec<usize> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.state == State::Open).map(|(place, _)| place).collect()
    }

    /// The one destination that all who have to wait wait for.
    #[must_use]
    pub fn only_destination(&self) -> Option<Name> {
        let mut late = self.slots.iter().filter(|slot| slot.deferred().is_some()).map(|slot| &slot.to);
        let first = late.next()?.clone()?;
        late.all(|to| to.as_ref() == Some(&first)).then_some(first)
    }

    /// How many have to wait for destinations that are left in peace.
    #[must_use]
    pub fn waiting_for_the_parked(&self, windows: &Windows) -> usize {
        let parked = |slot: &&Slot| slot.to.as_ref().is_some_and(|to| windows.parked(to).is_some());
        self.slots.iter().filter(|slot| slot.deferred().is_some()).filter(parked).count()
    }

    /// What became of recipients, as far as `pick` wants to hear of it.
    pub fn lots(&self, pick: impl Fn(&Slot) -> Option<(Action, EnhancedStatus, &str)>) -> Vec<Lot> {
        let lot = |(place, slot): (usize, &Slot)| {
            let (action, status, text) = pick(slot)?;
            let (recipient, remote) = (slot.recipient.clone(), slot.remote.clone());
            let fate = Fate { recipient, action, status, text: text.to_owned(), remote };
            Some(Lot { slot: place, sender: self.sender_for(slot), fate })
        };
        self.slots.iter().enumerate().filter_map(lot).collect()
    }
}

impl Slot {
    /// Failed in this try.
    #[must_use]
    pub fn failed(&self) -> Option<(Action, EnhancedStatus, &str)> {
        match &self.state {
            State::Failed(status, text) => Some((Action::Failed, *status, text)),
            _ => None,
        }
    }

    /// Has to wait since this try.
    #[must_use]
    pub fn deferred(&self) -> Option<(Action, EnhancedStatus, &str)> {
        match &self.state {
            State::Deferred(status, text) => Some((Action::Delayed, *status, text)),
            _ => None,
        }
    }

    /// Succeeded in this try, and telling of it is asked for and is our affair.
    #[must_use]
    pub fn succeeded(&self) -> Option<(Action, EnhancedStatus, &str)> {
        let asked = self.recipient.notify.is_some_and(|notify| notify.success);
        let action = match self.remote.as_ref().map(|remote| remote.dsn) {
            None => Action::Delivered,
            Some(DsnSupport::Lacking) => Action::Relayed,
            Some(DsnSupport::Passed) => return None,
        };
        match &self.state {
            State::Sent(status, text) if asked => Some((action, *status, text)),
            State::Expanded => {
                Some((Action::Expanded, EnhancedStatus::OK, "forwarded to all that the address stands for"))
            }
            _ => None,
        }
    }
}

/// Addresses that are the same mailbox, as far as that can be known here.
fn folded(address: &Address) -> (String, Option<String>) {
    let local = address.local();
    // What an alias or `.forward` lists is no name.
    let local = if local.contains(['\\', '|', '/']) { local.to_owned() } else { local.to_lowercase() };
    (local, address.domain().map(|domain| domain.as_str().to_owned()))
}
