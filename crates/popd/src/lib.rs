//! The POP3 server: three programs ([`readers`]), the machines of [`pop3`], and a world over [`mailstore`].
//!
//! | program | runs as | does |
//! |---|---|---|
//! | `popd` | root | binds 110 and 995, checks passwords, starts the others |
//! | `pop3-login` | `facteur-login`, jailed | TLS, greeting, USER, PASS, AUTH, STLS |
//! | `pop3` | the user, jailed | all sessions of one user |

mod inbox;
mod login;

use std::process::ExitCode;

use readers::{Service, Silence};

/// Names and numbers.
pub const SERVICE: Service = Service {
    protocol: "pop3",
    keeper: "popd",
    front: "pop3-login",
    worker: "pop3",
    port: 110,
    tls_port: 995,
    line_limit: pop3::LINE_LIMIT,
    silence: Silence::Fixed(pop3::SILENCE),
};

/// `popd`
#[must_use]
pub fn keeper() -> ExitCode {
    readers::keeper::main(&SERVICE)
}

/// `pop3-login`
#[must_use]
pub fn front() -> ExitCode {
    readers::front::main(&SERVICE, login::Pop3::new)
}

/// `pop3`
#[must_use]
pub fn worker() -> ExitCode {
    readers::worker::main(&SERVICE, inbox::Inboxes::new)
}
