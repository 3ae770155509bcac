//! Keeps a program running: starts it, restarts it when it dies (ever later if it dies at once), passes SIGHUP on,
//! and ends it by SIGTERM, after [`GRACE`] by SIGKILL.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::Notify;
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
}

/// Runs `start` again and again until `orders.stop`. `name` is what the log calls it.
///
/// `start` is called on the present thread: a child that asked to end with its parent ends with that thread, so
/// supervisors belong on a current-thread runtime.
pub async fn keep(name: &str, orders: &Orders, mut start: impl FnMut() -> io::Result<Child>) {
    let mut pause = FIRST_PAUSE;
    while !orders.stop.is_cancelled() {
        let since = Instant::now();
        match start() {
            Ok(child) => match run(name, orders, child).await {
                Some(status) => report(name, status),
                None => return,
            },
            Err(e) => tracing::error!("cannot start {name}: {e}"),
        }
        if since.elapsed() > LIVED_WELL {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = orders.stop.cancelled() => return,
        }
    }
}

/// Waits for the child: its status when it ended by itself, `None` when it was told to.
async fn run(name: &str, orders: &Orders, mut child: Child) -> Option<Death> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let send = |signal: Signal| pid.map(|pid| kill(pid, signal));
    loop {
        tokio::select! {
            status = child.wait() => return Some(Death { pid, status: status.ok() }),
            () = orders.reload.notified() => { send(Signal::SIGHUP); }
            () = orders.stop.cancelled() => break,
        }
    }
    send(Signal::SIGTERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        tracing::warn!("{name} did not end within {} seconds: killed", GRACE.as_secs());
        let _ = child.kill().await;
    }
    None
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
        keep("true", &orders, || {
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
}
