//! The only pump: listening, TLS, limits, jails, shutdown and the log.
