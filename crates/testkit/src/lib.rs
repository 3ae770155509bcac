//! What tests share: the runner of golden dialogues.
//!
//! Development only; no program links it. Temporary folders are `tempfile`'s.

pub mod session;

pub use session::{Protocol, Setup};
