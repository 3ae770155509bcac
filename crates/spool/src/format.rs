//! The layout of a queue file, version 1.
//!
//! ```text
//! file     = magic *prologue message content end *appended
//! magic    = "Facteur" %x01                    ; 8 octets, the last is the version
//! record   = type length payload checksum
//! type     = 1 octet, a letter
//! length   = 4 octets, of the payload
//! checksum = 4 octets, CRC-32 (IEEE) of type, length and payload
//! text     = 2 octets length, so many octets of UTF-8
//! maybe    = %x00 / %x01 text
//! ```
//! All numbers are little endian. The prologue, in this order:
//!
//! | type | payload | |
//! |---|---|---|
//! | `A` | 8 octets | arrival, microseconds since 1970 |
//! | `S` | the rest: an address, or nothing | sender; nothing is the null sender |
//! | `O` | `N` text client, text helo, text protocol, maybe user, and if there is one maybe mechanism, maybe submitter; or `L` 4 octets uid; or `I` | origin |
//! | `E` | 1 octet body (0 7BIT, 1 8BITMIME, 2 BINARYMIME), 1 octet smtputf8 (0, 1), 1 octet ret (0 none, 1 FULL, 2 HDRS), maybe envid | options of the envelope |
//! | `V` | the rest: `transport:next-hop` | content filter; only where there is one |
//! | `R` | text address, maybe original, maybe orcpt, 1 octet notify | one per recipient |
//! | `M` | 8 octets | length of the content |
//!
//! notify: 0 not said, else 128 + 1 success + 2 failure + 4 delay. Recipients are numbered from 0, in the order of their records,
//! those of `X` and `L` records after those of the prologue. Behind `M` stand the octets of the content, not framed, then
//!
//! | type | payload | |
//! |---|---|---|
//! | `Z` | 4 octets CRC-32 of the content, 4 octets number of `R` records | the message is whole |
//!
//! and then what has happened since, each record one write:
//!
//! | type | payload | |
//! |---|---|---|
//! | `D` | 1 octet (0 sent, 1 bounced), 4 octets number of the recipient | finished |
//! | `F` | 4 octets number, 8 octets when (microseconds), text status, text reason | tried in vain |
//! | `X` | 4 octets number, 4 octets count, so many payloads of `R` | finished by becoming others |
//! | `L` | 4 octets number, text sender, 4 octets count, so many payloads of `R` | as `X`, for a list whose owner is their sender from now on |
//! | `W` | 8 octets when | the sender was told of the delay |
//!
//! A record at the end that is short or whose checksum is wrong is a write that a crash cut off: it and all behind it
//! count as never written, which costs at most one more delivery. Damage before `Z` is [`Damage`].

use std::fmt;
use std::time::{Duration, SystemTime};

use mail::{Address, Body, EnhancedStatus, Envelope, QueueId, Recipient, Ret};

mod fields;

use fields::{Draft, Fields, Next, Records};

/// How the message came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the net.
    Network {
        /// `name[address]`.
        client: String,
        /// What it called itself.
        helo: String,
        /// `SMTP`, `ESMTP`, `ESMTPSA`…
        protocol: String,
        /// Whom it proved to be.
        user: Option<String>,
        /// How, and who first submitted the message (AUTH= of MAIL) as that user says.
        sasl: Sasl,
    },
    /// By a program of this user.
    Local {
        /// The user.
        uid: u32,
    },
    /// Made by the mail system: a notice, a forwarded copy.
    Internal,
}

/// What more is known of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sasl {
    /// `PLAIN`, `LOGIN`…
    pub mechanism: Option<String>,
    /// AUTH= of MAIL.
    pub submitter: Option<String>,
}

/// A recipient and how far it has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The recipient.
    pub recipient: Recipient,
    /// How far it has got.
    pub progress: Progress,
    /// The number of the recipient that was expanded to this one.
    pub parent: Option<u32>,
    /// The sender it has instead of the message's: the owner of the list that it is on.
    pub sender: Option<Address>,
}

/// How far a recipient has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not tried yet.
    New,
    /// Tried in vain.
    Deferred {
        /// At what time, last.
        at: SystemTime,
        /// What came of it.
        status: EnhancedStatus,
        /// In words, for `mailq`.
        reason: String,
    },
    /// Delivered.
    Sent,
    /// Returned to the sender.
    Bounced,
    /// Replaced by other recipients of this message.
    Expanded,
}

/// Why a file is no queue file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It does not begin as one.
    Magic,
    /// It is of a later version.
    Version(u8),
    /// It ends too early.
    Short,
    /// A checksum is wrong.
    Checksum,
    /// A record is not what should stand there.
    Record(u8),
}

/// What stands before the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prologue {
    /// When the message came in.
    pub arrival: SystemTime,
    /// How it came in.
    pub origin: Origin,
    /// From whom to whom.
    pub envelope: Envelope,
    /// Octets of content that follow.
    pub content: u64,
}

/// A record appended after the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    Done { slot: u32, bounced: bool },
    Deferred { slot: u32, at: SystemTime, status: EnhancedStatus, reason: String },
    Expanded { slot: u32, into: Vec<Recipient>, owner: Option<Address> },
    Warned { at: SystemTime },
}

impl Progress {
    /// Nothing is left to do.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        match self {
            Self::New | Self::Deferred { .. } => false,
            Self::Sent | Self::Bounced | Self::Expanded => true,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not a queue file"),
            Self::Version(version) => write!(f, "version {version} is not known"),
            Self::Short => f.write_str("ends too early"),
            Self::Checksum => f.write_str("wrong checksum"),
            Self::Record(kind) => write!(f, "unexpected record {:?}", char::from(*kind)),
        }
    }
}

impl std::error::Error for Damage {}

/// Writes everything up to the content. The last `MESSAGE_RECORD` octets are the `M` record.
#[must_use]
pub fn prologue(id: QueueId, envelope: &Envelope, origin: &Origin) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    record(&mut out, b'A', &id.micros().to_le_bytes());
    let sender = envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
    record(&mut out, b'S', sender.as_bytes());
    record(&mut out, b'O', &origin_payload(origin));
    record(&mut out, b'E', &options_payload(envelope));
    if let Some(filter) = &envelope.filter {
        record(&mut out, b'V', filter.as_bytes());
    }
    for recipient in &envelope.recipients {
        record(&mut out, b'R', &recipient_payload(recipient));
    }
    out.extend(message_record(0));
    out
}

/// The `M` record.
pub(crate) fn message_record(content: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(MESSAGE_RECORD);
    record(&mut out, b'M', &content.to_le_bytes());
    out
}

/// The `Z` record.
#[must_use]
pub fn end_record(checksum: u32, recipients: usize) -> Vec<u8> {
    let mut payload = checksum.to_le_bytes().to_vec();
    payload.extend(u32::try_from(recipients).unwrap_or(u32::MAX).to_le_bytes());
    let mut out = Vec::with_capacity(END_RECORD);
    record(&mut out, b'Z', &payload);
    out
}

/// A piece of content on its way from `sendmail` to `facteur-drop`: a `C` record.
#[must_use]
pub fn chunk_record(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + 9);
    record(&mut out, b'C', octets);
    out
}

/// What stands at the beginning of a stream of `C` records that ends with a `Z` record.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Content, and how many octets the record takes.
    Content(&'a [u8], usize),
    /// The end: the checksum of all content.
    End(u32),
    /// More octets are needed.
    More,
}

/// Reads one record of such a stream, of a message of so many recipients.
///
/// # Errors
/// When it is none that may stand there, or a checksum is wrong.
pub fn read_piece(octets: &[u8], recipients: usize) -> Result<Piece<'_>, Damage> {
    let mut records = Records { octets, at: 0 };
    match records.next() {
        Next::More => Ok(Piece::More),
        Next::Wrong => Err(Damage::Checksum),
        Next::Record(b'C', payload) => Ok(Piece::Content(payload, records.at)),
        Next::Record(..) => read_end(octets, recipients).map(Piece::End),
    }
}

impl Appended {
    /// Writes the record.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        let kind = match self {
            Self::Done { slot, bounced } => {
                payload.push(u8::from(*bounced));
                payload.extend(slot.to_le_bytes());
                b'D'
            }
            Self::Deferred { slot, at, status, reason } => {
                payload.extend(slot.to_le_bytes());
                payload.extend(micros(*at).to_le_bytes());
                text(&mut payload, &status.to_string());
                text(&mut payload, reason);
                b'F'
            }
            Self::Expanded { slot, into, owner } => {
                payload.extend(slot.to_le_bytes());
                if let Some(owner) = owner {
                    text(&mut payload, &owner.to_string());
                }
                payload.extend(u32::try_from(into.len()).unwrap_or(u32::MAX).to_le_bytes());
                for recipient in into {
                    payload.extend(recipient_payload(recipient));
                }
                if owner.is_some() { b'L' } else { b'X' }
            }
            Self::Warned { at } => {
                payload.extend(micros(*at).to_le_bytes());
                b'W'
            }
        };
        record(out, kind, &payload);
    }

    fn read(kind: u8, payload: &[u8]) -> Option<Self> {
        let mut from = Fields(payload);
        let record = match kind {
            b'D' => Self::Done { bounced: from.flag()?, slot: from.number32()? },
            b'F' => Self::Deferred {
                slot: from.number32()?,
                at: moment(from.number64()?)?,
                status: EnhancedStatus::parse(from.text()?)?,
                reason: from.text()?.to_owned(),
            },
            b'X' => {
                let (slot, count) = (from.number32()?, from.number32()?);
                let into = (0..count).map(|_| from.recipient()).collect::<Option<_>>()?;
                Self::Expanded { slot, into, owner: None }
            }
            b'L' => {
                let (slot, owner) = (from.number32()?, Some(Address::parse(from.text()?).ok()?));
                let count = from.number32()?;
                let into = (0..count).map(|_| from.recipient()).collect::<Option<_>>()?;
                Self::Expanded { slot, into, owner }
            }
            b'W' => Self::Warned { at: moment(from.number64()?)? },
            _ => return None,
        };
        from.at_end().then_some(record)
    }
}

/// Reads the prologue from `head`, the first octets of a file. Returns where the content begins.
///
/// # Errors
/// `Ok(None)`: more octets are needed. [`Damage`]: this is no queue file.
pub fn read_prologue(head: &[u8]) -> Result<Option<(Prologue, usize)>, Damage> {
    let Some((magic, _)) = head.split_first_chunk::<8>() else {
        return if MAGIC.starts_with(head) { Ok(None) } else { Err(Damage::Magic) };
    };
    match magic {
        MAGIC => {}
        [name @ .., version] if MAGIC.starts_with(name) => return Err(Damage::Version(*version)),
        _ => return Err(Damage::Magic),
    }
    let mut records = Records { octets: head, at: MAGIC.len() };
    let mut drafted = Draft::default();
    loop {
        match records.next() {
            Next::More => return Ok(None),
            Next::Wrong => return Err(Damage::Checksum),
            Next::Record(kind, payload) => {
                if let Some(prologue) = drafted.take(kind, payload).ok_or(Damage::Record(kind))? {
                    return Ok(Some((prologue, records.at)));
                }
            }
        }
    }
}

/// How the message came here, from the first octets of its file: the records before its recipients are enough.
#[must_use]
pub fn read_origin(head: &[u8]) -> Option<Origin> {
    let records = head.strip_prefix(MAGIC)?;
    let mut records = Records { octets: records, at: 0 };
    loop {
        match records.next() {
            Next::Record(b'O', payload) => return Fields(payload).origin(),
            Next::Record(b'A' | b'S', _) => {}
            Next::Record(..) | Next::More | Next::Wrong => return None,
        }
    }
}

/// Checks the `Z` record of a message of so many recipients; returns the checksum of the content.
pub(crate) fn read_end(octets: &[u8], recipients: usize) -> Result<u32, Damage> {
    match (Records { octets, at: 0 }).next() {
        Next::More => Err(Damage::Short),
        Next::Wrong => Err(Damage::Checksum),
        Next::Record(b'Z', payload) => {
            let mut from = Fields(payload);
            let (checksum, count) = (from.number32().ok_or(Damage::Record(b'Z'))?, from.number32());
            let right = count.is_some_and(|count| count as usize == recipients) && from.at_end();
            if right { Ok(checksum) } else { Err(Damage::Record(b'Z')) }
        }
        Next::Record(kind, _) => Err(Damage::Record(kind)),
    }
}

/// The appended records that are whole, and how many octets they take.
pub(crate) fn read_appended(octets: &[u8]) -> (Vec<Appended>, usize) {
    let mut records = Records { octets, at: 0 };
    let (mut found, mut end) = (Vec::new(), 0);
    while let Next::Record(kind, payload) = records.next() {
        let Some(appended) = Appended::read(kind, payload) else { break };
        found.push(appended);
        end = records.at;
    }
    (found, end)
}

fn record(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let start = out.len();
    out.push(kind);
    out.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(payload);
    let sum = crc32fast::hash(&out[start..]);
    out.extend(sum.to_le_bytes());
}

/// Longer than 64 KiB is cut: addresses are far shorter, reasons need not be longer.
fn text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

fn maybe(out: &mut Vec<u8>, value: Option<&str>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        text(out, value);
    }
}

fn recipient_payload(recipient: &Recipient) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, &recipient.address.to_string());
    maybe(&mut out, recipient.original.as_ref().map(ToString::to_string).as_deref());
    maybe(&mut out, recipient.orcpt.as_deref());
    out.push(recipient.notify.map_or(0, |notify| {
        128 | u8::from(notify.success) | u8::from(notify.failure) << 1 | u8::from(notify.delay) << 2
    }));
    out
}

fn origin_payload(origin: &Origin) -> Vec<u8> {
    let mut out = Vec::new();
    match origin {
        Origin::Network { client, helo, protocol, user, sasl } => {
            out.push(b'N');
            [client, helo, protocol].into_iter().for_each(|field| text(&mut out, field));
            maybe(&mut out, user.as_deref());
            if *sasl != Sasl::default() {
                maybe(&mut out, sasl.mechanism.as_deref());
                maybe(&mut out, sasl.submitter.as_deref());
            }
        }
        Origin::Local { uid } => {
            out.push(b'L');
            out.extend(uid.to_le_bytes());
        }
        Origin::Internal => out.push(b'I'),
    }
    out
}

fn options_payload(envelope: &Envelope) -> Vec<u8> {
    let body = match envelope.body {
        Body::SevenBit => 0,
        Body::EightBitMime => 1,
        Body::BinaryMime => 2,
    };
    let ret = match envelope.ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Headers) => 2,
    };
    let mut out = vec![body, u8::from(envelope.smtputf8), ret];
    maybe(&mut out, envelope.envid.as_deref());
    out
}

fn micros(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn moment(micros: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
}

const MAGIC: &[u8; 8] = b"Facteur\x01";
/// Octets of an `M` record.
pub(crate) const MESSAGE_RECORD: usize = 5 + 8 + 4;
/// Octets of a `Z` record.
pub(crate) const END_RECORD: usize = 5 + 8 + 4;
/// The longest payload that is believed: an alias list of some hundred thousand addresses.
const MAX_PAYLOAD: usize = 1 << 24;

#[cfg(test)]
mod tests;
