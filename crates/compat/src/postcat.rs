//! `postcat -q ID`: a message in the queue, envelope and text.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::call::Call;

/// `postcat [-b] [-e] [-h] -q ID...`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("bdehosvq", "")?;
    let has = |letter: char| options.iter().any(|(given, _)| *given == letter);
    let everything = !has('b') && !has('e') && !has('h');
    if call.words.is_empty() {
        bail!("usage: postcat [-b] [-e] [-h] -q queue_id");
    }
    let mut code = ExitCode::SUCCESS;
    for id in call.words.clone() {
        // A file name as well as an id.
        let id = Path::new(&id).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or(id);
        if has('e') || everything {
            println!("*** ENVELOPE RECORDS {id} ***");
            code = call.facteur(&["queue", "show", &id]);
        }
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        if everything {
            println!("*** MESSAGE CONTENTS {id} ***");
        }
        match (has('h'), has('b')) {
            (true, false) => part(call, &id, Part::Header)?,
            (false, true) => part(call, &id, Part::Body)?,
            (false, false) if !everything => {}
            (true, true) | (false, false) => code = call.facteur(&["queue", "cat", &id]),
        }
        if everything {
            println!("*** MESSAGE FILE END {id} ***");
        }
    }
    Ok(code)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Body,
}

/// The text up to the empty line, or what is behind it.
fn part(call: &Call, id: &str, part: Part) -> Result<()> {
    let config = call.config()?;
    let facteur = Path::new(config.text("command_directory")).join("facteur");
    let done = Command::new(&facteur).arg("-c").arg(&call.dir).args(["queue", "cat", id]).output();
    let text = done.with_context(|| format!("{} cannot be started", facteur.display()))?;
    if !text.status.success() {
        bail!("{}", String::from_utf8_lossy(&text.stderr).trim());
    }
    let end = text.stdout.windows(2).position(|two| two == b"\n\n").map_or(text.stdout.len(), |at| at + 1);
    let (header, body) = text.stdout.split_at(end);
    let shown = if part == Part::Header { header } else { body.get(1..).unwrap_or_default() };
    io::stdout().write_all(shown)?;
    Ok(())
}
