//! Starting, stopping and reloading the daemons where no service manager does it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use config::Config;
use daemon::settled;
use nix::sys::signal::Signal;

use crate::processes::{self, Process};
use crate::{check, ports};

/// How long daemons get to open their ports, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often we look.
const LOOK: Duration = Duration::from_millis(50);

/// How long `facteur reload` waits, and how often it looks.
const PATIENCE_AT_RELOAD: Duration = Duration::from_secs(3);
const LOOK_AT_RELOAD: Duration = Duration::from_millis(2);

/// A daemon we started.
pub(crate) struct Started {
    pub(crate) name: &'static str,
    pub(crate) child: Child,
}

/// `facteur start`: the named services, or all that do not run yet.
pub(crate) fn start(config: &Config, services: &[String]) -> Result<()> {
    let chosen = chosen(config, services)?;
    let running = processes::running(config.dir());
    let (up, down): (Vec<&'static str>, Vec<&'static str>) =
        chosen.into_iter().partition(|name| running.iter().any(|process| process.name == *name));
    if let (Some(process), true) = (running.iter().find(|process| up.contains(&process.name)), down.is_empty()) {
        bail!("already running: {} is process {}", process.name, process.pid);
    }
    if let Some(units) = units(config, &down) {
        return systemctl("start", &units);
    }
    refuse_taken_ports(config, &down)?;
    let null = || File::options().read(true).write(true).open("/dev/null");
    let mut started = launch(config, &down, |command| {
        // What a daemon has to say is in the log; a pipe of ours that it kept would never end.
        command.stdin(null()?).stdout(null()?).stderr(null()?);
        Ok(())
    })?;
    let log = config.path("maillog_file").unwrap_or_else(|| "/var/log/mail.log".into());
    wait_for_ports(config, &mut started).map_err(|error| anyhow!("{error}; {} says why", log.display()))
}

/// `facteur stop`: asks, waits, and in the end insists.
pub(crate) fn stop(config: &Config, services: &[String]) -> Result<()> {
    let chosen = chosen(config, services)?;
    let mut running = processes::running(config.dir());
    running.retain(|process| services.is_empty() || chosen.contains(&process.name));
    if running.is_empty() {
        bail!("nothing runs with the configuration in {}", config.dir().display());
    }
    let names: Vec<&str> = running.iter().map(|process| process.name).collect();
    if let Some(units) = units(config, &names) {
        return systemctl("stop", &units);
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

/// The daemons of the named services; all that the configuration asks for, if none is named.
fn chosen(config: &Config, services: &[String]) -> Result<Vec<&'static str>> {
    let wanted = processes::wanted(config);
    if services.is_empty() {
        return Ok(wanted);
    }
    let daemon = |service: &String| {
        let name = if service == "mta" { "master" } else { service };
        let found = wanted.iter().find(|wanted| **wanted == name).copied();
        found.ok_or_else(|| anyhow!("{service} is not installed, or not in the parameter protocols"))
    };
    services.iter().map(daemon).collect()
}

/// The systemd units of these daemons, where systemd runs and has them: what it starts, it must also stop.
fn units(config: &Config, daemons: &[&str]) -> Option<Vec<String>> {
    let exists = |path: String| Path::new(&path).exists();
    let unit = |name: &&str| format!("facteur-{}.service", if *name == "master" { "mta" } else { name });
    let units: Vec<String> = daemons.iter().map(unit).collect();
    let places = ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"];
    let known = |unit: &String| places.iter().any(|place| exists(format!("{place}/{unit}")));
    let ours = config.dir() == Path::new("/etc/facteur") && exists("/run/systemd/system".to_owned());
    (ours && !units.is_empty() && units.iter().all(known)).then_some(units)
}

fn systemctl(deed: &str, units: &[String]) -> Result<()> {
    let status = Command::new("systemctl").arg(deed).args(units).status().context("systemctl cannot be started")?;
    match status.success() {
        true => Ok(()),
        false => bail!("systemctl {deed} {} failed; facteur doctor says why", units.join(" ")),
    }
}

/// `facteur reload`: ends when whoever comes next is served under the new configuration, which was read without a mistake before
/// this is called.
pub(crate) fn reload(config: &Config) -> Result<()> {
    let running = processes::running(config.dir());
    if running.is_empty() {
        bail!("nothing runs with the configuration in {}", config.dir().display());
    }
    let (since, until) = (SystemTime::now(), Instant::now() + PATIENCE_AT_RELOAD);
    for process in &running {
        process.signal(Signal::SIGHUP)?;
    }
    let data = Path::new(config.text("data_directory"));
    let is_settled = |process: &&Process| settled::noted(data, process.name).is_some_and(|noted| noted >= since);
    while !running.iter().all(|process| is_settled(&process)) && Instant::now() < until {
        sleep(LOOK_AT_RELOAD);
    }
    for process in running.iter().filter(|process| !is_settled(process)) {
        eprintln!("facteur: {} still finishes what it began; the new settings hold after that", process.name);
    }
    check::print_warnings(config);
    Ok(())
}

/// Starts daemons, each in a process group of its own so that Ctrl-C reaches only us.
pub(crate) fn launch(
    config: &Config,
    daemons: &[&'static str],
    prepare: impl Fn(&mut Command) -> Result<()>,
) -> Result<Vec<Started>> {
    let mut started = Vec::new();
    for name in daemons {
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
    let mut ports = ports::wanted(config);
    ports.retain(|port| started.iter().any(|one| one.name == port.program));
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

pub(crate) fn refuse_taken_ports(config: &Config, daemons: &[&str]) -> Result<()> {
    for port in ports::wanted(config).into_iter().filter(|port| daemons.contains(&port.program)) {
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
