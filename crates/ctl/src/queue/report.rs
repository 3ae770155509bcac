//! What is told of a message in the queue: as in `mailq`, at length, or as JSON with the names `postqueue -j` uses.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::QueueId;
use serde::Serialize;
use spool::{Damage, Origin, Progress, Queue, QueueFile, Slot};

/// The first line of a list.
pub(super) const HEAD: &str = "-Queue ID-       --Size-- ----Arrival Time---- -Sender/Recipient-------";

/// A message in the queue.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    queue_name: &'static str,
    queue_id: String,
    /// Seconds since 1970.
    arrival_time: u64,
    pub(super) message_size: u64,
    sender: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    origin: String,
    /// Those that do not have it yet.
    recipients: Vec<Waiting>,
    /// How many have it, or were told that it failed.
    finished: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

/// A recipient that does not have the message yet.
#[derive(Debug, Serialize)]
struct Waiting {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_reason: Option<String>,
}

impl Report {
    pub(super) fn of(queue_name: &'static str, file: &QueueFile) -> Report {
        let waiting: Vec<Waiting> = file.open_slots().map(|(_, slot)| waiting(slot)).collect();
        Report {
            queue_name,
            queue_id: file.id.name(),
            arrival_time: seconds(file.arrival),
            message_size: file.size(),
            sender: file.envelope.reverse_path.as_ref().map_or_else(|| "MAILER-DAEMON".into(), ToString::to_string),
            origin: origin(&file.origin),
            finished: file.slots.len().saturating_sub(waiting.len()),
            recipients: waiting,
            damage: None,
        }
    }

    pub(super) fn damaged(queue: Queue, id: QueueId, damage: Damage) -> Report {
        Report {
            queue_name: queue.name(),
            queue_id: id.name(),
            arrival_time: id.micros() / 1_000_000,
            message_size: 0,
            sender: String::new(),
            origin: String::new(),
            recipients: Vec::new(),
            finished: 0,
            damage: Some(damage.to_string()),
        }
    }

    /// For one message, a line for each thing known.
    pub(super) fn at_length(&self) -> String {
        let mut out = format!("{} in {}, {} octets\n", self.queue_id, self.queue_name, self.message_size);
        out += &format!("arrived  {}\n", clock(self.arrival_time));
        if let Some(damage) = &self.damage {
            return out + &format!("damaged  {damage}\n");
        }
        out += &format!("from     {}\nby       {}\n", self.sender, self.origin);
        for waiting in &self.recipients {
            let original = waiting.orig_address.as_ref().map_or_else(String::new, |text| format!(" (was {text})"));
            out += &format!("to       {}{original}\n", waiting.address);
            if let Some(reason) = &waiting.delay_reason {
                out += &format!("         {reason}\n");
            }
        }
        if self.finished > 0 {
            out += &format!("finished {} recipients\n", self.finished);
        }
        out
    }
}

/// As in `mailq`: `*` is being delivered, `!` is on hold.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.queue_name {
            "active" => '*',
            "hold" => '!',
            _ => ' ',
        };
        let Report { queue_id, message_size, sender, .. } = self;
        write!(f, "{queue_id}{mark}{message_size:8} {:19}  {sender}", clock(self.arrival_time))?;
        if let Some(damage) = &self.damage {
            write!(f, "damaged: {damage}")?;
        }
        let mut last = None;
        for waiting in &self.recipients {
            if waiting.delay_reason.is_some() && waiting.delay_reason != last {
                let reason = format!("({})", waiting.delay_reason.as_deref().unwrap_or_default());
                write!(f, "\n{:>78}", mail::event::escaped(&reason))?;
            }
            write!(f, "\n{:46}{}", "", waiting.address)?;
            last.clone_from(&waiting.delay_reason);
        }
        Ok(())
    }
}

fn waiting(slot: &Slot) -> Waiting {
    let delay_reason = match &slot.progress {
        Progress::Deferred { reason, .. } => Some(reason.clone()),
        Progress::New | Progress::Sent | Progress::Bounced | Progress::Expanded => None,
    };
    let orig_address = slot.recipient.original.as_ref().map(ToString::to_string);
    Waiting { address: slot.recipient.address.to_string(), orig_address, delay_reason }
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Network { client, protocol, user: Some(user), .. } => format!("{protocol} from {client}, user {user}"),
        Origin::Network { client, protocol, user: None, .. } => format!("{protocol} from {client}"),
        Origin::Local { uid } => format!("user number {uid} of this machine"),
        Origin::Internal => "the mail system".into(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `Fri Nov 20 16:11:50`, local time.
fn clock(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let local = moment.map(|moment| moment.to_zoned(TimeZone::system()));
    local.map_or_else(String::new, |local| local.strftime("%a %b %e %H:%M:%S").to_string())
}
