//! The client side: SCRAM-SHA-256 (RFC 5802, RFC 7677), PLAIN (RFC 4616), LOGIN and XOAUTH2.

use alloc::string::String;

use wire::Secret;

/// Who we are to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password, or the access token for XOAUTH2.
    pub secret: Secret<String>,
}

/// What the client can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677; the password does not travel.
    ScramSha256,
    /// RFC 4616
    Plain,
    /// User name, then password.
    Login,
    /// An access token in place of a password (Google, Microsoft).
    XOAuth2,
}
