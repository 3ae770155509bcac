//! The command names of the labs (`postfix`, `postconf`, `postqueue`, `doveadm`, `ssmtp`...), each a thin translation
//! onto Facteur.
//!
//! One program: it looks at the name it was called by, or at its first word (`facteur-compat postconf -n`). Runs as: the
//! caller; `doveadm` for another user's mail becomes that user. May read: what `facteur` may. May write: `main.cf` or
//! `facteur.yaml` (`postconf -e`), the queue (`postsuper`), a mailbox (`doveadm`). Speaks to: the daemons, by signals;
//! `ssmtp` to a server. Exits with: what scripts expect of the original.

mod call;
mod doveadm;
mod doveconf;
mod postcat;
mod postconf;
mod postfix;
mod postmap;
mod postqueue;
mod ssmtp;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use call::Call;

/// A command by its name.
type Command = fn(&mut Call) -> Result<ExitCode>;

const COMMANDS: [(&str, Command); 11] = [
    ("doveadm", doveadm::run),
    ("doveconf", doveconf::run),
    ("dovecot", postfix::dovecot),
    ("postalias", postmap::postalias),
    ("postcat", postcat::run),
    ("postconf", postconf::run),
    ("postfix", postfix::run),
    ("postmap", postmap::run),
    ("postqueue", postqueue::run),
    ("postsuper", postqueue::postsuper),
    ("ssmtp", ssmtp::run),
];

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let base = |word: &String| Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut name = words.first().and_then(base).unwrap_or_default();
    if name == "facteur-compat" && words.len() > 1 {
        words.remove(0);
        name = words.first().cloned().unwrap_or_default();
    }
    let Some((name, command)) = COMMANDS.into_iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: facteur-compat NAME WORDS, where NAME is one of {}", names.join(", "));
        return ExitCode::from(2);
    };
    if name != "ssmtp" {
        sys::end_with_the_reader();
    }
    let mut call = Call::new(name, words.into_iter().skip(1).collect());
    command(&mut call).unwrap_or_else(|error| {
        for line in format!("{error:#}").lines() {
            eprintln!("{name}: {line}");
        }
        ExitCode::FAILURE
    })
}
