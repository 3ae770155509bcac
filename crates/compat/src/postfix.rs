//! `postfix start` and its kin; `dovecot reload`.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::call::Call;
use crate::doveconf;

/// `postfix COMMAND`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    call.options("Dv", "")?;
    let words = std::mem::take(&mut call.words);
    let command = words.first().map(String::as_str).unwrap_or_default();
    Ok(match command {
        "start" | "start-fg" => tell(call, "start", "starting the Facteur mail system"),
        "stop" | "abort" | "quick-stop" => tell(call, "stop", "stopping the Facteur mail system"),
        "reload" => {
            let code = call.facteur(&["reload"]);
            say(code, "refreshing the Facteur mail system")
        }
        "check" => call.facteur(&["check"]),
        "flush" => call.facteur(&["queue", "flush", "--quiet"]),
        "status" => status(call)?,
        // Facteur's packages see to these.
        "set-permissions" | "upgrade-configuration" | "post-install" => ExitCode::SUCCESS,
        "" => bail!("say what to do: start, stop, reload, check, status, flush or abort"),
        other => bail!("unknown command {other}: start, stop, reload, check, status, flush or abort"),
    })
}

/// `dovecot`, which starts, and `dovecot reload|stop`.
pub(crate) fn dovecot(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("anFpv", "")?;
    if let Some((letter, _)) = options.iter().find(|(letter, _)| "an".contains(*letter)) {
        call.words.insert(0, format!("-{letter}"));
        return doveconf::run(call);
    }
    let readers = readers(call)?;
    let words = |deed| std::iter::once(deed).chain(readers.iter().map(String::as_str)).collect::<Vec<_>>();
    match call.words.first().map(String::as_str) {
        None => Ok(call.facteur(&words("start"))),
        Some("stop") => Ok(call.facteur(&words("stop"))),
        Some("reload") => Ok(call.facteur(&["reload"])),
        Some(other) => bail!("unknown command {other}: reload or stop"),
    }
}

/// Which of the readers' services there are.
pub(crate) fn readers(call: &Call) -> Result<Vec<String>> {
    let config = call.salvaged()?.0;
    let daemons = config.text("daemon_directory");
    let wanted = config.list("protocols").into_iter().map(|name| if name == "pop3" { "popd" } else { "imapd" });
    let there: Vec<String> =
        wanted.filter(|name| std::path::Path::new(daemons).join(name).exists()).map(str::to_owned).collect();
    match there.is_empty() {
        true => bail!("neither POP3 nor IMAP is installed"),
        false => Ok(there),
    }
}

fn tell(call: &Call, deed: &str, told: &str) -> ExitCode {
    say(call.facteur(&[deed, "mta"]), told)
}

fn say(code: ExitCode, told: &str) -> ExitCode {
    if code == ExitCode::SUCCESS {
        eprintln!("postfix/postfix-script: {told}");
    }
    code
}

fn status(call: &Call) -> Result<ExitCode> {
    let running = ctl::master(&call.salvaged()?.0);
    let told = running.map_or_else(|| "is not running".to_owned(), |pid| format!("is running: PID: {pid}"));
    eprintln!("postfix/postfix-script: the Facteur mail system {told}");
    Ok(if running.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
