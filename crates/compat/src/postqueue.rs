//! `postqueue` and `postsuper`: the queue by Postfix's commands.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use mail::Domain;

use crate::call::Call;

/// `postqueue -p|-j|-f|-i ID|-s SITE`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("fjpv", "is")?;
    for (letter, argument) in &options {
        match letter {
            'p' => return Ok(call.facteur(&["queue", "list"])),
            'j' => return Ok(call.facteur(&["queue", "list", "--json"])),
            's' => return flush_site(call, argument),
            'f' => return Ok(call.facteur(&["queue", "flush", "--quiet"])),
            'i' => return Ok(call.facteur(&["queue", "flush", "--quiet", argument])),
            _ => {}
        }
    }
    bail!("usage: postqueue -p | -j | -f | -i queue_id | -s site")
}

/// Mail for this domain is tried now.
fn flush_site(call: &Call, site: &str) -> Result<ExitCode> {
    let domain = Domain::parse(site.trim_matches(['[', ']'])).map_err(|_| anyhow!("{site} is not a domain"))?;
    let path = Path::new(call.config()?.text("queue_directory")).join("public/qmgr");
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(format!("flush {domain}").as_bytes(), &path));
    sent.with_context(|| format!("the queue manager does not hear: {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// `postsuper -d|-h|-H|-r ID|ALL`, several times, and the queues meant by `ALL`.
pub(crate) fn postsuper(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("psvS", "dhHref")?;
    let queues = std::mem::take(&mut call.words);
    let mut code = ExitCode::SUCCESS;
    for (letter, argument) in &options {
        let deed = match letter {
            'd' => "delete",
            'h' => "hold",
            'H' => "release",
            'r' => "requeue",
            'e' | 'f' => bail!("messages are not expired by hand: use -d, or facteur queue delete"),
            // Nothing to repair or purge: the programs do that themselves at start.
            _ => continue,
        };
        let ids = match (argument.as_str(), queues.is_empty()) {
            ("-", _) => io::stdin().lines().collect::<io::Result<Vec<String>>>()?,
            ("ALL", false) => all(call, &queues)?,
            (id, _) => vec![id.to_owned()],
        };
        let ids: Vec<&str> = ids.iter().map(|id| id.trim()).filter(|id| !id.is_empty()).collect();
        for some in ids.chunks(500) {
            let words: Vec<&str> = ["queue", deed].into_iter().chain(some.iter().copied()).collect();
            if call.facteur(&words) != ExitCode::SUCCESS {
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// What lies in these queues.
fn all(call: &Call, queues: &[String]) -> Result<Vec<String>> {
    let config = call.config()?;
    let root = Path::new(config.text("queue_directory"));
    let mut found = Vec::new();
    for queue in queues {
        let dir = root.join(queue);
        let entries = fs::read_dir(&dir).with_context(|| format!("{} cannot be read", dir.display()))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        found.extend(names.filter(|name| !name.contains('.')));
    }
    Ok(found)
}
