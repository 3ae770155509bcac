//! `mda`: writes one user's mail.
//!
//! Started by `local` with the user's name, uid, gid, home and shell; tasks come over standard input. Runs as that user
//! from its first moment (the saved gid is that of `mail_privileged_group`, for locks in the mail spool). Where it is not
//! started as root it stays who it is.
//! May read: the configuration, the user's `.forward`. May write: what the user may. Speaks to: `local`.
//! Exits with 0 when `local` closes the socket, 75 when it cannot start, 70 when `local` talks nonsense.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use config::Config;
use mda::serve::serve;
use mda::settings::{Owner, Settings, Wishes};

/// `EX_TEMPFAIL` and `EX_SOFTWARE` of sysexits.h.
const TEMPFAIL: u8 = 75;
const SOFTWARE: u8 = 70;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("facteur mda {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // A writer without one of its threads would leave tasks without an answer; `local` gives them to the next one.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("mda: {panic}");
        std::process::abort();
    }));
    let settings = match prepare() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("mda: {error:#}");
            return ExitCode::from(TEMPFAIL);
        }
    };
    match sys::channel::inherited().map_err(Into::into).and_then(|socket| serve(settings, socket)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mda: {error:#}");
            ExitCode::from(SOFTWARE)
        }
    }
}

fn prepare() -> anyhow::Result<Settings> {
    let (directory, owner) = arguments(std::env::args().skip(1))?;
    let config = Config::load(&directory)
        .map_err(|problems| anyhow!(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let mail_group = if privileges::is_root() { Some(become_owner(&config, &owner)?) } else { None };
    Ok(Settings::new(&config, owner, mail_group))
}

/// From here on nothing of root is left.
fn become_owner(config: &Config, owner: &Owner) -> anyhow::Result<u32> {
    let group = privileges::find_group(config.text("mail_privileged_group"))?;
    let user = privileges::User { name: owner.identity.clone(), uid: owner.uid, gid: owner.gid };
    privileges::become_user(&user, Some(group)).with_context(|| format!("cannot become {}", owner.name))?;
    Ok(group)
}

fn arguments(mut words: impl Iterator<Item = String>) -> anyhow::Result<(PathBuf, Owner)> {
    let mut directory = PathBuf::from("/etc/facteur");
    let mut owner = Owner {
        name: String::new(),
        identity: String::new(),
        uid: 0,
        gid: 0,
        home: PathBuf::from("/"),
        shell: PathBuf::from("/bin/sh"),
        wishes: Wishes::Obeyed,
    };
    while let Some(word) = words.next() {
        if word == "--mailbox-only" {
            owner.wishes = Wishes::Ignored;
            continue;
        }
        let value = words.next().ok_or_else(|| anyhow!("{word} wants a value"))?;
        match word.as_str() {
            "-c" => directory = value.into(),
            "--user" => owner.name = value,
            "--as" => owner.identity = value,
            "--uid" => owner.uid = value.parse().context("--uid")?,
            "--gid" => owner.gid = value.parse().context("--gid")?,
            "--home" => owner.home = value.into(),
            "--shell" => owner.shell = value.into(),
            other => bail!("unknown option {other}"),
        }
    }
    anyhow::ensure!(!owner.name.is_empty(), "--user is missing");
    if owner.identity.is_empty() {
        owner.identity.clone_from(&owner.name);
    }
    Ok((directory, owner))
}
