//! The connection beneath the pump: what has been read but not cut, written but not sent.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wire::Reader;

use super::{Ended, Why};
use crate::stream::Stream;

/// The connection with what has been read but not cut, and written but not sent.
pub(super) struct Line<S> {
    pub(super) stream: Option<Stream<S>>,
    pub(super) reader: Reader,
    pub(super) out: Vec<u8>,
    pub(super) octets_in: u64,
    pub(super) octets_out: u64,
    pub(super) gone: bool,
    /// How long the peer may take to receive.
    pub(super) limit: Duration,
    /// Cancelled when the place is wanted by somebody else.
    pub(super) leave: Option<CancellationToken>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<(), Why> {
        if self.gone {
            return Ok(());
        }
        self.octets_out += octets.len() as u64;
        if self.out.len() + octets.len() <= GATHERED {
            self.out.extend_from_slice(octets);
            return Ok(());
        }
        self.flush().await?;
        self.write(octets).await
    }

    pub(super) async fn flush(&mut self) -> Result<(), Why> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.out);
        let result = self.write(&out).await;
        out.clear();
        if out.capacity() <= KEPT {
            self.out = out;
        }
        result
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Why> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.gone) else { return Err(Why::PeerGone) };
        let all = async {
            stream.write_all(octets).await?;
            stream.flush().await
        };
        let leave = self.leave.as_ref();
        tokio::select! {
            biased;
            sent = timeout(self.limit, all) => match sent {
                Ok(sent) => sent.map_err(|_| Why::PeerGone),
                Err(_) => Err(Why::SendTimedOut),
            },
            () = left(leave, GOODBYE) => Err(Why::SendTimedOut),
        }
    }

    pub(super) async fn finish(mut self, why: Why) -> Ended<S> {
        if matches!(why, Why::Closed | Why::Detached) {
            self.limit = GOODBYE;
            let _ = self.flush().await;
        }
        // In clear, closing the connection says all there is to say.
        if let Some(Stream::Tls(stream)) = self.stream.as_mut().filter(|_| !matches!(why, Why::Detached)) {
            let _ = timeout(GOODBYE, stream.shutdown()).await;
        }
        let (octets_in, octets_out) = (self.octets_in, self.octets_out);
        let stream = if matches!(why, Why::Detached) { self.stream } else { None };
        Ended { why, octets_in, octets_out, stream, buffered: self.reader.take_buffered() }
    }
}

/// Returns that long after the place was wanted by somebody else.
pub(super) async fn left(leave: Option<&CancellationToken>, grace: Duration) {
    match leave {
        Some(leave) => leave.cancelled().await,
        None => pending().await,
    }
    if !grace.is_zero() {
        tokio::time::sleep(grace).await;
    }
}

/// Reads at most so much once, by way of one buffer per thread: a silent session holds no read buffer of its own.
pub(super) fn read_into<S: AsyncRead + Unpin>(
    stream: &mut S,
    reader: &mut Reader,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let most = most.min(scratch.len());
        let mut buffer = ReadBuf::new(&mut scratch[..most]);
        match Pin::new(stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                reader.feed(buffer.filled());
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => Poll::Pending,
        }
    })
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_AT_ONCE]);
}

/// The most that is ever read at a time.
pub const READ_AT_ONCE: usize = 64 * 1024;
/// Replies are gathered up to this many octets.
const GATHERED: usize = 64 * 1024;
/// An output buffer larger than this is not kept between replies.
const KEPT: usize = 8 * 1024;
const GOODBYE: Duration = Duration::from_secs(2);
