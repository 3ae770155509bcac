//! What a client session is told at its start: whom it speaks to, how, and with which patience. Plain values, resolved by the
//! program from the parameters named at each field (`smtp_…`; `lmtp_…` for LMTP).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use sasl::client::{Login, Mechanism};

/// Everything that does not change during the session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub dialect: Dialect,
    /// `smtp_helo_name`
    pub helo: String,
    /// The other end.
    pub host: Host,
    /// What to do about TLS.
    pub tls: TlsWish,
    /// How to log in, when the peer offers it.
    pub login: Option<Authentication>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Ways of speaking.
    pub manner: Manner,
    /// Recognizing oneself.
    pub myself: Option<Myself>,
}

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 5321
    #[default]
    Smtp,
    /// RFC 2033: LHLO, and one reply per recipient after the message.
    Lmtp,
}

/// The other end, for the log and the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name as looked up, or its address.
    pub name: String,
    /// Its IP address as text, or the path of a socket.
    pub address: String,
}

/// What to do about TLS in a session that begins in clear. A session that begins under TLS needs nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsWish {
    /// Never start it.
    #[default]
    Off,
    /// Start it when it is offered.
    May,
    /// No mail without it. Whether the peer is who it should be, [`super::Question::Secured`] asks.
    Must,
}

/// How to log in.
#[derive(Clone, Debug)]
pub struct Authentication {
    /// User and secret.
    pub login: Login,
    /// Those allowed under TLS (`smtp_sasl_tls_security_options`, `smtp_sasl_mechanism_filter`).
    pub mechanisms: Vec<Mechanism>,
    /// Those allowed in clear (`smtp_sasl_security_options`).
    pub in_clear: Vec<Mechanism>,
    /// Printable ASCII without commas, new for each session and not to be guessed: 18 random octets in base64, say.
    pub nonce: String,
    /// `smtp_sasl_auth_soft_bounce`: a refused login defers.
    pub soft_bounce: bool,
}

/// Time limits, named as in Postfix. `smtp_connect_timeout` is the program's.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `smtp_helo_timeout`: greeting, EHLO, AUTH.
    pub helo: Duration,
    /// `smtp_starttls_timeout`
    pub starttls: Duration,
    /// `smtp_mail_timeout`
    pub mail: Duration,
    /// `smtp_rcpt_timeout`
    pub rcpt: Duration,
    /// `smtp_data_init_timeout`
    pub data_init: Duration,
    /// `smtp_data_xfer_timeout`
    pub data_xfer: Duration,
    /// `smtp_data_done_timeout`
    pub data_done: Duration,
    /// `smtp_rset_timeout`
    pub rset: Duration,
    /// `smtp_quit_timeout`
    pub quit: Duration,
    /// How long an idle connection is kept for more mail (`smtp_connection_cache_time_limit`).
    pub idle: Duration,
}

/// Ways of speaking.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Commands go in groups when the peer offers that (RFC 2920).
    pub pipelining: bool,
    /// EHLO keywords, in small letters, that are taken as not offered (`smtp_discard_ehlo_keywords`).
    pub discarded: Vec<String>,
    /// `smtp_always_send_ehlo`; off: HELO unless the greeting says ESMTP.
    pub always_ehlo: bool,
    /// `smtp_never_send_ehlo`
    pub never_ehlo: bool,
    /// `smtp_skip_5xx_greeting`: a greeting of 5xx is the host's trouble only, and defers.
    pub skip_5xx_greeting: bool,
    /// `smtp_skip_quit_response`: QUIT and close at once.
    pub skip_quit_response: bool,
    /// `smtp_line_length_limit`: longer lines of a message are broken by CR LF and a blank; 0: never.
    pub line_length: usize,
    /// Not `disable_mime_output_conversion`: 8-bit content is made 7-bit for a peer without 8BITMIME.
    pub convert_8bit: bool,
}

/// Recognizing oneself at the other end.
#[derive(Clone, Debug)]
pub struct Myself {
    /// `myhostname`
    pub hostname: String,
    /// The domain whose mail comes back to us.
    pub domain: String,
    /// The peer is the best host for the domain, so another one cannot help: the mail bounces.
    pub best: bool,
}

impl Settings {
    /// The usual SMTP session in clear.
    #[must_use]
    pub fn new(helo: impl Into<String>, host: Host) -> Self {
        Self {
            dialect: Dialect::Smtp,
            helo: helo.into(),
            host,
            tls: TlsWish::Off,
            login: None,
            timeouts: Timeouts::default(),
            manner: Manner::default(),
            myself: None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            helo: seconds(300),
            starttls: seconds(300),
            mail: seconds(300),
            rcpt: seconds(300),
            data_init: seconds(120),
            data_xfer: seconds(180),
            data_done: seconds(600),
            rset: seconds(20),
            quit: seconds(300),
            idle: seconds(2),
        }
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            pipelining: true,
            discarded: Vec::new(),
            always_ehlo: true,
            never_ehlo: false,
            skip_5xx_greeting: true,
            skip_quit_response: true,
            line_length: 998,
            convert_8bit: true,
        }
    }
}

/// `mx.example.org[192.0.2.1]`, as in the log.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.address)
    }
}
