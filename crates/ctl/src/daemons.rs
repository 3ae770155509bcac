//! Starting, stopping and reloading the daemons where no service manager does it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use config::Config;
use nix::sys::signal::Signal;

use crate::processes::{self, Process};
use crate::{check, ports};

/// How long daemons get to open their ports, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often we look.
const LOOK: Duration = Duration::from_millis(50);

/// A daemon we started.
pub(crate) struct Started {
    pub(crate) name: &'static str,
    pub(crate) child: Child,
}

/// `facteur start`.
pub(crate) fn start(config: &Config) -> Result<()> {
    if let Some(process) = processes::running(config.dir()).first() {
        bail!("already running: {} is process {}", process.name, process.pid);
    }
    refuse_taken_ports(config)?;
    let null = || File::options().read(true).write(true).open("/dev/null");
    let mut started = launch(config, |command| {
        // What a daemon has to say is in the log; a pipe of ours that it kept would never end.
        command.stdin(null()?).stdout(null()?).stderr(null()?);
        Ok(())
    })?;
    let log = config.path("maillog_file").unwrap_or_else(|| "/var/log/mail.log".into());
    wait_for_ports(config, &mut started).map_err(|error| anyhow!("{error}; {} says why", log.display()))
}

/// `facteur stop`: asks, waits, and in the end insists.
pub(crate) fn stop(config: &Config) -> Result<()> {
    let running = processes::running(config.dir());
    if running.is_empty() {
        bail!("nothing runs with the configuration in {}", config.dir().display());
    }
    for process in &running {
        process.signal(Signal::SIGTERM)?;
    }
    let late = wait_for_end(&running);
    for process in &late {
        eprintln!("facteur: {} (process {}) does not end, killing it", process.name, process.pid);
        process.signal(Signal::SIGKILL)?;
    }
    Ok(())
}

/// `facteur reload`. The configuration was read without a mistake before this is called.
pub(crate) fn reload(config: &Config) -> Result<()> {
    let running = processes::running(config.dir());
    if running.is_empty() {
        bail!("nothing runs with the configuration in {}", config.dir().display());
    }
    for process in &running {
        process.signal(Signal::SIGHUP)?;
    }
    check::print_warnings(config);
    Ok(())
}

/// Starts each wanted daemon, in a process group of its own so that Ctrl-C reaches only us.
pub(crate) fn launch(config: &Config, prepare: impl Fn(&mut Command) -> Result<()>) -> Result<Vec<Started>> {
    let mut started = Vec::new();
    for name in processes::wanted(config) {
        let program = Path::new(config.text("daemon_directory")).join(name);
        let mut command = Command::new(&program);
        command.arg("-c").arg(config.dir()).stdin(Stdio::null()).process_group(0);
        prepare(&mut command)?;
        match command.spawn().with_context(|| format!("{} cannot be started", program.display())) {
            Ok(child) => started.push(Started { name, child }),
            Err(error) => {
                end(&mut started);
                return Err(error);
            }
        }
    }
    Ok(started)
}

/// Waits until every port is open; if a daemon ends before, the others are ended too.
pub(crate) fn wait_for_ports(config: &Config, started: &mut [Started]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let ports = ports::wanted(config);
    while let Some(closed) = ports.iter().find(|port| !ports::is_open(port.number)) {
        if let Some(ended) = ended(started)? {
            end(started);
            bail!("{ended}");
        }
        if Instant::now() > until {
            end(started);
            bail!("{} did not open port {} ({}) in time", closed.program, closed.number, closed.service);
        }
        sleep(LOOK);
    }
    Ok(())
}

/// A sentence about a daemon that has ended by itself.
pub(crate) fn ended(started: &mut [Started]) -> Result<Option<String>> {
    for Started { name, child } in started {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(format!("{name} has ended ({status})")));
        }
    }
    Ok(None)
}

/// Ends daemons we started and waits for them.
pub(crate) fn end(started: &mut [Started]) {
    let as_process = |one: &Started| Process { name: one.name, pid: i32::try_from(one.child.id()).unwrap_or(i32::MAX) };
    let processes: Vec<Process> = started.iter().map(as_process).filter(Process::lives).collect();
    for process in &processes {
        // It may have ended in between: then there is nothing left to do.
        let _ = process.signal(Signal::SIGTERM);
    }
    for process in wait_for_end(&processes) {
        eprintln!("facteur: {} (process {}) does not end, killing it", process.name, process.pid);
        let _ = process.signal(Signal::SIGKILL);
    }
    for one in started {
        let _ = one.child.wait();
    }
}

pub(crate) fn refuse_taken_ports(config: &Config) -> Result<()> {
    for port in ports::wanted(config) {
        if let Some(why) = ports::obstacle(port.number) {
            bail!("port {} ({}) {why}", port.number, port.service);
        }
    }
    Ok(())
}

/// Those that still live when patience has ended.
fn wait_for_end(processes: &[Process]) -> Vec<Process> {
    let until = Instant::now() + PATIENCE;
    loop {
        let late: Vec<Process> = processes.iter().filter(|process| process.lives()).cloned().collect();
        if late.is_empty() || Instant::now() > until {
            return late;
        }
        sleep(LOOK);
    }
}
