//! The runtime of a program.
//!
//! tokio panics where it cannot make the pair of sockets by which signals wake it: once a process, with the first runtime. So
//! a pair is made and given back before: a program for which there is no descriptor or no memory says so in one line and ends,
//! to be started again.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

/// A runtime with timers, sockets and signals.
///
/// # Errors
/// Descriptors, memory or threads are missing.
pub fn build(builder: &mut Builder) -> io::Result<Runtime> {
    drop(UnixStream::pair()?);
    builder.enable_all().build()
}
