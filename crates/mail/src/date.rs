//! Dates of mail (RFC 5322 §3.3) and of IMAP (RFC 9051 date-time), from and to seconds since 1970.
