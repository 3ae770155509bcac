//! Giving up power for good: another user, a borrowed group, a jail. Plain blocking functions for programs that start as root, called before any thread exists:
//! Landlock binds only the thread that asks for it and those it starts later.

pub mod jail;
pub mod user;

pub use jail::{Exec, Jail, Network, jail};
pub use user::{Error, User, as_group, become_user, become_user_in, find_group, find_user, is_root};
