//! `newaliases`: aliases are read live, so there is nothing to build; the files are checked.

use std::io::{self, Write};
use std::path::Path;

use config::Config;

use super::Exit;

/// Says what is wrong in the alias files, each with file and line; nothing when all is right.
pub(super) fn check(config: &Config) -> Result<(), Exit> {
    let mut wrong = false;
    for file in config.list("alias_maps") {
        for problem in handover::aliases::check(Path::new(&file)) {
            writeln!(io::stderr(), "newaliases: {problem}").ok();
            wrong = true;
        }
    }
    if wrong { Err(Exit::said(65)) } else { Ok(()) }
}
