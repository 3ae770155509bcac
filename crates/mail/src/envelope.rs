//! The envelope of a message: who sent it, to whom, and what was asked of its delivery
//! (RFC 5321 §2.3.1; DSN parameters: RFC 3461 §4; BODY: RFC 6152, RFC 3030; SMTPUTF8: RFC 6531).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Address;

/// Sender, recipients and what holds for the whole message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The reverse path; `None` is the null sender `<>`.
    pub reverse_path: Option<Address>,
    /// In the order they were given.
    pub recipients: Vec<Recipient>,
    /// What the octets of the message may be.
    pub body: Body,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// What a failure notice should return.
    pub ret: Option<Ret>,
    /// The sender's envelope id (ENVID), decoded from xtext.
    pub envid: Option<String>,
    /// The content filter that the message goes to first, as one writes it in `content_filter`: `smtp:[127.0.0.1]:10024`.
    pub filter: Option<String>,
}

/// One forward path with its delivery-notice parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Where the mail goes now.
    pub address: Address,
    /// What the client wrote, where that differs.
    pub original: Option<Address>,
    /// ORCPT, decoded: `rfc822;kevin@…`.
    pub orcpt: Option<String>,
    /// When the sender wants to hear of it; `None`: not said.
    pub notify: Option<Notify>,
}

/// The BODY parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Lines of 7-bit octets.
    #[default]
    SevenBit,
    /// Lines of 8-bit octets.
    EightBitMime,
    /// Any octets; BDAT only.
    BinaryMime,
}

/// The RET parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its headers.
    Headers,
}

/// The NOTIFY parameter: NEVER is all three off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Tell of delivery.
    pub success: bool,
    /// Tell of failure.
    pub failure: bool,
    /// Tell of delay.
    pub delay: bool,
}

impl Envelope {
    /// Recipients that were named before, with the same wishes, are named once: so many are compared (0: all).
    pub fn merge_duplicates(&mut self, most: usize) {
        if self.recipients.len() < 2 {
            return;
        }
        let most = if most == 0 { usize::MAX } else { most };
        let mut seen = BTreeSet::new();
        self.recipients.retain(|recipient| {
            let Recipient { address, orcpt, notify, .. } = recipient;
            let wishes = notify.map(|Notify { success, failure, delay }| [success, failure, delay]);
            let domain = address.domain().map(|domain| domain.as_str().to_owned());
            let key = (address.local().to_lowercase(), domain, orcpt.clone(), wishes);
            !seen.contains(&key) && (seen.len() >= most || seen.insert(key))
        });
    }
}

impl Recipient {
    /// A recipient with no parameters.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, original: None, orcpt: None, notify: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn who_is_named_twice_is_named_once() {
        let merged = |list: &[(&str, Option<&str>)], most| {
            let recipients = list.iter().map(|(text, orcpt)| Recipient {
                orcpt: orcpt.map(Into::into),
                ..Recipient::new(Address::parse(text).expect("an address"))
            });
            let mut envelope = Envelope { recipients: recipients.collect(), ..Envelope::default() };
            envelope.merge_duplicates(most);
            envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect::<Vec<_>>()
        };
        let list =
            [("kevin@x", None), ("toto@x", None), ("Kevin@X", None), ("kevin@y", None), ("toto@x", Some("rfc822;t"))];
        assert_eq!(merged(&list, 1000), ["kevin@x", "toto@x", "kevin@y", "toto@x"]);
        assert_eq!(merged(&[list[0], list[0]], 0), ["kevin@x"]);
        assert_eq!(merged(&[list[0], list[1], list[1], list[0]], 1), ["kevin@x", "toto@x", "toto@x"]);
    }
}
