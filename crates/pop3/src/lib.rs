//! POP3 (RFC 1939 with 2449, 2595, 3206, 5034, 6856) as two machines: [`Login`] until somebody has logged in, in one
//! process; [`Session`] after that, in another. All they want from the world is in [`question`].
//!
//! Commands may end in LF as well as CRLF and come in any letter case; replies are those people and programs know from
//! Dovecot. Messages are deleted at QUIT and never before (RFC 1939 §6); a deletion that failed is never called done.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod grammar;
pub mod login;
pub mod question;
pub mod session;

mod content;

pub use login::Login;
pub use session::Session;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use wire::Effect;

/// The longest command line that is read. RFC 2449 §4 asks for 255; SASL responses need more.
pub const LINE_LIMIT: usize = 4096;
/// How long a client may be silent after login: at least ten minutes (RFC 1939 §3).
pub const SILENCE: core::time::Duration = core::time::Duration::from_secs(600);

/// Sends one reply line.
fn say<Q>(effects: &mut Vec<Effect<Q>>, line: &'static str) {
    effects.push(Effect::Send(Bytes::from_static(line.as_bytes())));
    effects.push(Effect::Send(Bytes::from_static(b"\r\n")));
}

/// Sends one reply line that was put together; line ends in what a client sent are not echoed.
fn say_text<Q>(effects: &mut Vec<Effect<Q>>, mut line: String) {
    line.retain(|c| !c.is_control());
    line.push_str("\r\n");
    effects.push(Effect::Send(Bytes::from(line)));
}

const IDLE: &str = "-ERR Disconnected for inactivity.";
const STOPPING: &str = "-ERR [SYS/TEMP] Server shutting down.";
const TOO_LONG: &str = "-ERR Input line too long.";
const TOO_MANY_ERRORS: &str = "-ERR Too many bad commands.";
/// Bad commands before the connection is closed.
const MOST_ERRORS: u32 = 20;
