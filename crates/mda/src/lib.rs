//! The mailbox writer, run as the recipient.
