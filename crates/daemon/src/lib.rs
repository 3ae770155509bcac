//! What every daemon of ours is made of: the only pump between octets, machine and world; listening sockets, TLS,
//! limits, supervision, signals and the log. It knows no protocol and reads no configuration.

pub mod arguments;
pub mod channel;
pub mod connect;
pub mod limits;
pub mod listen;
pub mod log;
pub mod login;
pub mod pump;
pub mod ready;
pub mod runtime;
pub mod settled;
pub mod shutdown;
pub mod stream;
pub mod supervise;
pub mod tls;
pub mod version;

pub use channel::Channel;
pub use pump::{Ended, Handshake, Options, Why, World, serve};
pub use stream::Stream;
