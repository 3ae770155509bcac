//! Header fields in the octets of a message (RFC 5322 §2.2), found without copying; address lists for IMAP's ENVELOPE.
