//! Keeps a program running: starts it, restarts it when it dies (ever later if it dies at once), passes SIGHUP on, puts a
//! new one in its place when told to, and ends it by SIGTERM, after [`GRACE`] by SIGKILL.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a program may take to finish after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);

/// What the supervisor of one program listens to.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// End the program and return.
    pub stop: CancellationToken,
    /// Send it SIGHUP.
    pub reload: Arc<Notify>,
    /// Put a new one in its place.
    pub renew: Arc<Notify>,
}

/// How a new program takes the place of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// The old one has ended: as at the end.
    After,
    /// Beside it, which gets SIGUSR1, begins nothing new and takes all the time it needs.
    Beside,
}

/// Runs `start` again and again until `orders.stop`. `name` is what the log calls it.
///
/// `start` is called on the present thread: a child that asked to end with its parent ends with that thread, so
/// supervisors belong on a current-thread runtime.
pub async fn keep(name: &str, orders: &Orders, succession: Succession, mut start: impl FnMut() -> io::Result<Child>) {
    let (mut pause, mut retired) = (FIRST_PAUSE, JoinSet::new());
    while !orders.stop.is_cancelled() {
        let since = Instant::now();
        match start() {
            Ok(child) => match run(name, orders, child).await {
                Ended::Dead(status) => report(name, status),
                Ended::Renew(mut child) => {
                    match succession {
                        Succession::After => end(name, &mut child).await,
                        Succession::Beside => drop(retired.spawn(retire(name.to_owned(), orders.clone(), child))),
                    }
                    continue;
                }
                Ended::Told => break,
            },
            Err(e) => tracing::error!("cannot start {name}: {e}"),
        }
        if since.elapsed() > LIVED_WELL {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = orders.stop.cancelled() => break,
        }
    }
    retired.join_all().await;
}

/// Why a child is not waited for any more.
enum Ended {
    /// It ended by itself.
    Dead(Death),
    /// Another takes its place; it still runs.
    Renew(Child),
    /// It was told to end.
    Told,
}

async fn run(name: &str, orders: &Orders, mut child: Child) -> Ended {
    let pid = pid(&child);
    loop {
        tokio::select! {
            status = child.wait() => return Ended::Dead(Death { pid, status: status.ok() }),
            () = orders.reload.notified() => send(&child, Signal::SIGHUP),
            () = orders.renew.notified() => return Ended::Renew(child),
            () = orders.stop.cancelled() => break,
        }
    }
    end(name, &mut child).await;
    Ended::Told
}

async fn end(name: &str, child: &mut Child) {
    send(child, Signal::SIGTERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        tracing::warn!("{name} did not end within {} seconds: killed", GRACE.as_secs());
        let _ = child.kill().await;
    }
}

/// Lets the child finish what it has begun.
async fn retire(name: String, orders: Orders, mut child: Child) {
    send(&child, Signal::SIGUSR1);
    tokio::select! {
        _ = child.wait() => {}
        () = orders.stop.cancelled() => end(&name, &mut child).await,
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        let _ = kill(pid, signal);
    }
}

struct Death {
    pid: Option<Pid>,
    status: Option<ExitStatus>,
}

fn report(name: &str, death: Death) {
    let pid = death.pid.map_or(0, Pid::as_raw);
    match death.status {
        Some(status) => match status.signal() {
            Some(signal) => tracing::warn!("process {name} pid {pid} killed by signal {signal}"),
            None => tracing::warn!("process {name} pid {pid} exit status {}", status.code().unwrap_or_default()),
        },
        None => tracing::warn!("process {name} pid {pid} lost"),
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LIVED_WELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_dead_are_restarted_until_told_to_stop() {
        let orders = Orders::default();
        let mut starts = 0;
        let stop = orders.stop.clone();
        keep("true", &orders, Succession::After, || {
            starts += 1;
            if starts == 3 {
                stop.cancel();
                return tokio::process::Command::new("sleep").arg("1000").spawn();
            }
            tokio::process::Command::new("true").spawn()
        })
        .await;
        assert_eq!(starts, 3);
    }

    #[tokio::test]
    async fn a_new_one_takes_the_place_of_the_old() {
        for succession in [Succession::After, Succession::Beside] {
            let orders = Orders::default();
            let (stop, renew) = (orders.stop.clone(), orders.renew.clone());
            let mut starts = 0;
            // SIGUSR1 and SIGTERM both end it.
            keep("sleep", &orders, succession, || {
                starts += 1;
                if starts == 3 {
                    stop.cancel()
                } else {
                    renew.notify_one()
                }
                tokio::process::Command::new("sleep").arg("1000").spawn()
            })
            .await;
            assert_eq!(starts, 3, "{succession:?}");
        }
    }
}
