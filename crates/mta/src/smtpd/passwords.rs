//! Asks master whether a password is right.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use accounts::check::{MAX_CREDENTIAL, Outcome, Reply, Request};
use daemon::Channel;
use tokio::sync::oneshot;
use wire::Secret;

/// The questions that are open.
pub(super) struct Passwords {
    channel: Channel,
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Outcome>>>,
}

impl Passwords {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, last: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// What master sends comes here.
    pub(super) const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// A reply has come.
    pub(super) fn reply(&self, message: &[u8]) {
        match Reply::decode(message) {
            Ok(reply) => {
                if let Some(asker) = self.waiting().remove(&reply.id) {
                    let _ = asker.send(reply.outcome);
                }
            }
            Err(_) => tracing::warn!("master sent a malformed reply"),
        }
    }

    /// Is this the password of `name`?
    pub(super) async fn check(&self, name: &str, password: &Secret<String>, peer: &str) -> Outcome {
        if name.len() > MAX_CREDENTIAL || password.expose().len() > MAX_CREDENTIAL {
            return Outcome::Wrong;
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let password = Secret::new(password.expose().clone().into_bytes());
        let request = Request { id, name: name.into(), password, peer: peer.into() };
        let (answer, asked) = oneshot::channel();
        self.waiting().insert(id, answer);
        if self.channel.send(request.encode().as_bytes(), &[]).await.is_err() {
            self.waiting().remove(&id);
            return Outcome::Unavailable;
        }
        asked.await.unwrap_or(Outcome::Unavailable)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Outcome>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
