//! `doveadm`: what labs and administrators type daily.

mod mail;
mod people;
mod query;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::call::Call;
use crate::postfix;

/// `doveadm COMMAND`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    call.options("Dv", "fo")?;
    if call.words.is_empty() {
        bail!("usage: doveadm {KNOWN}");
    }
    let command = call.words.remove(0);
    match command.as_str() {
        "reload" => Ok(call.facteur(&["reload"])),
        "stop" => {
            let readers = postfix::readers(call)?;
            let words: Vec<&str> = std::iter::once("stop").chain(readers.iter().map(String::as_str)).collect();
            Ok(call.facteur(&words))
        }
        "config" => crate::doveconf::run(call),
        "auth" => people::auth(call),
        "log" => people::log(call),
        "pw" => people::password(call),
        "user" => people::user(call),
        "who" => people::who(call),
        "mailbox" => mail::mailbox(call),
        "search" => mail::search(call),
        "fetch" => mail::fetch(call),
        "expunge" => mail::expunge(call),
        "quota" => bail!("there are no quotas: mailbox_size_limit limits an mbox file"),
        "index" | "force-resync" | "purge" => Ok(ExitCode::SUCCESS),
        "kick" => bail!("sessions cannot be ended one by one: doveadm stop ends all"),
        other => bail!("{other} is not known here. Known: {KNOWN}"),
    }
}

const KNOWN: &str = "auth test, config, expunge, fetch, log find, mailbox list|status|create|delete|rename, pw, reload, \
    search, stop, user, who";
