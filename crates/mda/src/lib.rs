//! The mailbox writer, run as the recipient: takes messages over its standard input and puts each where its owner
//! wants it: the `.forward`, the mailbox command, the Maildir or mbox.
//!
//! [`serve`] is the loop, [`route`] decides, [`mailbox`], [`command`] and [`forward`] do. No tokio, no net, no root.

pub mod biff;
pub mod command;
pub mod forward;
pub mod mailbox;
pub mod message;
pub mod route;
pub mod serve;
pub mod settings;
