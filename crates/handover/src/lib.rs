//! What `qmgr`, `local`, `mda` and `smtp` say to one another, in the packets of `sys::channel`.
//!
//! [`packet`] reads and writes fields, [`order`] is qmgr ↔ local, [`relay`] is qmgr ↔ smtp, [`task`] is local ↔ mda, [`target`] is
//! what aliases and `.forward` list, [`body`] the message itself, [`item`] how the queue names what is no address of it, [`aliases`] the files of aliases. The bytes come from another process and are taken as
//! hostile: a wrong length, an unknown kind or a missing descriptor is [`Malformed`], never a panic, and the caller drops
//! that peer only.

pub mod aliases;
pub mod body;
pub mod item;
pub mod order;
pub mod packet;
pub mod relay;
pub mod target;
pub mod task;

pub use body::Body;
pub use order::{Expansion, Order, Outcome, Reply};
pub use packet::Malformed;
pub use relay::{RelayOrder, Report};
pub use target::Target;
pub use task::{Task, What};
