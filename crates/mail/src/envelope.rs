//! The envelope of a message: who sent it, to whom, and what was asked of its delivery
//! (RFC 5321 §2.3.1; DSN parameters: RFC 3461 §4; BODY: RFC 6152, RFC 3030; SMTPUTF8: RFC 6531).

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

impl Recipient {
    /// A recipient with no parameters.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, original: None, orcpt: None, notify: None }
    }
}
