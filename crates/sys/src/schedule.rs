//! How the system divides its processors among the threads that are ready to run (sched(7)).

use std::io;

use nix::errno::Errno;
use nix::libc::{SCHED_BATCH, SCHED_OTHER, c_int, sched_getscheduler, sched_param, sched_setscheduler};

/// The calling thread, and what it starts from now on, work in batches (`SCHED_BATCH`): who of them is woken waits until
/// those at work wait themselves or have had their share, instead of interrupting them. While processors are free nothing
/// changes; when they are not, work gathers, and is done with fewer switches. A thread to which the administrator gave
/// another policy than the usual one keeps it.
///
/// # Errors
/// The system does not allow it: everything stays as it was.
pub fn in_batches() -> io::Result<()> {
    if policy()? == SCHED_OTHER { set(SCHED_BATCH) } else { Ok(()) }
}

#[allow(unsafe_code, reason = "neither nix nor rustix has this call")]
fn policy() -> io::Result<c_int> {
    // SAFETY: takes no pointer. 0 is the calling thread.
    Ok(Errno::result(unsafe { sched_getscheduler(0) })?)
}

#[allow(unsafe_code, reason = "neither nix nor rustix has this call")]
fn set(policy: c_int) -> io::Result<()> {
    let parameters = sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a value that lives until the call returns, which only reads it.
    Ok(Errno::result(unsafe { sched_setscheduler(0, policy, &raw const parameters) }).map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own, as the others of the test program are to stay as they are.
    #[test]
    fn a_thread_works_in_batches_and_so_does_what_it_starts() {
        let started = std::thread::spawn(|| {
            in_batches().expect("allowed");
            in_batches().expect("again");
            std::thread::spawn(policy).join().expect("no panic")
        });
        assert_eq!(started.join().expect("no panic").expect("a policy"), SCHED_BATCH);
        assert_eq!(policy().expect("a policy"), SCHED_OTHER);
    }
}
