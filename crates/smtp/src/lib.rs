//! SMTP (RFC 5321) and its extensions: grammar, server machine, what is written on top of a message.
//!
//! No I/O, no clock, no log: [`server::Session`] is a [`wire::Machine`]; its [`server::Question`]s are all it wants from
//! the world. [`client::Session`] is its counterpart.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod client;
pub mod command;
pub mod downgrade;
pub mod headers;
pub mod path;
pub mod reply;
pub mod rewrite;
pub mod server;
pub mod trace;
pub mod unitext;
pub mod xtext;

pub use reply::Reply;
