//! The runtime of a program.
//!
//! tokio panics where it cannot make the pair of sockets by which signals wake it: once a process, with the first runtime. So
//! a pair is made and given back before. It panics, too, where it cannot start the threads that do its work. Either way a program
//! for which there is no descriptor, no memory or no thread says so in one line and ends, to be started again.

use std::io;
use std::os::unix::net::UnixStream;
use std::panic;

use tokio::runtime::{Builder, Runtime};

use crate::log;

/// A runtime with timers, sockets and signals.
///
/// # Errors
/// Descriptors, memory or threads are missing.
pub fn build(builder: &mut Builder) -> io::Result<Runtime> {
    drop(UnixStream::pair()?);
    let of_the_program = panic::take_hook();
    // Half a runtime would wait for its threads for ever: nothing is unwound.
    panic::set_hook(Box::new(|_| {
        log::fatal("the system has no thread left");
        std::process::exit(1);
    }));
    let built = builder.enable_all().build();
    panic::set_hook(of_the_program);
    built
}
