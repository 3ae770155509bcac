//! Who exists, and whether a password is right.
