//! The grammar of IMAP (RFC 9051 §9, RFC 3501 §9), one function per rule, by hand.
//!
//! Each function takes from a [`Cursor`] what its rule describes and fails with [`Syntax`] otherwise. Values are
//! right by construction: no zero among message numbers, no mailbox name that is not UTF-8.

pub mod append;
pub mod cursor;
pub mod date;
pub mod fetch;
pub mod flag;
pub mod list;
pub mod mailbox;
pub mod number;
pub mod search;
pub mod set;
pub mod string;

pub use cursor::{Cursor, Parsed, Syntax};
