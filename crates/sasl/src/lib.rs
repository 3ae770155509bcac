//! SASL mechanisms (RFC 4422), one small machine each, for SMTP, POP3 and IMAP alike.
//!
//! The server side takes responses as they stand on the wire (base64 or `*`) and ends in [`Credentials`] to be
//! checked elsewhere; it never knows whether they are right. Only mechanisms that need the password itself are here.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod base64;
pub mod client;
pub mod server;

pub use server::{Credentials, Mechanism, Refusal, Server, Step};
