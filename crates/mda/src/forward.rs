//! The owner's `.forward`: found, checked, read.
//!
//! It counts only when it is a regular file that belongs to the owner or root and that nobody else may write. Otherwise,
//! and when a line makes no sense, mail waits (temporary): what the owner meant is not guessed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use handover::Target;

use crate::settings::Settings;

const MAX_FILE: u64 = 256 * 1024;
const MAX_TARGETS: usize = 10_000;

/// What the owner's `.forward` lists, `:include:` files read. `None`: there is none, or it is empty.
///
/// # Errors
/// A sentence for the sender and the log; the mail waits.
pub fn read(settings: &Settings, extension: &str) -> Result<Option<Vec<Target>>, String> {
    let mut looked: Option<PathBuf> = None;
    for path in &settings.forward_path {
        let path = expand(path, settings, extension);
        // Without an extension the usual two are one.
        if looked.replace(path.clone()).as_ref() == Some(&path) {
            continue;
        }
        if let Some(text) = read_checked(&path, settings)? {
            let targets = parse(&path, &text)?;
            return flattened(targets, settings).map(|targets| (!targets.is_empty()).then_some(targets));
        }
    }
    Ok(None)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Target>, String> {
    handover::target::parse_file(text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))
}

/// Replaces `:include:` by what the files list. Such files hold no further ones.
fn flattened(targets: Vec<Target>, settings: &Settings) -> Result<Vec<Target>, String> {
    let mut flat = Vec::new();
    for target in targets {
        let Target::Include(file) = &target else {
            allowed(&target, "forward", settings)?;
            flat.push(target);
            continue;
        };
        let path = PathBuf::from(file);
        let text = read_checked(&path, settings)?.ok_or_else(|| format!("cannot read {file}: no such file"))?;
        for target in parse(&path, &text)? {
            if matches!(target, Target::Include(_)) {
                return Err(format!("{file}: :include: within an included file"));
            }
            allowed(&target, "include", settings)?;
            flat.push(target);
        }
    }
    if flat.len() > MAX_TARGETS { Err("too many destinations in .forward".into()) } else { Ok(flat) }
}

fn allowed(target: &Target, place: &str, settings: &Settings) -> Result<(), String> {
    let (list, name) = match target {
        Target::Command(_) => (&settings.allow_commands, "commands"),
        Target::File(_) => (&settings.allow_files, "files"),
        Target::Address(_) | Target::Include(_) | Target::Mailbox(_) => return Ok(()),
    };
    if list.iter().any(|word| word == place) {
        Ok(())
    } else {
        Err(format!("mail to {name} is not allowed in {place} files"))
    }
}

fn read_checked(path: &Path, settings: &Settings) -> Result<Option<String>, String> {
    let trouble = |error: io::Error| format!("cannot read {}: {}", path.display(), plain(&error));
    let opened = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(trouble(error)),
    };
    let meta = file.metadata().map_err(trouble)?;
    let us = nix::unistd::geteuid().as_raw();
    let ours = meta.uid() == us || meta.uid() == 0 || meta.uid() == settings.owner.uid;
    if !meta.is_file() || !ours || meta.mode() & 0o022 != 0 {
        return Err(format!("{} must be a file of {} that nobody else may write", path.display(), settings.owner.name));
    }
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(trouble)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(format!("{} is too long", path.display()));
    }
    Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
}

/// `$home/.forward${recipient_delimiter}${extension}` with the names replaced.
fn expand(path: &str, settings: &Settings, extension: &str) -> PathBuf {
    let owner = &settings.owner;
    let mut text = String::with_capacity(path.len() + 32);
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let Some((name, left)) = NAMES.iter().find_map(|name| Some((*name, behind(after, name)?))) else {
            text.push('$');
            rest = after;
            continue;
        };
        match name {
            "home" => text.push_str(&owner.home.to_string_lossy()),
            "shell" => text.push_str(&owner.shell.to_string_lossy()),
            "recipient_delimiter" if extension.is_empty() => {}
            "recipient_delimiter" => text.push_str(&settings.delimiter),
            // An extension with a slash would name a file elsewhere.
            "extension" => text.push_str(&extension.replace(['/', '\0'], "_")),
            _ => text.push_str(&owner.name),
        }
        rest = left;
    }
    text.push_str(rest);
    PathBuf::from(text)
}

/// What follows `name` or `{name}` at the beginning of `text`.
fn behind<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    match text.strip_prefix('{') {
        Some(inside) => inside.strip_prefix(name)?.strip_prefix('}'),
        None => text.strip_prefix(name),
    }
}

const NAMES: [&str; 6] = ["home", "user", "local", "shell", "recipient_delimiter", "extension"];

/// An error of the system in plain words, without `(os error 13)`.
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
