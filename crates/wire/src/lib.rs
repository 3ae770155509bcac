//! What a session is: a [`Machine`] without I/O, the [`Input`]s it takes, the [`Effect`]s it asks for, and the
//! one [`Reader`] that turns octets into inputs for every protocol.
//!
//! A protocol crate implements [`Machine`]; `daemon::pump` joins it to a socket and to a world that answers
//! its questions; tests drive it from text with no runtime at all.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod machine;
pub mod reader;
pub mod secret;

pub use machine::{Effect, Input, Machine, Security};
pub use reader::{Framing, LineEnd, Oddities, Piece, Reader};
pub use secret::Secret;
