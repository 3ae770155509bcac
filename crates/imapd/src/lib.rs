//! The IMAP server: keeper, login front, session worker.
