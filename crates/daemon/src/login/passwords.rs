//! Checking passwords without stopping anything else: on threads of their own, few at a time per address, the answer
//! to a wrong one held back by a timer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accounts::{Account, Accounts, Error, Verdict};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use wire::Secret;

use super::failures::Failures;

/// What the operator set.
#[derive(Debug)]
pub struct Policy {
    /// Who has a mailbox, and which password.
    pub accounts: Accounts,
    /// Domains that may stand after the login name (`kevin@m3102.com`).
    pub domains: Vec<String>,
    /// Users with a lower number have no password that is right (`first_valid_uid`).
    pub lowest_uid: u32,
    /// `auth_failure_delay`
    pub failure_delay: Duration,
    /// `mail_max_userip_connections`
    pub most_per_user_and_address: usize,
}

/// The checker.
pub(crate) struct Passwords {
    policy: Mutex<Arc<Policy>>,
    failures: Mutex<Failures>,
    threads: Semaphore,
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// What came out.
pub(crate) enum Checked {
    Right(Account),
    Wrong,
    Unavailable,
}

impl Passwords {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            failures: Mutex::new(Failures::new(policy.failure_delay)),
            policy: Mutex::new(Arc::new(policy)),
            threads: Semaphore::new(THREADS),
            addresses: Mutex::default(),
        }
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses another policy from the next login on.
    pub(crate) fn replace(&self, policy: Policy) {
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner) = Failures::new(policy.failure_delay);
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// Answers at once when right, after the delay when wrong, whatever the reason.
    pub(crate) async fn check(&self, name: &str, password: Secret<Vec<u8>>, address: IpAddr) -> Checked {
        let asked = Instant::now();
        let result = self.on_a_thread(name, password, address).await;
        match result {
            Ok(Some(account)) => {
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).right(address);
                Checked::Right(account)
            }
            Ok(None) => {
                let delay = {
                    let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.wrong(address, asked.into_std())
                };
                sleep_until(asked + delay).await;
                Checked::Wrong
            }
            Err(error) => {
                tracing::error!("cannot check a password: {error}");
                Checked::Unavailable
            }
        }
    }

    async fn on_a_thread(
        &self,
        name: &str,
        password: Secret<Vec<u8>>,
        address: IpAddr,
    ) -> Result<Option<Account>, Error> {
        let turn = self.turn(address);
        let _mine = turn.acquire().await;
        let _thread = self.threads.acquire().await;
        let policy = self.policy();
        let name = policy.login_name(name).to_owned();
        let work = move || match policy.accounts.verify(&name, &password, &address.to_string())? {
            Verdict::Right => Ok(policy.accounts.find(&name)?.filter(|account| account.uid >= policy.lowest_uid)),
            Verdict::Wrong => Ok(None),
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(_) => Err(Error::Pam("the check broke off".into())),
        }
    }

    /// The queue of one address, so that one client's guessing does not take all threads.
    fn turn(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, turn| Arc::strong_count(turn) > 1);
        addresses.entry(address).or_insert_with(|| Arc::new(Semaphore::new(THREADS_PER_ADDRESS))).clone()
    }
}

impl Policy {
    /// The name without a domain of ours.
    fn login_name<'a>(&self, name: &'a str) -> &'a str {
        match name.rsplit_once('@') {
            Some((user, domain)) if self.domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain)) => user,
            _ => name,
        }
    }
}

/// PAM sleeps about two seconds on a wrong password: this many may sleep at a time.
const THREADS: usize = 64;
const THREADS_PER_ADDRESS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wrong_and_unknown_wait_alike_and_a_domain_of_ours_is_cut_off() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("accounts");
        let hash = accounts::hash("secret").expect("hash");
        std::fs::write(&path, format!("kevin:{hash}:1000:1000::/home/kevin:/bin/sh\n")).expect("write");
        let passwords = Passwords::new(Policy {
            accounts: Accounts::file(path),
            domains: vec!["m3102.com".into()],
            lowest_uid: 500,
            failure_delay: Duration::from_secs(2),
            most_per_user_and_address: 10,
        });
        let check = async |name: &str, password: &str| {
            let start = Instant::now();
            let secret = Secret::new(password.as_bytes().to_vec());
            let checked = passwords.check(name, secret, IpAddr::from([127, 0, 0, 1])).await;
            (matches!(checked, Checked::Right(account) if account.name == "kevin"), start.elapsed().as_secs())
        };
        assert_eq!(check("kevin", "secret").await, (true, 0));
        assert_eq!(check("kevin@M3102.com", "secret").await, (true, 0));
        assert_eq!(check("kevin@example.com", "secret").await, (false, 2));
        assert_eq!(check("kevin", "wrong").await, (false, 2));
        assert_eq!(check("nobody", "secret").await, (false, 2));
    }
}
