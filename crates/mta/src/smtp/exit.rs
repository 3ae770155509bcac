//! What changes in a message as it leaves this machine: addresses that mean something only here become others
//! (`smtp_generic_maps`), in the envelope and in the header fields. The queue file stays as it is.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use addresses::{Generic, GenericNow};
use bytes::Bytes;
use config::Config;
use handover::relay::{Dialect, RelayOrder, Stage};
use mail::{Address, Envelope};
use smtp::rewrite::change_block;

use super::content;

/// The setting.
#[derive(Debug)]
pub(super) struct Exit(Arc<Generic>);

/// What changes in one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    addresses: HashMap<Address, Address>,
    pub(super) head: Option<Head>,
}

/// A header block to be sent instead of the one in the file.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) text: Bytes,
    /// How long the one in the file is.
    pub(super) replaced: u64,
}

impl Exit {
    pub(super) fn new(config: &Config) -> Self {
        Self(Arc::new(Generic::new(config, "smtp_generic_maps")))
    }

    /// The files to be read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.0.files()
    }

    /// What changes in this message; else the sentence for the log.
    pub(super) fn changes(&self, order: &RelayOrder, file: &File) -> Result<Changes, String> {
        if self.0.is_idle() || order.hop.dialect == Dialect::Lmtp || order.terms.stage == Stage::Filter {
            return Ok(Changes::default());
        }
        let now = self.0.now().map_err(|trouble| trouble.0)?;
        let mut changes = Changes::default();
        let recipients = order.recipients.iter().map(|recipient| &recipient.address);
        for address in order.terms.sender.iter().chain(recipients) {
            if let Some(new) = now.address(address, &mut Vec::new()).map_err(|trouble| trouble.0)? {
                changes.addresses.insert(address.clone(), new);
            }
        }
        changes.head = head(&now, order, file);
        Ok(changes)
    }
}

/// The header block with its addresses changed; `None`: none is.
fn head(now: &GenericNow, order: &RelayOrder, file: &File) -> Option<Head> {
    let old = content::head(file, order.offset, order.length)?;
    let empty_line = if old.ends_with(b"\n\r\n") { 2 } else { 1 };
    let (fields, empty_line) = old.split_at_checked(old.len().checked_sub(empty_line)?)?;
    let mut new = change_block(fields, |_, text| now.header(text));
    new.extend_from_slice(empty_line);
    (new != old).then(|| Head { text: Bytes::from(new), replaced: old.len() as u64 })
}

impl Changes {
    pub(super) fn apply(&self, envelope: &mut Envelope) {
        let recipients = envelope.recipients.iter_mut().map(|recipient| &mut recipient.address);
        for address in envelope.reverse_path.iter_mut().chain(recipients) {
            if let Some(new) = self.addresses.get(address) {
                *address = new.clone();
            }
        }
    }
}
