//! A connection in clear or under TLS, as one type, so that STARTTLS can change it underneath a session.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;
use wire::Security;

use crate::tls::Tls;
use crate::tls::client::{Trust, Wanted};

/// A connection.
#[derive(Debug)]
pub enum Stream<S> {
    /// In clear.
    Clear(S),
    /// Under TLS.
    Tls(Box<TlsStream<S>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Does the TLS handshake as server. The caller sets the time limit.
    ///
    /// # Errors
    /// When the handshake fails; the connection is gone then. Starting TLS within TLS is refused.
    pub async fn secure(self, tls: &Tls) -> io::Result<Self> {
        match self {
            Self::Clear(stream) => Ok(Self::Tls(Box::new(tls.acceptor().accept(stream).await?.into()))),
            Self::Tls(_) => Err(io::Error::other("TLS is on already")),
        }
    }

    /// Does the TLS handshake as client. The caller sets the time limit; who the peer is, [`Stream::trust`] tells.
    ///
    /// # Errors
    /// As for [`Stream::secure`].
    pub async fn secure_as_client(self, wanted: &Wanted) -> io::Result<Self> {
        match self {
            Self::Clear(stream) => {
                let name = wanted.server_name()?;
                Ok(Self::Tls(Box::new(wanted.client.connector().connect(name, stream).await?.into())))
            }
            Self::Tls(_) => Err(io::Error::other("TLS is on already")),
        }
    }

    /// What the certificate of a server is worth.
    #[must_use]
    pub fn trust(&self, wanted: &Wanted) -> Trust {
        match self {
            Self::Clear(_) => wanted.judge(None),
            Self::Tls(stream) => wanted.judge(stream.get_ref().1.peer_certificates()),
        }
    }

    /// Whether TLS covers it.
    #[must_use]
    pub const fn security(&self) -> Security {
        match self {
            Self::Clear(_) => Security::Clear,
            Self::Tls(_) => Security::Tls,
        }
    }

    /// `TLSv1.3 with cipher TLS13_AES_256_GCM_SHA384`, or `None` in clear.
    #[must_use]
    pub fn tls_details(&self) -> Option<String> {
        let Self::Tls(stream) = self else { return None };
        let session = stream.get_ref().1;
        let version = match session.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let cipher = format!("{:?}", session.negotiated_cipher_suite()?.suite()).replace("TLS13_", "TLS_");
        Some(format!("{version} with cipher {cipher}"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
