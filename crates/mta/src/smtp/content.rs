//! The octets of a message, read a piece at a time from its queue file.
//!
//! What the system has at hand is read at once; only what it must fetch from the disk goes to the blocking pool.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};

/// A range of a file, read from front to back.
#[derive(Debug)]
pub(super) struct Content {
    file: Arc<File>,
    start: u64,
    end: u64,
    at: u64,
}

impl Content {
    pub(super) fn new(file: Arc<File>, start: u64, length: u64) -> Self {
        Self { file, start, end: start.saturating_add(length), at: start }
    }

    /// Back to the front.
    pub(super) fn rewind(&mut self) {
        self.at = self.start;
    }

    /// The next octets; none at the end.
    ///
    /// # Errors
    /// The disk's, or that the file is shorter than it should be.
    pub(super) async fn next(&mut self) -> io::Result<Bytes> {
        let length = usize::try_from(self.end - self.at).unwrap_or(PIECE).min(PIECE);
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut piece = vec![0; length];
        let count = match at_hand(&self.file, self.at, &mut piece) {
            Some(count) => count,
            None => {
                let (file, at) = (self.file.clone(), self.at);
                let read = move || file.read_at(&mut piece, at).map(|count| (piece, count));
                let (filled, count) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
                piece = filled;
                count
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        piece.truncate(count);
        Ok(Bytes::from(piece))
    }
}

/// Reads without waiting for the disk; `None` when that is not possible.
fn at_hand(file: &File, at: u64, piece: &mut [u8]) -> Option<usize> {
    loop {
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(piece)], at, ReadWriteFlags::NOWAIT) {
            Ok(0) | Err(Errno::AGAIN | Errno::OPNOTSUPP) => return None,
            Ok(count) => return Some(count),
            Err(Errno::INTR) => {}
            // The other way will say what it is.
            Err(_) => return None,
        }
    }
}

/// Whether there are octets outside ASCII before the first empty line.
pub(super) fn has_utf8_headers(file: &File, start: u64, length: u64) -> bool {
    let mut head = vec![0; usize::try_from(length).unwrap_or(LONGEST_HEAD).min(LONGEST_HEAD)];
    let count = file.read_at(&mut head, start).unwrap_or(0);
    head.truncate(count);
    let mut line_is_empty = true;
    for octet in head {
        match octet {
            b'\n' if line_is_empty => return false,
            b'\n' => line_is_empty = true,
            b'\r' => {}
            0x80.. => return true,
            _ => line_is_empty = false,
        }
    }
    false
}

const PIECE: usize = 64 * 1024;
const LONGEST_HEAD: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn the_range_is_read_in_pieces_and_again() {
        let mut file = tempfile::tempfile().expect("a file");
        let text: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&text).expect("written");
        let mut content = Content::new(Arc::new(file), 100, 150_000);
        for _ in 0..2 {
            let mut read = Vec::new();
            loop {
                let piece = content.next().await.expect("read");
                if piece.is_empty() {
                    break;
                }
                read.extend_from_slice(&piece);
            }
            assert_eq!(read, text[100..150_100]);
            content.rewind();
        }
        let mut short = Content::new(content.file.clone(), 199_999, 5);
        assert_eq!(short.next().await.expect("the last").len(), 1);
        assert!(short.next().await.is_err());
    }

    #[test]
    fn only_headers_count() {
        let is = |text: &str| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            has_utf8_headers(&file, 0, text.len() as u64)
        };
        assert!(is("Subject: été\n\nx") && is("é"));
        assert!(!is("Subject: a\n\né") && !is("") && !is("Subject: a\r\n\r\né"));
    }
}
