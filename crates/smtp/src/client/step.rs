//! The steps of a dialogue: what each is called in texts, and how long the peer may take for it.

use core::time::Duration;

use super::Timeouts;

/// What the peer's next reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Greeting,
    Ehlo,
    Helo,
    Lhlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Bdat,
    /// The content itself, while we send it.
    Body,
    /// The lone dot, or the last chunk.
    End,
    Rset,
    Quit,
}

impl Step {
    /// After `while`: what we were doing when the connection was lost or timed out.
    pub(super) const fn doing(self) -> &'static str {
        match self {
            Self::Greeting => "receiving the initial server greeting",
            Self::Ehlo => "performing the EHLO handshake",
            Self::Helo => "performing the HELO handshake",
            Self::Lhlo => "performing the LHLO handshake",
            Self::StartTls => "receiving the STARTTLS response",
            Self::Auth => "performing the AUTH handshake",
            Self::Mail => "sending MAIL FROM",
            Self::Rcpt => "sending RCPT TO",
            Self::Data => "sending DATA command",
            Self::Bdat | Self::Body => "sending message body",
            Self::End => "sending end of data -- message may be sent more than once",
            Self::Rset => "sending final RSET",
            Self::Quit => "sending QUIT",
        }
    }

    /// After `in reply to`.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Greeting => "connection",
            Self::Ehlo => "EHLO command",
            Self::Helo => "HELO command",
            Self::Lhlo => "LHLO command",
            Self::StartTls => "STARTTLS command",
            Self::Auth => "AUTH command",
            Self::Mail => "MAIL FROM command",
            Self::Rcpt => "RCPT TO command",
            Self::Data => "DATA command",
            Self::Bdat => "BDAT command",
            Self::Body => "message body",
            Self::End => "end of DATA command",
            Self::Rset => "final RSET command",
            Self::Quit => "QUIT command",
        }
    }

    pub(super) const fn limit(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Greeting | Self::Ehlo | Self::Helo | Self::Lhlo | Self::Auth => timeouts.helo,
            Self::StartTls => timeouts.starttls,
            Self::Mail => timeouts.mail,
            Self::Rcpt => timeouts.rcpt,
            Self::Data => timeouts.data_init,
            Self::Bdat | Self::Body => timeouts.data_xfer,
            Self::End => timeouts.data_done,
            Self::Rset => timeouts.rset,
            Self::Quit => timeouts.quit,
        }
    }
}
