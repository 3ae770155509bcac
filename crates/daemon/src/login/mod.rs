//! What POP3 and IMAP servers share: a keeper, a front and workers, three programs with ever less power.
//!
//! ```text
//!  client ──▶ front (user facteur-login, jailed) ──name, password──▶ keeper (root) ──session──▶ worker (the user)
//!                 greeting, TLS, login                ◀──admitted───  checks, starts workers         │
//!                 └───────────── the connection, or one end of a pipe under TLS ────────────────────▶┘
//! ```
//!
//! - The **[`keeper`]** binds the ports, checks passwords and starts one worker per user. It reads no octet a client
//!   sent except name and password.
//! - The **[`front`]** holds every connection until somebody has logged in. It can hand a connection to a user's worker
//!   only after the keeper itself found the password right: an admission is used once.
//! - A **[`worker`]** serves all sessions of one user, as that user, and ends a while after the last one.
//!
//! A protocol brings three things: its login machine ([`front::Protocol`]), its session machine with its world
//! ([`worker::Mail`]), and names and ports ([`keeper::Settings`]). With one uid (the one-directory mode) all is the same,
//! nobody changes user.

pub mod front;
pub mod keeper;
pub mod message;
pub mod worker;

mod certificate;
mod connection;
mod failures;
mod passwords;
mod places;
mod proxy;
mod visit;

#[cfg(test)]
mod tests;
mod workers;

pub use message::{Outcome, Session};
