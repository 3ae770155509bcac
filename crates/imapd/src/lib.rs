//! The IMAP server: three programs ([`readers`]), the machines of [`imap`], and a world over [`mailstore`].
//!
//! | program | runs as | does |
//! |---|---|---|
//! | `imapd` | root | binds 143 and 993, checks passwords, starts the others |
//! | `imap-login` | `facteur-login`, jailed | TLS, greeting, LOGIN, AUTHENTICATE, STARTTLS |
//! | `imap` | the user, jailed | all sessions of one user, which see one another's changes at once |

mod follower;
mod login;
mod lookup;
mod mailboxes;
mod reading;
mod session;
mod shared;
mod trouble;
mod watch;
mod world;

use std::process::ExitCode;

use readers::{Service, Silence};

/// Names and numbers. The pump's patience is the pause after which an idling client hears `Still here`; a client that
/// does not idle may be silent for half an hour of such pauses.
pub const SERVICE: Service = Service {
    protocol: "imap",
    keeper: "imapd",
    front: "imap-login",
    worker: "imap",
    port: 143,
    tls_port: 993,
    line_limit: 64 * 1024,
    silence: Silence::Parameter(session::PAUSE),
};

/// `imapd`
#[must_use]
pub fn keeper() -> ExitCode {
    readers::keeper::main(&SERVICE)
}

/// `imap-login`
#[must_use]
pub fn front() -> ExitCode {
    readers::front::main(&SERVICE, login::Imap::new)
}

/// `imap`
#[must_use]
pub fn worker() -> ExitCode {
    readers::worker::main(&SERVICE, session::Imap::new)
}
