//! Maildir and Maildir++, with the control files of Dovecot and Courier.

mod change;
pub(crate) mod control;
pub mod delivery;
mod doubles;
pub(crate) mod folder;
pub(crate) mod keywords;
pub(crate) mod name;
pub(crate) mod scan;
pub(crate) mod tree;
pub(crate) mod uidlist;

pub use delivery::{Delivered, Delivery, Pending};

#[cfg(test)]
mod tests;
