//! IMAP (RFC 3501, laid out for RFC 9051): grammar, replies, and two machines without I/O.
//!
//! [`Login`] speaks with a client nobody knows yet and ends by handing the connection over; [`Session`] speaks with
//! the owner of the mailboxes. [`question`] is all that both want from the world. [`command::TABLE`] lists the commands.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[macro_use]
pub mod reply;

pub mod assemble;
pub mod command;
pub mod grammar;
pub mod login;
pub mod question;
pub mod session;

pub use login::Login;
pub use question::{Answer, LoginAnswer, LoginQuestion, Question};
pub use session::Session;
