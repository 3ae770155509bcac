//! The texts of failures, one function each, in the shapes people and tools know from Postfix's log.

use alloc::format;
use alloc::string::String;

use super::Host;

/// `connect to mx.example.org[192.0.2.1]:25: Connection refused`
#[must_use]
pub fn cannot_connect(host: &Host, port: u16, why: &str) -> String {
    format!("connect to {host}:{port}: {why}")
}

/// `host mx.example.org[192.0.2.1] refused to talk to me: 554 …`
#[must_use]
pub fn refused_to_talk(host: &Host, reply: &str) -> String {
    format!("host {host} refused to talk to me: {reply}")
}

/// `host mx.example.org[192.0.2.1] said: 550 5.1.1 … (in reply to RCPT TO command)`
#[must_use]
pub fn said(host: &Host, reply: &str, command: &str) -> String {
    format!("host {host} said: {reply} (in reply to {command})")
}

/// `Protocol error: host mx.example.org[192.0.2.1] said: hello (in reply to RCPT TO command)`
#[must_use]
pub fn nonsense(host: &Host, reply: &str, command: &str) -> String {
    format!("Protocol error: {}", said(host, reply, command))
}

/// `lost connection with mx.example.org[192.0.2.1] while sending RCPT TO`
#[must_use]
pub fn lost(host: &Host, doing: &str) -> String {
    format!("lost connection with {host} while {doing}")
}

/// `conversation with mx.example.org[192.0.2.1] timed out while sending message body`
#[must_use]
pub fn timed_out(host: &Host, doing: &str) -> String {
    format!("conversation with {host} timed out while {doing}")
}

/// `Cannot start TLS: handshake failure`
#[must_use]
pub fn handshake_failed() -> String {
    "Cannot start TLS: handshake failure".into()
}

/// `TLS is required, but was not offered by host mx.example.org[192.0.2.1]`
#[must_use]
pub fn tls_not_offered(host: &Host) -> String {
    format!("TLS is required, but was not offered by host {host}")
}

/// `TLS is required, but host mx.example.org[192.0.2.1] refused to start TLS: 454 …`
#[must_use]
pub fn tls_refused(host: &Host, reply: &str) -> String {
    format!("TLS is required, but host {host} refused to start TLS: {reply}")
}

/// `SASL authentication failed; server mx.example.org[192.0.2.1] said: 535 5.7.8 …`
#[must_use]
pub fn login_refused(host: &Host, reply: &str) -> String {
    format!("SASL authentication failed; server {host} said: {reply}")
}

/// `SASL authentication failed; cannot authenticate to server mx.example.org[192.0.2.1]: why`
#[must_use]
pub fn cannot_log_in(host: &Host, why: &str) -> String {
    format!("SASL authentication failed; cannot authenticate to server {host}: {why}")
}

/// `SASL authentication failed: server mx.example.org[192.0.2.1] offered no compatible …`
#[must_use]
pub fn no_mechanism(host: &Host) -> String {
    format!(
        "SASL authentication failed: server {host} offered no compatible authentication mechanisms for this type of \
         connection security"
    )
}

/// `mail for example.org loops back to myself`
#[must_use]
pub fn loops(domain: &str) -> String {
    format!("mail for {domain} loops back to myself")
}

/// `message size 9 exceeds size limit 5 of server mx.example.org[192.0.2.1]`
#[must_use]
pub fn too_big(host: &Host, size: u64, limit: u64) -> String {
    format!("message size {size} exceeds size limit {limit} of server {host}")
}

/// `SMTPUTF8 is required, but was not offered by host mx.example.org[192.0.2.1]`
#[must_use]
pub fn no_smtputf8(host: &Host) -> String {
    format!("SMTPUTF8 is required, but was not offered by host {host}")
}

/// `BINARYMIME is required, but was not offered by host mx.example.org[192.0.2.1]`
#[must_use]
pub fn no_binarymime(host: &Host) -> String {
    format!("BINARYMIME is required, but was not offered by host {host}")
}

/// `session with mx.example.org[192.0.2.1] given up while performing the EHLO handshake`
#[must_use]
pub fn given_up(host: &Host, doing: &str) -> String {
    format!("session with {host} given up while {doing}")
}

/// `local data error while talking to mx.example.org[192.0.2.1]`
#[must_use]
pub fn unreadable(host: &Host) -> String {
    format!("local data error while talking to {host}")
}
