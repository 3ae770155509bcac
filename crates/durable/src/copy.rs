//! Octets from one file to another, moved by the kernel where it can.

use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::disk::File;

const CHUNK: usize = 128 * 1024;

/// Copies `(offset, len)` of `from` to `to` at `at`.
pub(crate) fn range(from: &File, (offset, len): (u64, u64), to: &File, at: u64) -> io::Result<()> {
    let done = match (from.fd(), to.fd()) {
        (Some(source), Some(target)) => in_kernel(source, target, (offset, len, at))?,
        _ => 0,
    };
    by_hand(from, (offset + done, len - done), to, at + done)
}

/// How many octets `copy_file_range` moved before it had enough or refused this pair of files.
fn in_kernel(source: BorrowedFd<'_>, target: BorrowedFd<'_>, (offset, len, at): (u64, u64, u64)) -> io::Result<u64> {
    let too_far = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let (mut read, mut write) = (i64::try_from(offset).map_err(too_far)?, i64::try_from(at).map_err(too_far)?);
    let mut left = len;
    while left > 0 {
        let ask = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        match nix::fcntl::copy_file_range(source, Some(&mut read), target, Some(&mut write), ask) {
            Ok(0) => break,
            Ok(n) => left -= n as u64,
            Err(Errno::EINTR) => {}
            // Other file systems, kernels without it, files opened for appending, a filter of system calls.
            Err(Errno::EXDEV | Errno::ENOSYS | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EBADF | Errno::EPERM) => {
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(len - left)
}

fn by_hand(from: &File, (offset, len): (u64, u64), to: &File, at: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    let mut chunk = vec![0; CHUNK.min(usize::try_from(len).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < len {
        let want = usize::try_from(len - done).unwrap_or(CHUNK).min(CHUNK);
        match from.read_at(&mut chunk[..want], offset + done)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                to.write_at(&chunk[..n], at + done)?;
                done += n as u64;
            }
        }
    }
    Ok(())
}
