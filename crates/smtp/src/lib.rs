//! SMTP: grammar, server and client machines.
