//! `doveconf`: the readers' settings by Dovecot's command and with its names.

use std::process::ExitCode;

use anyhow::Result;
use config::{foreign, param};

use crate::call::Call;

/// `doveconf [-a|-n|-d|-h] [NAME...]`.
pub(crate) fn run(call: &mut Call) -> Result<ExitCode> {
    let options = call.options("adhnNPSxm", "f")?;
    let has = |letter: char| options.iter().any(|(given, _)| *given == letter);
    let config = call.config()?;
    let config = if has('d') { config::Config::parse(&call.dir, "").unwrap_or(config) } else { config };
    let ours = param::TABLE.iter().map(|row| row.name).filter(|name| foreign::is_dovecots(name));
    let only_set = (has('n') || !has('a')) && !has('d') && call.words.is_empty();
    let names: Vec<&str> = match call.words.is_empty() {
        true => ours.filter(|name| !only_set || config.source(name).is_some()).collect(),
        false => call.words.iter().map(String::as_str).collect(),
    };
    if call.words.is_empty() {
        println!("# Facteur: {}", call.dir.display());
    }
    let mut code = ExitCode::SUCCESS;
    for name in names {
        let shown = match name {
            "auth_allow_cleartext" => Some(if config.flag("disable_plaintext_auth") { "no" } else { "yes" }),
            name => param::find(name).map(|row| config.written(row.name)),
        };
        match (shown, has('h')) {
            (None, _) => {
                eprintln!("doveconf: Fatal: Unknown setting: {name}");
                code = ExitCode::FAILURE;
            }
            (Some(value), true) => println!("{value}"),
            (Some(value), false) => println!("{}", format!("{name} = {value}").trim_end()),
        }
    }
    Ok(code)
}
