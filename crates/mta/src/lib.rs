//! Mail transport: master, smtpd, pickup, qmgr, local, sendmail, mailq.

pub mod spool;
