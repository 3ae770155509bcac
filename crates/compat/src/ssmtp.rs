//! `ssmtp`: sends a message in the foreground through the provider named in `/etc/ssmtp/ssmtp.conf`; nothing is kept
//! back. The way of a machine that only sends now and then.
//!
//! Reads: `ssmtp.conf`, `revaliases`, standard input. Speaks to: the mailhub. Exits with: 0 when the mailhub has taken the
//! message for every recipient, 1 and one line on standard error else.

mod letter;
mod send;
mod site;

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Uid, User};

use crate::call::{Call, Options};
use letter::Letter;
use site::Site;

/// Who calls.
struct Caller {
    name: String,
    full_name: String,
}

/// `ssmtp [-t] [-f SENDER] [-F NAME] [-au USER -ap PASSWORD] [-C FILE] RECIPIENT...`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("GimntUvs", "abBCdefFhLNoOprRVXqM")?;
    if options.iter().any(|(letter, argument)| *letter == 'b' && argument != "m") {
        bail!("there is no queue and no daemon: a message is sent at once, or not at all");
    }
    let caller = caller();
    let mut site = Site::read(&place(&options), &caller.name)?;
    credentials(&mut site, call, &options);
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).context("the message cannot be read")?;
    let has = |letter: char| options.iter().any(|(given, _)| *given == letter);
    let value =
        |wanted: char| options.iter().rev().find(|(letter, _)| *letter == wanted).map(|(_, value)| value.as_str());
    let letter = Letter {
        site: &site,
        caller: &caller.name,
        full_name: value('F').unwrap_or(&caller.full_name),
        sender: value('f').or_else(|| value('r')),
        recipients: &call.words,
        from_header: has('t'),
    };
    let message = letter.complete(&text)?;
    let reply = send::send(&site, &message)?;
    let sender = message.envelope.reverse_path.as_ref().map_or_else(String::new, ToString::to_string);
    note(
        call,
        &format!(
            "Sent mail for {sender} ({reply}) uid={} username={} outbytes={}",
            Uid::current(),
            caller.name,
            message.octets.len()
        ),
    );
    Ok(ExitCode::SUCCESS)
}

fn place(options: &Options) -> PathBuf {
    let named = options.iter().rev().find(|(letter, _)| *letter == 'C').map(|(_, file)| PathBuf::from(file));
    named.unwrap_or_else(|| "/etc/ssmtp/ssmtp.conf".into())
}

/// `-auUSER`, `-apPASSWORD`, `-amMETHOD`, attached or in the next word.
fn credentials(site: &mut Site, call: &mut Call, options: &Options) {
    for (_, argument) in options.iter().filter(|(letter, _)| *letter == 'a') {
        let (kind, attached) = argument.split_at(argument.len().min(1));
        let value = match attached.is_empty() {
            true if !call.words.is_empty() => call.words.remove(0),
            _ => attached.to_owned(),
        };
        match kind {
            "u" => site.user = value,
            "p" => site.password = value,
            "m" => site.method = value,
            _ => {}
        }
    }
}

fn caller() -> Caller {
    let user = User::from_uid(Uid::current()).ok().flatten();
    let gecos = |user: &User| user.gecos.to_string_lossy().split(',').next().unwrap_or_default().to_owned();
    match user {
        Some(user) => Caller { full_name: gecos(&user), name: user.name },
        None => Caller { name: Uid::current().to_string(), full_name: String::new() },
    }
}

/// A line in the log, where there is one that this user may write.
fn note(call: &Call, text: &str) {
    let settings = match call.config() {
        Ok(config) => {
            daemon::log::Settings { name: config.text("syslog_name").into(), file: config.path("maillog_file") }
        }
        Err(_) => daemon::log::Settings { name: "facteur".into(), file: None },
    };
    if daemon::log::init("ssmtp", &settings).is_ok() {
        tracing::info!("{text}");
    }
}
