//! Sockets that carry descriptors, and system calls that nobody wraps safely: the only unsafe code of the workspace, one
//! call in each block.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc::{
    SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, c_uint, sync_file_range,
};

pub mod channel;
pub mod schedule;

/// Has the kernel begin to write the content of a file to its disk, without waiting for it (sync_file_range(2)).
///
/// # Errors
/// The disk's.
pub fn begin_writing(file: BorrowedFd<'_>) -> io::Result<()> {
    write_range(file, SYNC_FILE_RANGE_WRITE)
}

/// Returns when the whole content of a file is with its disk. That is no sync: what leads to the content, such as its
/// length, may be in the memory still, and the disk's own cache is not emptied.
///
/// # Errors
/// The disk's; the kernel tells of each of its errors once.
pub fn write(file: BorrowedFd<'_>) -> io::Result<()> {
    write_range(file, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
}

#[allow(unsafe_code, reason = "neither nix nor rustix has this call")]
fn write_range(file: BorrowedFd<'_>, flags: c_uint) -> io::Result<()> {
    loop {
        // SAFETY: takes no pointer, and the descriptor is open as long as it is borrowed. 0 octets from 0: all.
        let outcome = unsafe { sync_file_range(file.as_raw_fd(), 0, 0, flags) };
        match nix::errno::Errno::result(outcome) {
            Err(nix::errno::Errno::EINTR) => {}
            done => return Ok(done.map(drop)?),
        }
    }
}

/// From now on the process ends at once and in silence when it writes to a pipe that nobody reads (SIGPIPE): `| head` is no
/// mistake. For commands that only show something.
pub fn end_with_the_reader() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    #[allow(unsafe_code, reason = "neither nix nor rustix has this call")]
    // SAFETY: no handler is installed: it is the system's own action that is restored.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn files_are_written_and_pipes_are_not() {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(b"content").expect("written");
        begin_writing(file.as_fd()).expect("begun");
        write(file.as_fd()).expect("written");
        let (reader, _writer) = std::io::pipe().expect("pipe");
        assert_eq!(write(reader.as_fd()).expect_err("a pipe").raw_os_error(), Some(nix::libc::ESPIPE));
    }
}
