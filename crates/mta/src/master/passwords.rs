//! Checks passwords on behalf of smtpd.
//!
//! A wrong one is answered late, ever later for an address that keeps failing; the waiting holds no thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use accounts::check::{MAX_MESSAGE, Outcome, Reply, Request};
use accounts::{Accounts, packet};
use config::Config;
use daemon::{Channel, settled};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use crate::set_up;

/// Knows the accounts and who failed lately.
#[derive(Clone)]
pub(super) struct Checker {
    settings: Arc<Mutex<Settings>>,
    /// A check keeps a thread busy for up to two seconds.
    threads: Arc<Semaphore>,
    failures: Arc<Mutex<HashMap<String, (u32, Instant)>>>,
}

/// What a reload may change.
#[derive(Clone)]
struct Settings {
    accounts: Arc<Accounts>,
    delay: Duration,
}

impl Settings {
    fn of(config: &Config) -> Self {
        Self { accounts: Arc::new(set_up::accounts(config)), delay: config.time("auth_failure_delay") }
    }
}

impl Checker {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            settings: Arc::new(Mutex::new(Settings::of(config))),
            threads: Arc::new(Semaphore::new(AT_ONCE)),
            failures: Arc::default(),
        }
    }

    /// Uses this configuration from now on.
    pub(super) fn renew(&self, config: &Config) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Settings::of(config);
    }

    /// Answers what comes over the channel until the other side is gone, and passes on when it is [`settled`].
    pub(super) async fn serve(self, channel: Arc<Channel>, teller: UnboundedSender<()>) {
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            let request = match channel.receive(&mut buffer).await {
                Ok(Some((settled::WORD, _))) => {
                    let _ = teller.send(());
                    continue;
                }
                Ok(Some((message, _))) => Request::decode(message),
                Ok(None) | Err(_) => return,
            };
            packet::wipe(&mut buffer);
            match request {
                Ok(request) => drop(tokio::spawn(self.clone().answer(request, channel.clone()))),
                Err(_) => tracing::warn!("smtpd sent a malformed request"),
            }
        }
    }

    async fn answer(self, request: Request, channel: Arc<Channel>) {
        let id = request.id;
        let peer = request.peer.clone();
        let outcome = self.check(request).await;
        if outcome == Outcome::Wrong {
            tokio::time::sleep(self.failed(peer)).await;
        } else if outcome == Outcome::Right {
            self.failures().remove(&peer);
        }
        let _ = channel.send(Reply { id, outcome }.encode().as_bytes(), &[]).await;
    }

    async fn check(&self, request: Request) -> Outcome {
        let Ok(_permit) = self.threads.acquire().await else { return Outcome::Unavailable };
        let accounts = self.settings().accounts;
        let checked = tokio::task::spawn_blocking(move || {
            let result = accounts.verify(&request.name, &request.password, &request.peer);
            if let Err(e) = &result {
                tracing::error!("{e}");
            }
            Outcome::from(&result)
        });
        checked.await.unwrap_or(Outcome::Unavailable)
    }

    /// How long this answer waits: the delay, doubled for each failure of that address in the last minutes.
    fn failed(&self, peer: String) -> Duration {
        let base = self.settings().delay;
        let mut failures = self.failures();
        failures.retain(|_, (_, last)| last.elapsed() < REMEMBERED);
        if failures.len() >= MOST_REMEMBERED {
            return base;
        }
        let (count, last) = failures.entry(peer).or_insert((0, Instant::now()));
        let delay = base.saturating_mul(1 << (*count).min(3));
        *count += 1;
        *last = Instant::now();
        delay
    }

    fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const AT_ONCE: usize = 8;
const REMEMBERED: Duration = Duration::from_secs(300);
const MOST_REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Secret;

    async fn ask(channel: &Channel, password: &str) -> (Outcome, Duration) {
        let since = tokio::time::Instant::now();
        let password = Secret::new(password.as_bytes().to_vec());
        let request = Request { id: 7, name: "kevin".into(), password, peer: "192.0.2.1".into() };
        channel.send(request.encode().as_bytes(), &[]).await.expect("send");
        let mut buffer = [0; MAX_MESSAGE];
        let (message, _) = channel.receive(&mut buffer).await.expect("receive").expect("reply");
        let reply = Reply::decode(message).expect("reply");
        assert_eq!(reply.id, 7);
        (reply.outcome, since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_wait_ever_longer_and_a_right_one_ends_that() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("accounts");
        let hash = accounts::hash("right").expect("hash");
        std::fs::write(&path, format!("kevin:{hash}:1000:1000:Kevin:/home/kevin:/bin/sh\n")).expect("write");
        let text = format!("accounts_file: {}\nauth_failure_delay: 2s\n", path.display());
        let checker = Checker::new(&Config::parse(dir.path(), &text).expect("configuration"));
        let (ours, theirs) = sys::channel::pair().expect("pair");
        let (ours, theirs) = (Channel::new(ours).expect("channel"), Channel::new(theirs).expect("channel"));
        let serving = tokio::spawn(checker.serve(Arc::new(ours), tokio::sync::mpsc::unbounded_channel().0));
        for (password, outcome, seconds) in [
            ("right", Outcome::Right, 0),
            ("a", Outcome::Wrong, 2),
            ("b", Outcome::Wrong, 4),
            ("right", Outcome::Right, 0),
            ("c", Outcome::Wrong, 2),
        ] {
            let (got, took) = ask(&theirs, password).await;
            assert_eq!((got, took.as_secs()), (outcome, seconds), "{password}");
        }
        drop(theirs);
        serving.await.expect("ends with the channel");
    }
}
