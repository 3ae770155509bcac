//! The facteur command.
