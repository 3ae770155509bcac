//! A message in delivery, as `qmgr` holds it in memory: who is left, what became of the others, what is not noted yet.

use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use handover::Outcome;
use mail::{Address, EnhancedStatus, QueueId, Recipient};
use spool::{QueueFile, Readers};

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
    /// The reverse path.
    pub sender: Option<Address>,
    /// When it came.
    pub arrival: SystemTime,
    /// When it was taken up.
    pub active: SystemTime,
    /// Where in the file it is.
    pub content: Range<u64>,
    /// The queue file, for its recorder.
    pub file: Arc<Mutex<QueueFile>>,
    /// The descriptor that goes to `local`.
    pub descriptor: Option<Arc<OwnedFd>>,
    /// Recipients, numbered as in the file.
    pub slots: Vec<Slot>,
    /// How many recipients wait or are with `local`.
    pub open: usize,
    /// What is not in the file yet.
    pub notes: Notes,
    /// What the operator wants.
    pub wish: Option<Wish>,
    /// Who may still have the file open when nothing is open any more.
    pub readers: Readers,
    places: Option<HashMap<Address, usize>>,
}

/// One recipient.
pub struct Slot {
    /// Who.
    pub recipient: Recipient,
    /// Whose alias or `.forward` named him.
    pub parent: Option<usize>,
    /// How far he is.
    pub state: State,
}

/// How far a recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for a turn, or is with `local`.
    Open,
    /// Finished before this try, or became others.
    Finished,
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
    pub expanded: Vec<(usize, usize, Vec<Recipient>)>,
    /// Recipients that are done.
    pub sent: Vec<usize>,
}

impl Message {
    /// From its queue file.
    #[must_use]
    pub fn new(file: QueueFile) -> Self {
        let slots: Vec<Slot> = file
            .slots
            .iter()
            .map(|slot| Slot {
                recipient: slot.recipient.clone(),
                parent: slot.parent.map(|parent| parent as usize),
                state: if slot.progress.is_finished() { State::Finished } else { State::Open },
            })
            .collect();
        Self {
            id: file.id,
            sender: file.envelope.reverse_path.clone(),
            arrival: file.arrival,
            active: SystemTime::now(),
            content: file.content.clone(),
            descriptor: file.file.fd().and_then(|fd| fd.try_clone_to_owned().ok()).map(Arc::new),
            open: slots.iter().filter(|slot| slot.state == State::Open).count(),
            slots,
            file: Arc::new(Mutex::new(file)),
            notes: Notes::default(),
            wish: None,
            readers: Readers::None,
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
            Outcome::Expanding(list) | Outcome::Expanded(list) => return self.expand(slot, list),
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
    fn expand(&mut self, slot: usize, list: Vec<Address>) -> Range<usize> {
        let Some(parent) = self.slots.get(slot).map(|slot| slot.recipient.clone()) else { return 0..0 };
        if let Some(back) = list.iter().find(|address| self.descends_from(slot, address)) {
            let text = format!("mail forwarding loop for {back}");
            self.close(slot, State::Failed(EnhancedStatus::new(5, 4, 6), text));
            return 0..0;
        }
        let slots = &self.slots;
        let places = self.places.get_or_insert_with(|| {
            slots.iter().enumerate().map(|(place, slot)| (slot.recipient.address.clone(), place)).collect()
        });
        let first = self.slots.len();
        let mut into = Vec::new();
        for address in list {
            if places.contains_key(&address) {
                continue;
            }
            places.insert(address.clone(), first + into.len());
            let original = parent.original.clone().unwrap_or_else(|| parent.address.clone());
            into.push(Recipient { address, original: Some(original), ..parent.clone() });
        }
        self.slots.extend(into.iter().map(|recipient| Slot {
            recipient: recipient.clone(),
            parent: Some(slot),
            state: State::Open,
        }));
        self.open += into.len();
        self.notes.expanded.push((slot, first, into));
        self.close(slot, State::Finished);
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

    /// Recipients whose state is of this kind.
    pub fn with<'m, T>(&'m self, pick: impl Fn(&'m State) -> Option<T>) -> Vec<(usize, T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(place, slot)| pick(&slot.state).map(|picked| (place, picked)))
            .collect()
    }
}
