//! The command lines of a transaction, with the parameters that the peer takes.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use mail::{Body, Notify, Recipient, Ret};

use super::Message;
use super::peer::Peer;
use crate::unitext::{self, Letters};
use crate::xtext;

/// MAIL (RFC 5321 §4.1.1.2) with SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), ENVID and RET (RFC 3461), SMTPUTF8 (RFC 6531).
/// `exact`: the content goes as it is, so that its size is known.
pub(super) fn mail(message: &Message, peer: &Peer, exact: bool) -> String {
    let envelope = &message.envelope;
    let mut line = match &envelope.reverse_path {
        Some(address) => format!("MAIL FROM:<{address}>"),
        None => "MAIL FROM:<>".into(),
    };
    if peer.size.is_some() && exact {
        let _ = write!(line, " SIZE={}", message.size);
    }
    match envelope.body {
        Body::BinaryMime if peer.takes_binary() => line.push_str(" BODY=BINARYMIME"),
        Body::EightBitMime | Body::BinaryMime if peer.eight_bit => line.push_str(" BODY=8BITMIME"),
        Body::SevenBit | Body::EightBitMime | Body::BinaryMime => {}
    }
    if peer.dsn {
        if let Some(envid) = &envelope.envid {
            let _ = write!(line, " ENVID={}", xtext::encode(envid));
        }
        match envelope.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
    }
    if peer.smtputf8 && envelope.smtputf8 {
        line.push_str(" SMTPUTF8");
    }
    line.push_str("\r\n");
    line
}

/// RCPT (RFC 5321 §4.1.1.3) with ORCPT and NOTIFY (RFC 3461 §4.1, §4.2). `utf8`: MAIL had SMTPUTF8, where the peer takes it.
pub(super) fn rcpt(recipient: &Recipient, peer: &Peer, utf8: bool) -> String {
    let mut line = format!("RCPT TO:<{}>", recipient.address);
    if peer.dsn {
        let letters = if peer.smtputf8 && utf8 { Letters::Utf8 } else { Letters::Ascii };
        match (&recipient.orcpt, &recipient.original) {
            (Some(orcpt), _) => {
                // Only the address is encoded, its type is an atom.
                if let Some((kind, address)) = orcpt.split_once(';') {
                    let _ = write!(line, " ORCPT={}", unitext::orcpt(kind, address, letters));
                }
            }
            (None, Some(original)) => {
                let original = format!("{original}");
                let _ = write!(line, " ORCPT={}", unitext::orcpt(unitext::kind(&original), &original, letters));
            }
            (None, None) => {}
        }
        if let Some(notify) = recipient.notify {
            let _ = write!(line, " NOTIFY={}", words(notify));
        }
    }
    line.push_str("\r\n");
    line
}

fn words(notify: Notify) -> String {
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let mut text = String::new();
    for (_, word) in words.into_iter().filter(|(wanted, _)| *wanted) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(word);
    }
    if text.is_empty() { "NEVER".into() } else { text }
}
