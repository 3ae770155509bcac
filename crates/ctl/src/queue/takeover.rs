//! `facteur queue import`: takes over what waits in the queue of a Postfix that no longer runs.
//!
//! Each message is given to our `sendmail`, which returns when it is durable in our queue; only then Postfix's file goes.
//! A crash in between leaves the message in both queues: it may arrive twice and is never lost, and going back to Postfix
//! sends nothing again. Held mail, and files that cannot be read, stay where they are and are told.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use config::Config;

use super::postfix_file::{self, Letter};
use crate::arguments::QueueImport;

/// The queues of Postfix's that hold whole messages; `hold` besides.
const QUEUES: [&str; 4] = ["maildrop", "incoming", "active", "deferred"];

/// `facteur queue import`; exit status 1 if something that should be taken over could not be.
pub(super) fn run(config: &Config, options: &QueueImport) -> Result<ExitCode> {
    let root = &options.dir;
    if let Some(pid) = running(root) {
        bail!("Postfix runs (process {pid}) and serves {} itself: systemctl stop postfix", root.display());
    }
    if !root.is_dir() {
        bail!("{} is not a directory: name the queue of a Postfix", root.display());
    }
    let mut files = waiting(root)?;
    if options.held {
        files.extend(files_below(&root.join("hold"))?);
    }
    let (mut done, mut failed) = (0_usize, 0_usize);
    for file in &files {
        match take(config, file) {
            Ok(()) => done += 1,
            Err(error) => {
                failed += 1;
                eprintln!("facteur: {} stays: {error:#}", file.display());
            }
        }
    }
    println!("{done} message{} of Postfix's queue taken over", if done == 1 { "" } else { "s" });
    let held = if options.held { 0 } else { files_below(&root.join("hold"))?.len() };
    if held > 0 {
        println!("{held} on hold in {} left there; to take over these too: --held", root.display());
    }
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The files of messages that Postfix would send.
pub(crate) fn waiting(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for queue in QUEUES {
        found.extend(files_below(&root.join(queue))?);
    }
    Ok(found)
}

/// The process that serves this queue, if one does.
pub(crate) fn running(root: &Path) -> Option<u32> {
    let text = fs::read_to_string(root.join("pid/master.pid")).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let is_ours = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.to_string_lossy().contains("facteur"));
    (name.trim() == "master" && !is_ours).then_some(pid)
}

/// Complete messages: Postfix marks them as executable when the last octet is written. `deferred` and its like are split
/// by the first letters of the names.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut to_do) = (Vec::new(), vec![(dir.to_path_buf(), 0)]);
    while let Some((dir, depth)) = to_do.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("{} cannot be read", dir.display()))?,
        };
        for entry in entries {
            let path = entry?.path();
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() && depth < DEEPEST {
                to_do.push((path, depth + 1));
            } else if meta.is_file() && meta.mode() & 0o100 != 0 {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn take(config: &Config, path: &Path) -> Result<()> {
    let size = fs::metadata(path)?.len();
    if size > LARGEST {
        bail!("it has {size} octets");
    }
    let letter = postfix_file::read(&fs::read(path)?).ok_or_else(|| anyhow!("it is no whole message of Postfix's"))?;
    if letter.recipients.is_empty() {
        bail!("it has no recipients left");
    }
    let sendmail = Path::new(config.text("command_directory")).join("sendmail");
    send(&Means { sendmail: &sendmail, config: Some(config.dir()) }, &letter)?;
    fs::remove_file(path).context("it was taken over and cannot be removed: do so by hand, or it is sent twice")
}

/// The program that takes mail, and our configuration if it is ours.
pub(super) struct Means<'a> {
    pub(super) sendmail: &'a Path,
    pub(super) config: Option<&'a Path>,
}

/// Gives a message to a `sendmail`, to some recipients at a time; done when it has taken all of them.
pub(super) fn send(means: &Means, letter: &Letter) -> Result<()> {
    letter.recipients.chunks(AT_ONCE).try_for_each(|some| send_to(means, letter, some))
}

fn send_to(means: &Means, letter: &Letter, recipients: &[String]) -> Result<()> {
    let mut command = Command::new(means.sendmail);
    command.args(means.config.iter().flat_map(|dir| [Path::new("-C"), dir]));
    command.args(["-i", "-G", "-f", &letter.sender]);
    command.args(notify(letter.notify).iter().flat_map(|words| ["-N", words.as_str()]));
    command.args(letter.ret.iter().flat_map(|ret| ["-R", if *ret == 1 { "full" } else { "hdrs" }]));
    command.args(letter.envid.iter().flat_map(|envid| ["-V", envid.as_str()]));
    let mut child = command.arg("--").args(recipients).stdin(Stdio::piped()).spawn().context("sendmail")?;
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(&letter.content));
    let status = child.wait().context("sendmail")?;
    match (status.success(), written) {
        (true, Ok(())) => Ok(()),
        (true, Err(error)) => Err(error).context("sendmail did not read all of it"),
        (false, _) => bail!("sendmail would not have it ({status})"),
    }
}

/// Postfix's bits as `sendmail -N` wants them.
fn notify(bits: Option<u32>) -> Option<String> {
    let bits = bits?;
    let words = [(2, "success"), (4, "delay"), (8, "failure")];
    let asked: Vec<&str> = words.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| word).collect();
    match (bits & 1 != 0, asked.is_empty()) {
        (true, _) => Some("never".to_owned()),
        (false, true) => None,
        (false, false) => Some(asked.join(",")),
    }
}

/// `deferred/A/AB/…`: Postfix splits to a depth of its choice.
const DEEPEST: usize = 16;
/// Recipients of one command line.
const AT_ONCE: usize = 500;
/// A message is read as a whole.
const LARGEST: u64 = 1 << 30;
