//! Maildir and Maildir++, with the control files of Dovecot and Courier.

pub(crate) mod control;
pub mod delivery;
pub(crate) mod keywords;
pub(crate) mod name;

pub use delivery::{Delivered, Delivery, Pending};
