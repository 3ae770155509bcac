//! IMAP: grammar and session machines.
