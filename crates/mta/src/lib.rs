//! Mail transport: master, smtpd, pickup, qmgr, local, smtp, sendmail, mailq.

pub mod bounce;
pub mod cleanup;
pub mod control;
pub mod local;
pub mod master;
mod orders;
pub mod pickup;
mod prompt;
pub mod qmgr;
pub mod sendmail;
pub mod set_up;
pub mod smtp;
pub mod smtpd;
