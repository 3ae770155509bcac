//! A message as the standard input of a command of the owner's: `mailbox_command`, `|command`.
//!
//! Exit status 0 is delivered, 75 is "try again later", other statuses of sysexits.h are refusals in their own words. One
//! that fails and prints an enhanced status first (`4.2.1 busy`) thereby says itself what that means. A command that cannot
//! be started, is not found or is killed is our trouble and temporary. What it prints goes into the reply.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use handover::Outcome;
use mail::EnhancedStatus;
use mailstore::WithoutNotes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use spool::Origin;

use crate::forward::plain;
use crate::message::Message;
use crate::settings::Settings;

/// How much of a command's output is kept for the reply.
const OUTPUT: usize = 1000;
/// What stays of text that strangers chose when a command gets it in its environment.
const HARMLESS: &str = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Signs that only a shell understands.
const SHELL_SIGNS: &str = "~`'\"!#$&*()[]{}|\\:;<>?^\n=%";
const SHELL_WORDS: &[&str] = &[
    "exec", "exit", "cd", "set", "export", "if", "while", "for", "case", "test", "true", "false", "read", "eval",
    "umask", ".",
];

/// Runs `command` with the message.
pub fn run(settings: &Settings, message: &Message, command: &str) -> Outcome {
    let (mut child, output) = match start(settings, message, command) {
        Ok(started) => started,
        Err(error) => return deferred(format!("cannot start command \"{command}\": {}", plain(&error))),
    };
    match finished(&mut child, output, message, settings.command_time) {
        Ok((Some(status), output)) => verdict(command, status, &output),
        Ok((None, output)) => bounced(
            EnhancedStatus::new(5, 3, 0),
            format!("Command time limit exceeded: \"{command}\"{}", said(&output)),
        ),
        Err(error) => {
            stop(&mut child);
            deferred(format!("cannot run command \"{command}\": {}", plain(&error)))
        }
    }
}

/// The command, and what it prints.
fn start(settings: &Settings, message: &Message, command: &str) -> io::Result<(Child, io::PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let mut process = prepared(settings, message, command);
    process.stdout(writer.try_clone()?).stderr(writer);
    // While the mail group is taken nothing is started, lest it inherit the group.
    let _shared = settings.no_start.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((process.spawn()?, reader))
}

fn prepared(settings: &Settings, message: &Message, command: &str) -> Command {
    let first = command.split_whitespace().next().unwrap_or_default();
    let mut process = if command.contains(|c| SHELL_SIGNS.contains(c)) || SHELL_WORDS.contains(&first) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", command]);
        shell
    } else {
        let mut plain = Command::new(first);
        plain.args(command.split_whitespace().skip(1));
        plain
    };
    process.env_clear().envs(environment(settings, message));
    let home = if settings.owner.home.is_dir() { &*settings.owner.home } else { std::path::Path::new("/") };
    process.current_dir(home).process_group(0);
    process.stdin(Stdio::piped());
    process
}

/// What the command is told about the message. Text from envelopes is stripped of signs that a careless script would obey.
fn environment(settings: &Settings, message: &Message) -> Vec<(&'static str, String)> {
    let task = &message.task;
    let harmless = |text: &str| text.chars().map(|c| if HARMLESS.contains(c) { c } else { '_' }).collect::<String>();
    let owner = &settings.owner;
    let mut list = vec![
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME", owner.home.to_string_lossy().into_owned()),
        ("SHELL", owner.shell.to_string_lossy().into_owned()),
        ("LOGNAME", owner.name.clone()),
        ("USER", owner.name.clone()),
        ("LOCAL", harmless(task.recipient.local())),
        ("DOMAIN", harmless(task.recipient.domain().map_or("", |domain| domain.as_str()))),
        ("RECIPIENT", harmless(&task.recipient.to_string())),
        ("ORIGINAL_RECIPIENT", harmless(&task.original.to_string())),
        ("SENDER", harmless(&message.sender())),
        ("EXTENSION", harmless(&task.extension)),
    ];
    list.extend(client(message).into_iter().map(|(name, text)| (name, harmless(&text))));
    for name in ["TZ", "LANG"] {
        if let Ok(value) = std::env::var(name) {
            list.push((name, value));
        }
    }
    list
}

/// Who brought the message; of one that came by a program of this machine, what Postfix says of such.
fn client(message: &Message) -> Vec<(&'static str, String)> {
    let (client, helo, protocol, login) = match message.origin() {
        Some(Origin::Network { client, helo, protocol, user, sasl }) => (client, helo, protocol, (user, sasl)),
        Some(Origin::Local { .. } | Origin::Internal) | None => Default::default(),
    };
    let (host, address) = client.split_once('[').unwrap_or(("", ""));
    let address = address.trim_end_matches(']');
    let mut list = vec![
        ("CLIENT_ADDRESS", address.to_owned()),
        ("CLIENT_HELO", helo),
        ("CLIENT_HOSTNAME", host.to_owned()),
        ("CLIENT_PROTOCOL", protocol),
    ];
    let (user, sasl) = login;
    let told = [("SASL_METHOD", sasl.mechanism), ("SASL_SENDER", sasl.submitter), ("SASL_USERNAME", user)];
    list.extend(told.into_iter().filter_map(|(name, text)| Some((name, text?))));
    list
}

/// Feeds the message in, takes the output, and waits for the end. `None`: it took too long and was killed.
fn finished(
    child: &mut Child,
    stdout: io::PipeReader,
    message: &Message,
    limit: Duration,
) -> io::Result<(Option<ExitStatus>, Vec<u8>)> {
    let deadline = Instant::now() + limit;
    let stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::io::ioctl_fionbio(&stdin, true)?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let end = pidfd_open(pid, PidfdFlags::empty())?;
    let mut feed = Feed::new(message);
    let (mut stdin, mut stdout, mut output) = (Some(stdin), Some(stdout), Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            stop(child);
            return Ok((None, output));
        }
        let mut polled = vec![PollFd::new(&end, PollFlags::IN)];
        polled.extend(stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        polled.extend(stdout.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let over = polled.first().is_some_and(|end| !end.revents().is_empty());
        if let Some(pipe) = &stdin
            && feed.give(pipe)?
        {
            stdin = None;
        }
        if let Some(pipe) = &stdout
            && take(pipe, &mut output)?
        {
            stdout = None;
        }
        if over {
            return Ok((Some(child.wait()?), output));
        }
    }
}

/// What is still to be written to a command.
struct Feed<'a> {
    /// A program that appends to an mbox would let the sender number the messages in it.
    without: WithoutNotes,
    chunk: Vec<u8>,
    at: usize,
    rest: Option<(&'a durable::File, u64, u64)>,
}

impl<'a> Feed<'a> {
    fn new(message: &'a Message) -> Self {
        let mut chunk = message.from_line(crate::message::now()).into_bytes();
        let mut without = WithoutNotes::new();
        without.feed(&message.prefix(), &mut chunk);
        let rest = message.rest();
        if rest.is_none() {
            without.end(&mut chunk);
        }
        Self { without, chunk, at: 0, rest }
    }

    /// Writes what the pipe takes now; true when there is no more to write, or nobody to read it.
    fn give(&mut self, pipe: impl AsFd) -> io::Result<bool> {
        loop {
            while self.at == self.chunk.len() {
                if !self.refill()? {
                    return Ok(true);
                }
            }
            match rustix::io::write(&pipe, &self.chunk[self.at..]) {
                Ok(count) => self.at += count,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(false),
                // A command that has seen enough may close its input; its exit status decides.
                Err(rustix::io::Errno::PIPE) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn refill(&mut self) -> io::Result<bool> {
        let Some((file, offset, left)) = &mut self.rest else { return Ok(false) };
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(64 * 1024);
        let mut octets = vec![0; count];
        file.read_exact_at(&mut octets, *offset)?;
        *offset += count as u64;
        *left -= count as u64;
        self.chunk.clear();
        self.at = 0;
        self.without.feed(&octets, &mut self.chunk);
        if *left == 0 {
            self.without.end(&mut self.chunk);
        }
        Ok(count > 0)
    }
}

/// Takes what the command printed; true at the end of it.
fn take(pipe: impl AsFd, output: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(&pipe, &mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => {
                let room = OUTPUT.saturating_sub(output.len()).min(count);
                output.extend_from_slice(&buffer[..room]);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Kills the command and all it started.
fn stop(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait();
}

/// `<sysexits.h>`: status, what it means for the sender.
const SYSEXITS: &[(i32, (u8, u16, u16), &str)] = &[
    (64, (5, 3, 0), "command line usage error"),
    (65, (5, 6, 0), "data format error"),
    (66, (5, 3, 0), "cannot open input"),
    (67, (5, 1, 1), "user unknown"),
    (68, (5, 1, 2), "host name unknown"),
    (69, (5, 3, 0), "service unavailable"),
    (70, (5, 3, 0), "internal software error"),
    (71, (4, 3, 0), "system resource problem"),
    (72, (5, 3, 0), "critical OS file missing"),
    (73, (5, 2, 0), "can't create user output file"),
    (74, (4, 3, 0), "input/output error"),
    (75, (4, 3, 0), "temporary failure"),
    (76, (5, 5, 0), "remote error in protocol"),
    (77, (5, 7, 0), "permission denied"),
    (78, (5, 3, 5), "local configuration error"),
];

fn verdict(command: &str, status: ExitStatus, output: &[u8]) -> Outcome {
    let printed = said(output);
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Sent(EnhancedStatus::OK, format!("delivered to command: {command}")),
        (Some(_), _) if let Some((dsn, text)) = own_status(output) => failed(dsn, text),
        (Some(code @ (126 | 127)), _) => deferred(format!(
            "Command died with status {code}: \"{command}\": is it there, and may it be run?{printed}"
        )),
        (Some(code), _) => match SYSEXITS.iter().find(|row| row.0 == code) {
            Some((_, (class, subject, detail), words)) => {
                failed(EnhancedStatus::new(*class, *subject, *detail), format!("{words}{printed}"))
            }
            None => bounced(
                EnhancedStatus::new(5, 3, 0),
                format!("Command died with status {code}: \"{command}\"{printed}"),
            ),
        },
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            deferred(format!("Command died with signal {signal}: \"{command}\"{printed}"))
        }
    }
}

/// The status that a command which failed prints first, and what follows it.
fn own_status(output: &[u8]) -> Option<(EnhancedStatus, String)> {
    let line = line(output);
    let (status, text) = line.split_once(' ').unwrap_or((&line, ""));
    let dsn = EnhancedStatus::parse(status).filter(|dsn| dsn.class != 2)?;
    Some((dsn, if text.is_empty() { "the command says no more".into() } else { text.into() }))
}

fn said(output: &[u8]) -> String {
    let line = line(output);
    if line.is_empty() { line } else { format!(". Command output: {line}") }
}

/// The command's output as one line.
fn line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let words = text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<&str>>().join(" ")
}

fn failed(dsn: EnhancedStatus, text: String) -> Outcome {
    if dsn.is_temporary() { Outcome::Deferred(dsn, text) } else { bounced(dsn, text) }
}

fn deferred(text: String) -> Outcome {
    Outcome::Deferred(EnhancedStatus::new(4, 3, 0), text)
}

fn bounced(status: EnhancedStatus, text: String) -> Outcome {
    Outcome::Bounced(status, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_mean_what_sysexits_says() {
        let said = |code: i32, output: &str| verdict("c", ExitStatus::from_raw(code << 8), output.as_bytes());
        assert_eq!(said(0, "ignored"), Outcome::Sent(EnhancedStatus::OK, "delivered to command: c".into()));
        assert_eq!(said(75, ""), deferred("temporary failure".into()));
        let refused = "user unknown. Command output: no such person".to_owned();
        assert_eq!(said(67, "no such\n  person\n"), bounced(EnhancedStatus::new(5, 1, 1), refused));
        assert!(matches!(said(127, ""), Outcome::Deferred(..)));
        assert!(matches!(said(1, ""), Outcome::Bounced(..)));
        let killed = Outcome::Deferred(EnhancedStatus::new(4, 3, 0), "Command died with signal 9: \"c\"".into());
        assert_eq!(verdict("c", ExitStatus::from_raw(9), b""), killed);
    }

    #[test]
    fn a_command_may_say_itself_what_its_failure_means() {
        let said = |code: i32, output: &str| verdict("c", ExitStatus::from_raw(code << 8), output.as_bytes());
        let temporary = Outcome::Deferred(EnhancedStatus::new(4, 2, 1), "busy now".into());
        assert_eq!((said(1, "4.2.1 busy\n now\n"), said(67, "4.2.1 busy now")), (temporary.clone(), temporary));
        assert_eq!(said(75, "5.7.1 no"), bounced(EnhancedStatus::new(5, 7, 1), "no".into()));
        assert!(matches!(said(0, "4.2.1 busy"), Outcome::Sent(..)));
        for (output, why) in [("4.2.1busy", "no status"), ("2.0.0 done", "no failure"), ("4.2 x", "no status")] {
            assert!(
                matches!(said(1, output), Outcome::Bounced(dsn, _) if dsn == EnhancedStatus::new(5, 3, 0)),
                "{why}"
            );
        }
    }

    #[test]
    fn only_plain_commands_go_without_a_shell() {
        let needs_shell = |command: &str| command.contains(|c| SHELL_SIGNS.contains(c));
        assert!(!needs_shell("/usr/bin/procmail -a kevin"));
        assert!(needs_shell("procmail -a \"$EXTENSION\"") && needs_shell("cat > x") && needs_shell("A=b c"));
    }
}
