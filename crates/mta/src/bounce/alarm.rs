//! Trouble of this machine, told to `error_notice_recipient` by mail: the classes `resource` and `software` of `notify_classes`.
//!
//! One letter for each class in an hour: what goes wrong for one message goes wrong for the next one too. The log has all.

use std::io;
use std::time::{Duration, Instant};

use mail::{Body, EnhancedStatus, Envelope, QueueId, Recipient};
use spool::Spool;

use super::Sender;

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Disk, memory, descriptors.
    Resource,
    /// Something is set up wrong, or is our fault.
    Software,
}

impl Class {
    /// The class of a status that this machine gave: what concerns its own state (RFC 3463 §3.4), else nothing.
    #[must_use]
    pub const fn of(status: EnhancedStatus) -> Option<Self> {
        match (status.subject, status.detail) {
            (3, 0 | 1) => Some(Self::Resource),
            (3, 5) => Some(Self::Software),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Software => "software",
        }
    }
}

/// When each class was told last.
#[derive(Debug, Default)]
pub struct Told([Option<Instant>; 2]);

impl Told {
    /// Tells of it, unless that was done a short while ago.
    ///
    /// # Errors
    /// The disk's: likely, when it is about the disk. It is told the next time then.
    pub fn tell(
        &mut self,
        sender: &Sender,
        spool: &Spool,
        (class, about, text): (Class, QueueId, &str),
    ) -> io::Result<Option<QueueId>> {
        let Some(last) = self.0.get_mut(class as usize) else { return Ok(None) };
        if !sender.wants(class.name()) || last.is_some_and(|at| at.elapsed() < REST) {
            return Ok(None);
        }
        let Some(to) = &sender.error_to else { return Ok(None) };
        let id = spool.new_id();
        let envelope = Envelope {
            reverse_path: sender.last_resort.clone(),
            recipients: vec![Recipient::new(to.clone())],
            body: if text.is_ascii() { Body::SevenBit } else { Body::EightBitMime },
            ..Envelope::default()
        };
        let mut incoming = sender.begin(spool, id, &envelope)?;
        let name = class.name();
        incoming.write(sender.head(id, to, &format!("Postmaster Warning: {name} trouble")).as_bytes())?;
        let text = text.replace(char::is_control, " ");
        incoming.write(
            format!(
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}\n\n\
                 A message could not be handled ({name}):\n\n    {about}: {text}\n\n\
                 The mail log tells of all such messages; this letter comes once an hour at most.\n",
                sender.words.from(&sender.host)
            )
            .as_bytes(),
        )?;
        let id = incoming.commit()?;
        *last = Some(Instant::now());
        tracing::info!("{about}: postmaster {name} notification: {id}");
        Ok(Some(id))
    }
}

const REST: Duration = Duration::from_secs(3600);
