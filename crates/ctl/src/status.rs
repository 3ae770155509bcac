//! `facteur status`: what runs, on which ports, what waits in the queue, and what build this is.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use config::Config;

use crate::processes::Process;
use crate::{ports, processes, version};

/// `facteur status`; exit status 3 if something that should run does not.
pub(crate) fn run(config: &Config) -> Result<ExitCode> {
    let running = processes::running(config.dir());
    let wanted = processes::wanted(config);
    for name in &wanted {
        println!("{name:8} {}", daemon(config, name, &running));
    }
    println!("{:8} {}", "queue", queue(Path::new(config.text("queue_directory"))));
    println!("{:8} {}", "log", log(config));
    println!("{:8} facteur {}", "build", version::short());
    let all = wanted.iter().all(|name| running.iter().any(|process| process.name == *name));
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn daemon(config: &Config, name: &str, running: &[Process]) -> String {
    let Some(process) = running.iter().find(|process| process.name == name) else {
        return "does not run".into();
    };
    let own = ports::wanted(config).into_iter().filter(|port| port.program == name);
    let told = own.map(|port| {
        let closed = if ports::is_open(port.number) { "" } else { " (closed!)" };
        format!("{} {}{closed}", port.service, port.number)
    });
    format!("runs, process {}: {}", process.pid, told.collect::<Vec<_>>().join(", "))
}

fn queue(dir: &Path) -> String {
    let counts = ["maildrop", "incoming", "active", "deferred", "hold", "corrupt"].map(|name| count(dir, name));
    match counts.into_iter().collect::<io::Result<Vec<String>>>() {
        Ok(counts) => counts.join(", "),
        Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist yet".into(),
        Err(_) => "may not be read by this user".into(),
    }
}

fn count(dir: &Path, name: &str) -> io::Result<String> {
    let entries = match fs::read_dir(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.exists() => return Ok(format!("0 {name}")),
        entries => entries?,
    };
    let files = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().contains('.'));
    Ok(format!("{} {name}", files.count()))
}

fn log(config: &Config) -> String {
    match config.text("maillog_file") {
        "" => "syslog, usually /var/log/mail.log".into(),
        file => file.into(),
    }
}
