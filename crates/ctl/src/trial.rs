//! `facteur try`: the whole mail system in one directory, unprivileged, on high ports, until Ctrl-C.
//!
//! The same programs, spool and dialogues as an installed system; accounts come from a file. Starting again keeps mail
//! and settings. Called by root, it hands the directory to the user `nobody` and goes on as that user.

pub(crate) mod follow;
mod root;
mod setup;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use config::Config;
use durable::{Access, Dir, File, Lock, Patience};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::geteuid;

use crate::arguments::TryOptions;
use crate::daemons::{self, Started};
use crate::{load, ports, processes};
use follow::Follower;

/// `facteur try`.
pub(crate) fn run(options: &TryOptions) -> Result<()> {
    let dir = std::path::absolute(&options.dir)?;
    setup::refuse_foreign(&dir)?;
    if geteuid().is_root() {
        return root::hand_over(&dir, options);
    }
    setup::make_home(&dir)?;
    let _lock = lock(&dir)?;
    let programs = std::env::current_exe()?.parent().map(Path::to_path_buf).unwrap_or_default();
    setup::prepare(&dir, &programs, options.port_base)?;
    let config = load(&dir.join("etc"))?;
    refuse_second(&config)?;
    let wanted = processes::wanted(&config);
    daemons::refuse_taken_ports(&config, &wanted)?;
    let mut log = Follower::at_end(Path::new(config.text("maillog_file")));
    let mut started = daemons::launch(&config, &wanted, |_| Ok(()))?;
    let ready = signals().and_then(|signals| {
        daemons::wait_for_ports(&config, &mut started)?;
        Ok(signals)
    });
    let result = ready.and_then(|signals| {
        greet(&dir, &programs, &config)?;
        watch(&signals, &mut started, &mut log)
    });
    daemons::end(&mut started);
    log.print_new();
    result
}

/// Held as long as we run; a second instance does not get it.
fn lock(dir: &Path) -> Result<File> {
    let home = Dir::open(dir)?;
    let file = match home.create("lock", 0o600) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => home.open_file("lock", Access::ReadWrite),
        made => made,
    };
    let file = file.with_context(|| format!("{} cannot be opened", dir.join("lock").display()))?;
    if file.flock(Lock::Exclusive, Patience::None).is_err() {
        bail!("facteur try runs already in {}", dir.display());
    }
    Ok(file)
}

/// Daemons whose `facteur try` was killed go on: they are to be stopped first.
fn refuse_second(config: &Config) -> Result<()> {
    let Some(process) = processes::running(config.dir()).into_iter().next() else { return Ok(()) };
    let dir = config.dir().display();
    bail!("already running: {} is process {}. To stop it: facteur -c {dir} stop", process.name, process.pid)
}

fn signals() -> Result<SignalFd> {
    let mut set = SigSet::empty();
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().for_each(|signal| set.add(signal));
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Shows the log until a signal comes (right) or a daemon ends by itself (wrong).
fn watch(signals: &SignalFd, started: &mut [Started], log: &mut Follower) -> Result<()> {
    loop {
        log.print_new();
        poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::from(100u8))?;
        if signals.read_signal()?.is_some() {
            println!("\nStopping; the mail stays.");
            return Ok(());
        }
        if let Some(ended) = daemons::ended(started)? {
            bail!("{ended}, so the others are stopped too");
        }
    }
}

fn greet(dir: &Path, programs: &Path, config: &Config) -> Result<()> {
    let here = std::env::current_dir().unwrap_or_default();
    let near = |path: PathBuf| path.strip_prefix(&here).unwrap_or(&path).display().to_string();
    let etc = near(dir.join("etc"));
    let mut out = std::io::stdout().lock();
    writeln!(out, "Facteur {} runs in {}. Ctrl-C stops it.\n", crate::version::short(), near(dir.to_path_buf()))?;
    for port in ports::wanted(config) {
        let (service, number) = (port.service, port.number);
        let (open, hint) = match service {
            "smtp" => ("telnet localhost", "EHLO me, MAIL FROM:<kevin>, RCPT TO:<foo>, DATA, a text, ."),
            "submission" => ("telnet localhost", "the same for mail programs: STARTTLS and AUTH first"),
            "pop3" => ("telnet localhost", "USER kevin, PASS kevin, STAT, RETR 1, QUIT"),
            "imap" => ("telnet localhost", "a LOGIN kevin kevin, a SELECT inbox, a FETCH 1 BODY[TEXT], a LOGOUT"),
            _ => ("openssl s_client -quiet -connect localhost", ""),
        };
        let gap = if hint.is_empty() { ":" } else { " " };
        writeln!(out, "  {:11} {}", service.to_uppercase(), format!("{open}{gap}{number}   {hint}").trim_end())?;
    }
    writeln!(out, "  send        echo Hello | {} -C {etc} kevin", near(programs.join("sendmail")))?;
    writeln!(out, "  users       {} (password = name)", setup::USERS.join(", "))?;
    writeln!(out, "  mail        {}", near(dir.join("home/kevin/Maildir/new")))?;
    writeln!(out, "  settings    {etc}/facteur.yaml, then: {} -c {etc} reload", near(programs.join("facteur")))?;
    writeln!(out, "  log         {}, and here:\n", near(dir.join("mail.log")))?;
    out.flush()?;
    Ok(())
}
