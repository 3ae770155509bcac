//! SASL mechanisms, one small machine each.
