//! The octets of a message, read a piece at a time from its queue file.
//!
//! What the system has at hand is read at once; only what it must fetch from the disk goes to the blocking pool.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};

use super::exit::Head;

/// A range of a file, read from front to back; its head may be another one.
#[derive(Debug)]
pub(super) struct Content {
    file: Arc<File>,
    head: Option<Head>,
    start: u64,
    end: u64,
    at: u64,
}

impl Content {
    pub(super) fn new(file: Arc<File>, start: u64, length: u64, head: Option<Head>) -> Self {
        Self { file, head, start, end: start.saturating_add(length), at: start }
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
        if let Some(head) = self.head.as_ref().filter(|_| self.at == self.start) {
            self.at += head.replaced;
            return Ok(head.text.clone());
        }
        let length = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(PIECE).min(PIECE);
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
    !front(file, start, length).0.is_ascii()
}

/// The header block with the empty line at its end; `None` when it is not all there within reason.
pub(super) fn head(file: &File, start: u64, length: u64) -> Option<Vec<u8>> {
    Some(front(file, start, length)).filter(|(_, ended)| *ended).map(|(head, _)| head)
}

/// What stands before the content, and whether its end was found.
fn front(file: &File, start: u64, length: u64) -> (Vec<u8>, bool) {
    let mut front = vec![0; usize::try_from(length).unwrap_or(LONGEST_HEAD).min(LONGEST_HEAD)];
    let count = file.read_at(&mut front, start).unwrap_or(0);
    front.truncate(count);
    let mut line_is_empty = true;
    for (place, octet) in front.iter().enumerate() {
        match octet {
            b'\n' if line_is_empty => {
                front.truncate(place + 1);
                return (front, true);
            }
            b'\n' => line_is_empty = true,
            b'\r' => {}
            _ => line_is_empty = false,
        }
    }
    (front, false)
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
        let mut content = Content::new(Arc::new(file), 100, 150_000, None);
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
        let mut short = Content::new(content.file.clone(), 199_999, 5, None);
        assert_eq!(short.next().await.expect("the last").len(), 1);
        assert!(short.next().await.is_err());
    }

    #[tokio::test]
    async fn another_head_goes_in_front() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"..A: b\n\nbody").expect("written");
        assert_eq!(head(&file, 2, 10).as_deref(), Some(&b"A: b\n\n"[..]));
        assert_eq!(head(&file, 2, 5), None);
        let new = Head { text: Bytes::from_static(b"A: longer\n\n"), replaced: 6 };
        let mut content = Content::new(Arc::new(file), 2, 10, Some(new));
        for _ in 0..2 {
            let (front, rest) = (content.next().await.expect("read"), content.next().await.expect("read"));
            assert_eq!((&front[..], &rest[..]), (&b"A: longer\n\n"[..], &b"body"[..]));
            assert!(content.next().await.expect("read").is_empty());
            content.rewind();
        }
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
