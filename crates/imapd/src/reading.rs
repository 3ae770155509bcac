//! Messages for FETCH: a small one at once, of a large one what is needed first and then octets as the client takes them.
//! All functions block.

use std::ops::Range;

use bytes::Bytes;
use imap::question::{Data, Large, Missing, Need};
use mail::Uid;
use mail::mime::{Scanned, Scanner};
use mailstore::{Error, Mailbox, Reading};

use crate::shared::Shared;

/// Messages up to this size are handed over whole.
const AT_ONCE: u64 = 128 * 1024;
const PIECE: usize = 64 * 1024;

type Read = (Vec<Result<Data, Missing>>, Option<(Uid, Reading)>);

/// Data of messages, in the order asked; and a large one among them, ready to be gone on with.
pub(crate) fn read(shared: &Shared, uids: &[Uid], need: Need) -> Result<Read, Error> {
    let mut state = shared.lock();
    let (mut messages, mut reading) = (Vec::with_capacity(uids.len()), None);
    for uid in uids {
        let data = match read_one(&mut state.mailbox, *uid, need) {
            Ok((data, large)) => {
                reading = large.map(|large| (*uid, large)).or(reading);
                Ok(data)
            }
            Err(Error::NoMessage) => Err(Missing::Gone),
            // One message that cannot be read must not cost the others.
            Err(error @ (Error::Damaged(_) | Error::Disk(_) | Error::Unsafe(_))) => {
                tracing::error!("message {uid} of {} cannot be read: {error}", shared.name);
                Err(Missing::Unreadable)
            }
            Err(error) => return Err(error),
        };
        messages.push(data);
    }
    Ok((messages, reading))
}

fn read_one(mailbox: &mut Mailbox, uid: Uid, need: Need) -> Result<(Data, Option<Reading>), Error> {
    let date = mailbox.date(uid)?;
    let (size, octets) = match need {
        Need::Date => (0, Vec::new()),
        Need::Size => (mailbox.size(uid)?, Vec::new()),
        Need::Header => (mailbox.size(uid)?, mailbox.read_header(uid)?),
        Need::Whole | Need::Parts if mailbox.size(uid)? > AT_ONCE => {
            let mut reading = mailbox.begin(uid)?;
            // What is sent is what counts, whatever the file's name says.
            let size = mailbox.exact_size(uid)?;
            let octets = mailbox.read_header(uid)?.into();
            let scanned = if need == Need::Parts { Some(scan(mailbox, &mut reading)?) } else { None };
            return Ok((Data { date, size, octets, large: Some(Box::new(Large { scanned })) }, Some(reading)));
        }
        Need::Whole | Need::Parts => {
            let octets = mailbox.read(uid)?;
            (octets.len() as u64, octets)
        }
    };
    Ok((Data { date, size, octets: octets.into(), large: None }, None))
}

fn scan(mailbox: &mut Mailbox, reading: &mut Reading) -> Result<Scanned, Error> {
    let (mut scanner, mut at) = (Scanner::default(), 0);
    loop {
        let piece = mailbox.read_from(reading, at, PIECE * 2)?;
        if piece.is_empty() {
            return Ok(scanner.finish());
        }
        scanner.feed(&piece);
        at += piece.len() as u64;
    }
}

/// The first octets of a range. Going on where the last piece ended is cheap.
pub(crate) fn go_on(
    shared: &Shared,
    (uid, reading): (Uid, Option<(Uid, Reading)>),
    range: Range<u64>,
) -> Result<(Reading, Bytes), Error> {
    let mut state = shared.lock();
    let mut reading = match reading {
        Some((same, reading)) if same == uid => reading,
        _ => state.mailbox.begin(uid)?,
    };
    let most = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(PIECE).min(PIECE);
    let octets = state.mailbox.read_from(&mut reading, range.start, most)?;
    Ok((reading, octets.into()))
}
