//! Keeps a program running: starts it, restarts it when it dies (ever later if it dies at once), passes SIGHUP on, puts a
//! new one in its place when told to, and ends it by SIGTERM, after [`GRACE`] by SIGKILL. Who orders hears when it is done
//! ([`settled`](crate::settled)).

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::{Notify, mpsc::UnboundedReceiver, watch};
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
    reload: Arc<Notify>,
    renew: Arc<Notify>,
    /// How often the program said that it works with its configuration.
    settled: watch::Sender<u64>,
}

impl Orders {
    /// Sends it SIGHUP. The future ends when it works with the configuration as it is now.
    pub fn reload(&self) -> impl Future<Output = ()> + Send + use<> {
        self.give(&self.reload)
    }

    /// Puts a new one in its place. The future ends when that one works.
    pub fn renew(&self) -> impl Future<Output = ()> + Send + use<> {
        self.give(&self.renew)
    }

    fn give(&self, order: &Notify) -> impl Future<Output = ()> + Send + use<> {
        let mut settled = self.settled.subscribe();
        let before = *settled.borrow();
        order.notify_one();
        async move { drop(settled.wait_for(|now| *now > before).await) }
    }
}

/// A program that was started.
#[derive(Debug)]
pub struct Program {
    /// The process.
    pub child: Child,
    /// Its words ([`settled::WORD`](crate::settled::WORD)).
    pub words: UnboundedReceiver<()>,
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
pub async fn keep(name: &str, orders: &Orders, succession: Succession, mut start: impl FnMut() -> io::Result<Program>) {
    let (mut pause, mut retired) = (FIRST_PAUSE, JoinSet::new());
    while !orders.stop.is_cancelled() {
        let since = Instant::now();
        match start() {
            Ok(program) => match run(name, orders, program).await {
                Ended::Dead(status) => report(name, status),
                Ended::Renew(Program { mut child, mut words }) => {
                    match succession {
                        Succession::After => end(name, &mut child).await,
                        Succession::Beside => {
                            send(&child, Signal::SIGUSR1);
                            let _ = tokio::time::timeout(RETIRING, words.recv()).await;
                            retired.spawn(retire(name.to_owned(), orders.clone(), child));
                        }
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
    Renew(Program),
    /// It was told to end.
    Told,
}

async fn run(name: &str, orders: &Orders, Program { mut child, mut words }: Program) -> Ended {
    let pid = pid(&child);
    // Before its first word a signal would end it, and what it read may be older than the order.
    let (mut is_up, mut is_to_reload) = (false, false);
    loop {
        tokio::select! {
            biased;
            () = orders.stop.cancelled() => break,
            status = child.wait() => return Ended::Dead(Death { pid, status: status.ok() }),
            () = orders.renew.notified() => return Ended::Renew(Program { child, words }),
            () = orders.reload.notified() => is_to_reload = true,
            Some(()) = words.recv() => {
                is_up = true;
                if !is_to_reload {
                    orders.settled.send_modify(|count| *count += 1);
                }
            }
        }
        if is_up && std::mem::take(&mut is_to_reload) {
            send(&child, Signal::SIGHUP);
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
/// How long the old one may take to say that it lets nobody in any more.
const RETIRING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channel, settled};
    use tokio::process::Command;

    fn shell(script: &str) -> io::Result<Program> {
        let (ours, theirs) = sys::channel::pair()?;
        let child = Command::new("sh").arg("-c").arg(script).stdin(theirs).kill_on_drop(true).spawn()?;
        Ok(Program { child, words: settled::hear(Channel::new(ours)?) })
    }

    #[tokio::test]
    async fn the_dead_are_restarted_until_told_to_stop() {
        let orders = Orders::default();
        let mut starts = 0;
        let stop = orders.stop.clone();
        keep("sh", &orders, Succession::After, || {
            starts += 1;
            if starts == 3 {
                stop.cancel();
                return shell("exec sleep 1000");
            }
            shell("exit")
        })
        .await;
        assert_eq!(starts, 3);
    }

    #[tokio::test]
    async fn a_new_one_takes_the_place_of_the_old() {
        for succession in [Succession::After, Succession::Beside] {
            let orders = Orders::default();
            let (told, mut starts) = (orders.clone(), 0);
            // SIGUSR1 and SIGTERM both end it.
            keep("sh", &orders, succession, || {
                starts += 1;
                if starts == 3 {
                    told.stop.cancel();
                } else {
                    drop(told.renew());
                }
                shell("exec sleep 1000")
            })
            .await;
            assert_eq!(starts, 3, "{succession:?}");
        }
    }

    #[tokio::test]
    async fn who_orders_a_reload_hears_when_it_is_done() {
        let (orders, mut starts) = (Orders::default(), 0);
        // Ordered before it has said a word: SIGHUP would end it then.
        let reloaded = orders.reload();
        let keeping = keep("sh", &orders, Succession::After, || {
            starts += 1;
            shell("trap 'printf = >&0' HUP; printf = >&0; while :; do sleep 0.01; done")
        });
        let ordering = async {
            reloaded.await;
            assert_eq!(*orders.settled.borrow(), 1, "its first word, older than the order, was taken for the answer");
            orders.reload().await;
            orders.renew().await;
            orders.stop.cancel();
        };
        tokio::time::timeout(GRACE, async { tokio::join!(keeping, ordering) }).await.expect("in time");
        assert_eq!(starts, 2, "one, and the one that took its place");
    }
}
