//! Replies: how values are written on the wire.

#[macro_use]
pub mod write;

pub mod envelope;
pub mod fetch;
pub mod section;
pub mod structure;
pub mod text;
