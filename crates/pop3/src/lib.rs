//! POP3: grammar and session machines.
