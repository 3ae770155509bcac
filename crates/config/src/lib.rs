//! The parameter table and the configuration reader.
