//! Maildir and Maildir++, with the control files of Dovecot and Courier.

pub mod delivery;

pub use delivery::{Delivered, Delivery, Pending};
