//! The POP3 server: keeper, login front, session worker.
