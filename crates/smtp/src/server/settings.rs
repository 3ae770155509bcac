//! What a session is told at its start: who we are, who the client is, and the limits. Plain values, resolved by the program.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mail::{Domain, OldForms};

/// Everything that does not change during the session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `myhostname`: greets, stands in Received and in 421 replies.
    pub hostname: String,
    /// What follows the host name in the greeting: `ESMTP Facteur`.
    pub banner: String,
    /// `myorigin`: completes bare addresses.
    pub origin: Domain,
    /// Who connected.
    pub client: Client,
    /// What the client may do.
    pub policy: Policy,
    /// Budgets.
    pub limits: Limits,
    /// EHLO keywords, in small letters, that are not announced (`smtpd_discard_ehlo_keywords`); what they name still works,
    /// but CHUNKING, which takes BDAT and BINARYMIME with it.
    pub discarded: Vec<String>,
}

impl Settings {
    /// Whether an EHLO keyword is not announced.
    pub(super) fn keeps_back(&self, keyword: &str) -> bool {
        self.discarded.iter().any(|word| word.eq_ignore_ascii_case(keyword))
    }

    /// Whether there is BDAT, and with it BINARYMIME (RFC 3030 §3).
    pub(super) fn takes_chunks(&self) -> bool {
        !self.keeps_back("CHUNKING")
    }
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name, checked both ways, or `unknown`.
    pub name: String,
    /// Its IP address as text, without brackets; `IPv6:` is not in front.
    pub address: String,
}

/// Rules that depend on port, configuration and client.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The client is in `mynetworks`: may relay, gets missing headers.
    pub in_my_networks: bool,
    /// A session whose first line ends in a bare LF is a line-feed session (`smtpd_forbid_bare_newline` and its exclusions).
    pub line_feeds: bool,
    /// MAIL and ETRN only after HELO or EHLO (`smtpd_helo_required`).
    pub helo_required: bool,
    /// Commands that must end a pipeline and do not end the session (`smtpd_forbid_unauth_pipelining`).
    pub forbid_pipelining: bool,
    /// A submission port: mail only after AUTH.
    pub submission: bool,
    /// STARTTLS can be offered.
    pub tls_available: bool,
    /// Nothing but TLS first (`smtpd_tls_security_level: encrypt`).
    pub tls_required: bool,
    /// AUTH at all (`smtpd_sasl_auth_enable`).
    pub auth: Auth,
    /// VRFY answers (`disable_vrfy_command` off).
    pub vrfy: bool,
    /// The client spoke before our greeting and must be refused for it.
    pub early_talker: bool,
    /// The world counts messages (`smtpd_client_message_rate_limit`).
    pub counts_messages: bool,
    /// Which old ways to write an address are understood.
    pub forms: OldForms,
    /// What is said is kept for [`super::Session::report`].
    pub transcript: bool,
}

/// When AUTH is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Never.
    Off,
    /// Only under TLS (`smtpd_tls_auth_only`).
    UnderTls,
    /// Also in clear.
    Always,
}

/// Budgets, named as in Postfix.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `message_size_limit`; 0: none.
    pub message_size: u64,
    /// `smtpd_recipient_limit`
    pub recipients: usize,
    /// `smtpd_recipient_overshoot_limit`: recipients beyond that are refused without counting as errors.
    pub overshoot: usize,
    /// `smtpd_soft_error_limit`: from here on replies to errors are delayed.
    pub soft_errors: u32,
    /// `smtpd_error_sleep_time`
    pub error_pause: Duration,
    /// `smtpd_hard_error_limit`
    pub hard_errors: u32,
    /// `smtpd_junk_command_limit`: NOOP, RSET, VRFY, ETRN, HELP without a mail between them.
    pub junk_commands: u32,
    /// `line_length_limit`
    pub line_length: usize,
}

impl Client {
    /// As in Received: `localhost [127.0.0.1]` (RFC 5321 §4.1.3 for IPv6).
    #[must_use]
    pub fn trace(&self) -> String {
        let kind = if self.address.contains(':') { "IPv6:" } else { "" };
        alloc::format!("{} [{kind}{}]", self.name, self.address)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            in_my_networks: false,
            line_feeds: false,
            helo_required: false,
            forbid_pipelining: false,
            submission: false,
            tls_available: false,
            tls_required: false,
            auth: Auth::Off,
            vrfy: true,
            early_talker: false,
            counts_messages: false,
            forms: OldForms::default(),
            transcript: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 10_240_000,
            recipients: 1000,
            overshoot: 1000,
            soft_errors: 10,
            error_pause: Duration::from_secs(1),
            hard_errors: 20,
            junk_commands: 100,
            line_length: 2048,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.address)
    }
}
