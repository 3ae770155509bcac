//! Recipients on their way: each gets in the line its route leads to, is given out to `local` or `smtp` when it has its turn,
//! and what came of it goes back to its message.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use handover::relay::{Contact, Dialect, DsnSupport, Hop, RelayRecipient, Remote};
use handover::{Expansion, Order, Outcome, RelayOrder, Reply, Report};
use mail::{Address, EnhancedStatus, QueueId};
use routes::{Router, Way};
use spool::Readers;
use tokio::sync::mpsc::UnboundedSender;

use super::link::{Event, Sending};
use super::message::{Message, State, Wish};
use super::run::Qmgr;
use super::waiting::micros;
use super::windows::{Name, Pace, Turn, Verdict, Windows};
use crate::local::line::Line;

/// The most recipients with `local` at a time, in all and for one user.
const OPEN_ORDERS: usize = 2000;
const OPEN_ORDERS_EACH: usize = 150;
/// The most orders with `smtp` at a time.
pub(super) const OPEN_RELAYS: usize = 1000;
/// How long mail waits for a delivery program that does not run before it is deferred.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is with `local`, or waits for it.
pub(super) struct Locals {
    windows: Windows,
    orders: UnboundedSender<Sending>,
    /// The number of the connection, while there is one.
    connection: Option<u64>,
    number: u64,
    open: HashMap<u64, OpenLocal>,
}

struct OpenLocal {
    id: QueueId,
    slot: usize,
    to: Name,
    gathered: Vec<Address>,
}

/// What is with `smtp`, or waits for it.
pub(super) struct Relays {
    pub(super) windows: Windows,
    orders: UnboundedSender<Sending<RelayOrder>>,
    connection: Result<u64, Instant>,
    number: u64,
    open: HashMap<u64, OpenRelay>,
    /// The order and the recipient that a number in a report means.
    asked: HashMap<u64, (u64, usize)>,
}

struct OpenRelay {
    id: QueueId,
    to: Name,
    dialect: Dialect,
    /// Numbers whose report is awaited.
    left: Vec<u64>,
}

impl Locals {
    pub(super) fn new(orders: UnboundedSender<Sending>) -> Self {
        let windows = Windows::new(Pace::even(OPEN_ORDERS, OPEN_ORDERS_EACH));
        Self { windows, orders, connection: None, number: 0, open: HashMap::new() }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty()
    }
}

impl Relays {
    pub(super) fn new(orders: UnboundedSender<Sending<RelayOrder>>, pace: Pace) -> Self {
        let windows = Windows::new(pace);
        let connection = Err(Instant::now());
        Self { windows, orders, connection, number: 0, open: HashMap::new(), asked: HashMap::new() }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn until_next(&self) -> Option<Duration> {
        self.windows.next_rest().map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl Qmgr {
    /// Recipients get in line, or learn at once that there is none for them.
    pub(super) fn dispatch(&mut self, id: QueueId, slots: impl IntoIterator<Item = usize>) {
        for slot in slots {
            let Some(message) = self.active.get_mut(&id) else { return };
            let Some(at) = message.slots.get(slot) else { continue };
            if message.wish.is_some() {
                let text = "stopped by the operator".to_owned();
                message.take(slot, Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
                continue;
            }
            let sender = message.sender_for(at);
            let way = match &message.filter {
                Some(filter) => Router::filter(filter, &at.recipient.address),
                None => self.router.way(sender.as_ref(), &at.recipient.address),
            };
            if !matches!(way, Way::Local) && message.wait_for_commit(slot) {
                continue;
            }
            let Some(at) = message.slots.get(slot) else { continue };
            match way {
                Way::Local => {
                    let user = Windows::user(&at.recipient.address);
                    self.locals.windows.push(&user, (id, slot), message.age);
                }
                Way::Relay { transport, hop } => {
                    let to = format!("{transport}:{}", hop.text);
                    // One that is tried now by order is so alone: others go on leaving the next hop in peace.
                    let urgent = message.urgent.as_ref().is_some_and(|urgent| urgent.includes(&at.recipient.address));
                    if let Some(parked) = self.relays.windows.parked(&to).filter(|_| !urgent) {
                        let outcome = parked.outcome();
                        message.slots[slot].to = Some(to.into());
                        settle_here(message, slot, outcome);
                    } else {
                        let name = self.relays.windows.push(&to, (id, slot), message.age);
                        message.slots[slot].to = Some(name);
                    }
                }
                Way::Settled(Outcome::Bounced(status, text)) if self.soft_bounce => {
                    settle_here(message, slot, Outcome::Deferred(EnhancedStatus { class: 4, ..status }, text));
                }
                Way::Settled(outcome) => settle_here(message, slot, outcome),
                Way::Hold(reason) => {
                    message.wish = Some(Wish::Hold);
                    settle_here(message, slot, Outcome::Deferred(EnhancedStatus::new(4, 7, 0), reason));
                }
            }
        }
    }

    /// Gives recipients out as far as the windows allow.
    pub(super) fn give_out(&mut self) {
        while let Some(connection) = self.locals.connection
            && let Some(turn) = self.locals.windows.serve()
        {
            self.give_to_local(connection, turn);
        }
        while let Ok(connection) = self.relays.connection
            && let Some(turn) = self.relays.windows.serve()
        {
            self.give_to_smtp(connection, turn);
        }
    }

    fn give_to_local(&mut self, connection: u64, Turn { to, id, slots }: Turn) {
        let Some(slot) = slots.first().copied() else { return };
        let Some(message) = self.active.get(&id) else { return };
        let Some(body) = message.body.clone() else {
            self.locals.windows.landed(&to, Verdict::Nothing);
            self.out_of_descriptors(id, &slots);
            return;
        };
        let Some(at) = message.slots.get(slot) else { return };
        self.locals.number += 1;
        let number = self.locals.number;
        let order = Order {
            number,
            id,
            arrival: micros(message.arrival),
            active: micros(message.active),
            sender: message.sender_for(at),
            recipient: at.recipient.address.clone(),
            original: at.recipient.original.clone(),
            offset: message.content.start,
            length: message.content.end - message.content.start,
        };
        self.locals.open.insert(number, OpenLocal { id, slot, to, gathered: Vec::new() });
        let _ = self.locals.orders.send(Sending { connection, order, body });
    }

    fn give_to_smtp(&mut self, connection: u64, Turn { to, id, slots }: Turn) {
        let Some(message) = self.active.get(&id) else { return };
        let Some(body) = message.body.clone() else {
            self.relays.windows.landed(&to, Verdict::Nothing);
            self.out_of_descriptors(id, &slots);
            return;
        };
        let relays = &mut self.relays;
        relays.number += 1;
        let number = relays.number;
        let (transport, text) = to.split_once(':').unwrap_or(("smtp", &to));
        let dialect = routes::dialect(transport).unwrap_or(Dialect::Smtp);
        let mut order = RelayOrder {
            number,
            id,
            arrival: micros(message.arrival),
            active: micros(message.active),
            offset: message.content.start,
            length: message.content.end - message.content.start,
            hop: Hop { text: text.to_owned(), dialect },
            terms: message.terms.clone(),
            recipients: Vec::new(),
        };
        let mut left = Vec::new();
        for slot in slots {
            let Some(at) = message.slots.get(slot) else { continue };
            let recipient = relay_recipient(relays.number + 1, message, slot);
            let sender = message.sender_for(at);
            let first = order.recipients.is_empty();
            // An order has one sender: members of a list that has an owner go in another one.
            if !first && (sender != order.terms.sender || !order.has_room_for(&recipient)) {
                relays.windows.push(&to, (id, slot), message.age);
                continue;
            }
            order.terms.sender = sender;
            relays.number += 1;
            relays.asked.insert(relays.number, (number, slot));
            left.push(relays.number);
            order.recipients.push(recipient);
        }
        relays.open.insert(number, OpenRelay { id, to, dialect, left });
        let _ = relays.orders.send(Sending { connection, order, body });
    }

    fn out_of_descriptors(&mut self, id: QueueId, slots: &[usize]) {
        for slot in slots {
            let text = "too many open files".to_owned();
            self.landed(id, *slot, Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
        }
    }

    /// Something came from `local`.
    pub(super) fn local_happened(&mut self, event: Event) {
        match event {
            Event::Up(connection) => self.locals.connection = Some(connection),
            Event::Down => {
                self.locals.connection = None;
                for open in std::mem::take(&mut self.locals.open).into_values() {
                    let Some(message) = self.active.get_mut(&open.id) else { continue };
                    message.readers = Readers::Perhaps;
                    self.locals.windows.landed(&open.to, Verdict::Nothing);
                    self.locals.windows.push(&open.to, (open.id, open.slot), message.age);
                }
            }
            Event::Replies(replies) => replies.into_iter().for_each(|reply| self.replied(reply)),
        }
    }

    /// Something came from `smtp`.
    pub(super) fn relay_happened(&mut self, event: Event<Report>) {
        match event {
            Event::Up(connection) => self.relays.connection = Ok(connection),
            Event::Down => self.smtp_is_gone(),
            Event::Replies(reports) => reports.into_iter().for_each(|report| match report {
                Report::Recipient(reply, remote) => self.relayed(reply, remote),
                Report::Order(number, contact) => self.order_ended(number, contact),
            }),
        }
    }

    fn smtp_is_gone(&mut self) {
        self.relays.connection = Err(Instant::now());
        let asked = std::mem::take(&mut self.relays.asked);
        for (_, OpenRelay { id, to, left, .. }) in std::mem::take(&mut self.relays.open) {
            self.relays.windows.landed(&to, Verdict::Nothing);
            let Some(message) = self.active.get_mut(&id) else { continue };
            message.readers = Readers::Perhaps;
            for (_, slot) in left.iter().filter_map(|number| asked.get(number)) {
                self.relays.windows.push(&to, (id, *slot), message.age);
            }
        }
    }

    /// A delivery program that does not run keeps its mail waiting for a while only.
    pub(super) fn give_up_on_the_absent(&mut self) {
        self.relays.windows.forget(FORGOTTEN);
        if self.relays.connection.is_ok() || self.relays.connection.is_err_and(|since| since.elapsed() < PATIENCE) {
            return;
        }
        let text = "mail transport unavailable: smtp does not run";
        let waiting = self.relays.windows.drain();
        self.settle_all(waiting, &Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text.into()));
    }

    fn settle_all(&mut self, list: Vec<(QueueId, usize)>, outcome: &Outcome) {
        for (id, slot) in list {
            let Some(message) = self.active.get_mut(&id) else { continue };
            settle_here(message, slot, outcome.clone());
            self.settle_if_done(id);
        }
    }

    fn replied(&mut self, Reply { number, outcome }: Reply) {
        let Some(mut open) = self.locals.open.remove(&number) else { return };
        let outcome = match outcome {
            Outcome::Expanding(list) => {
                open.gathered.extend(list);
                self.locals.open.insert(number, open);
                return;
            }
            Outcome::Expanded(Expansion { into, owner }) => {
                open.gathered.extend(into);
                Outcome::Expanded(Expansion { into: open.gathered, owner })
            }
            other => other,
        };
        self.locals.windows.landed(&open.to, Verdict::Nothing);
        self.landed(open.id, open.slot, outcome);
    }

    fn relayed(&mut self, Reply { number, outcome }: Reply, remote: Option<Remote>) {
        let Some((order, slot)) = self.relays.asked.remove(&number) else { return };
        let Some(open) = self.relays.open.get_mut(&order) else { return };
        open.left.retain(|left| *left != number);
        let (id, dialect) = (open.id, open.dialect);
        // After LMTP the message is where it belongs: no notice says "relayed".
        let final_delivery = dialect == Dialect::Lmtp && matches!(outcome, Outcome::Sent(..));
        let remote = remote.filter(|remote| !(final_delivery && remote.dsn == DsnSupport::Lacking));
        if let Some(at) = self.active.get_mut(&id).and_then(|message| message.slots.get_mut(slot)) {
            at.remote = remote;
        }
        self.landed(id, slot, outcome);
    }

    /// The last word about an order: its destination's window learns from it.
    fn order_ended(&mut self, number: u64, contact: Contact) {
        let Some(OpenRelay { id, to, left, .. }) = self.relays.open.remove(&number) else { return };
        for number in left {
            let Some((_, slot)) = self.relays.asked.remove(&number) else { continue };
            let text = "smtp said nothing about this recipient".to_owned();
            self.landed(id, slot, Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text));
        }
        let verdict = match contact {
            Contact::Made => Verdict::Lives,
            Contact::Failed(Outcome::Deferred(status, text)) => Verdict::Fails(status, text),
            Contact::Failed(_) | Contact::Untried => Verdict::Nothing,
        };
        let told_to_wait = self.relays.windows.landed(&to, verdict);
        if let Some(outcome) = self.relays.windows.parked(&to).map(super::windows::Parked::outcome) {
            self.settle_all(told_to_wait, &outcome);
        }
    }

    /// What local aliases send elsewhere leaves anew: virtual aliases count for it.
    fn forwarded(&self, Expansion { into, owner }: Expansion) -> Outcome {
        let led: Result<Vec<_>, _> = into.into_iter().map(|address| self.cleanup.forwarded(address)).collect();
        match led {
            Ok(into) => Outcome::Expanded(Expansion { into: into.into_iter().flatten().collect(), owner }),
            Err(trouble) => Outcome::Deferred(EnhancedStatus::new(4, 3, 0), trouble.to_string()),
        }
    }

    fn landed(&mut self, id: QueueId, slot: usize, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Expanded(expansion) => self.forwarded(expansion),
            other => other,
        };
        let Some(message) = self.active.get_mut(&id) else { return };
        let expands = matches!(outcome, Outcome::Expanded(_));
        let new = message.take(slot, outcome);
        // An expansion that failed is a loop, which only qmgr can see: local has no line about it.
        if expands && let Some(State::Failed(status, text)) = message.slots.get(slot).map(|slot| slot.state.clone()) {
            log(message, slot, &Outcome::Bounced(status, text));
        }
        self.dispatch(id, new);
        self.settle_if_done(id);
    }
}

/// Destinations that nothing was heard of for so long are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

fn relay_recipient(number: u64, message: &Message, slot: usize) -> RelayRecipient {
    let recipient = &message.slots[slot].recipient;
    RelayRecipient {
        number,
        address: recipient.address.clone(),
        original: recipient.original.clone(),
        orcpt: recipient.orcpt.clone(),
        notify: recipient.notify,
    }
}

/// The last word about a recipient that no delivery program hears of, with its line in the log.
fn settle_here(message: &mut Message, slot: usize, outcome: Outcome) {
    log(message, slot, &outcome);
    message.take(slot, outcome);
}

fn log(message: &Message, slot: usize, outcome: &Outcome) {
    let Some(recipient) = message.slots.get(slot).map(|slot| &slot.recipient) else { return };
    let now = SystemTime::now();
    let since = |earlier: SystemTime, later: SystemTime| later.duration_since(earlier).unwrap_or_default();
    let line = Line {
        id: message.id,
        to: &recipient.address.to_string(),
        original: recipient.original.as_ref(),
        relay: "none",
        delays: [since(message.arrival, message.active), since(message.active, now), Duration::ZERO, Duration::ZERO],
        outcome,
    };
    tracing::info!("{line}");
}
