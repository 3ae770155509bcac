//! Local delivery: what an address of ours stands for, and the mailbox writer that becomes its owner.

pub mod aliases;
pub mod expand;
