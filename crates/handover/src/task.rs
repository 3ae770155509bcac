//! local ↔ mda: one message for one mailbox, command or file, and the [`Reply`](crate::Reply) to it.
//!
//! A packet from local is one [`Task`] and the [`Body`](crate::Body); mda answers with replies as local does.
//! A packet of replies may bring a directory: what they say was sent is so when somebody has committed that.

use mail::{Address, QueueId};

use crate::packet::{Malformed, Packed, Reader, Writer};

/// One message to deliver as the user that this mda is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The asker's number for it, repeated in the reply.
    pub number: u64,
    /// The message.
    pub id: QueueId,
    /// The reverse path.
    pub sender: Option<Address>,
    /// `Delivered-To`.
    pub recipient: Address,
    /// `X-Original-To`.
    pub original: Address,
    /// The part of the local part after the recipient delimiter.
    pub extension: String,
    /// Where in the file the message begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Where it goes.
    pub what: What,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The user's `.forward` if there is one, else as `Mailbox`.
    User,
    /// The user's mailbox command, else the mailbox, whatever `.forward` says.
    Mailbox,
    /// This item of the user's `.forward`, as [`crate::item`] names it: the list must still have it.
    Listed(String),
    /// This command, from an alias.
    Command(String),
    /// This file, from an alias.
    File(String),
}

impl Packed for Task {
    fn write(&self, to: &mut Writer) {
        for number in [self.number, self.offset, self.length] {
            to.number(number);
        }
        to.id(self.id);
        to.address(self.sender.as_ref());
        to.address(Some(&self.recipient));
        to.address(Some(&self.original));
        to.text(&self.extension);
        let (kind, text) = match &self.what {
            What::User => (0, ""),
            What::Mailbox => (1, ""),
            What::Listed(text) => (2, text.as_str()),
            What::Command(text) => (3, text.as_str()),
            What::File(text) => (4, text.as_str()),
        };
        to.octet(kind);
        to.text(text);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let [number, offset, length] = [from.number()?, from.number()?, from.number()?];
        let (id, sender) = (from.id()?, from.optional_address()?);
        let (recipient, original) = (from.address()?, from.address()?);
        let extension = from.text()?.to_owned();
        let (kind, text) = (from.octet()?, from.text()?.to_owned());
        let what = match kind {
            0 => What::User,
            1 => What::Mailbox,
            2 => What::Listed(text),
            3 => What::Command(text),
            4 => What::File(text),
            _ => return Err(Malformed),
        };
        offset.checked_add(length).ok_or(Malformed)?;
        Ok(Self { number, id, sender, recipient, original, extension, offset, length, what })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_task_is_read_as_written(n in any::<[u32; 3]>(), kind in 0..5, text in "[ -~]{0,60}", null in any::<bool>()) {
            let what = match kind {
                0 => What::User,
                1 => What::Mailbox,
                2 => What::Listed(text.clone()),
                3 => What::Command(text.clone()),
                _ => What::File(text.clone()),
            };
            let to = Address::parse("kevin+x@m3102.com").expect("an address");
            let task = Task {
                number: n[0].into(), id: QueueId::new(5, 5), sender: (!null).then(|| to.clone()), recipient: to.clone(),
                original: to, extension: text, offset: n[1].into(), length: n[2].into(), what,
            };
            let mut packet = Writer::default();
            task.write(&mut packet);
            prop_assert_eq!(Task::read(&mut Reader::new(packet.octets())), Ok(task));
        }

        #[test]
        fn garbage_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Task::read(&mut Reader::new(&octets));
        }
    }
}
