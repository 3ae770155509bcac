//! The MIME structure of a message (RFC 2045, RFC 2046): parts with their octet ranges.
