//! `facteur explain ADDRESS`: every alias, table and route that applies to an address, in order, and where its mail ends.
//!
//! The same functions decide as in the daemons: `addresses` at entry and exit, `routes` in between, the alias files as
//! `local` reads them. Nothing is changed. Exits with 1 where mail would come back or wait.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use accounts::{Account, Accounts};
use addresses::{Generic, Now, Place, Rewriter, Trail};
use anyhow::{Context as _, Result, anyhow};
use config::Config;
use config::mailbox::{self, Delivery};
use handover::aliases::Live;
use handover::{Outcome, Target, target};
use mail::{Address, Domain};
use routes::luser::{Luser, is_role, luser};
use routes::{Router, Way};
use tables::address::split_extension;

/// Prints the way of mail for `address`.
pub(crate) fn run(config: &Config, address: &str, from: Option<&str>) -> Result<ExitCode> {
    let origin = Domain::parse(config.text("myorigin")).map_err(|_| anyhow!("myorigin is not a domain"))?;
    let read = |text: &str| Address::parse(text).map_err(|_| anyhow!("\"{text}\" is not an address"));
    let whole = |text: &str| read(text).map(|address| address.completed(&origin, addresses::old_forms(config)));
    let now = Arc::new(Rewriter::new(config)).now()?;
    let mut trail = Trail::new();
    let sender = match from.filter(|text| !matches!(*text, "" | "<>")) {
        Some(text) => Some(now.single(Place::EnvelopeSender, &whole(text)?, &mut trail)?),
        None => None,
    };
    show(0, &trail);
    let mut walk = Walk { config, now, router: Router::new(config), sender, seen: HashSet::new(), failed: false };
    walk.aliases().context("alias_maps")?;
    let given = whole(address)?;
    if read(address)? != given {
        println!("myorigin: {address} -> {given}");
    }
    walk.enter(&given)?;
    Ok(if walk.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Walk<'a> {
    config: &'a Config,
    now: Now,
    router: Router,
    sender: Option<Address>,
    seen: HashSet<Address>,
    /// Somewhere mail comes back or waits.
    failed: bool,
}

impl Walk<'_> {
    /// The alias files, once; what is wrong in them is said.
    fn aliases(&self) -> Result<Live> {
        let mut live = Live::new(&self.config.list("alias_maps"));
        live.refresh().iter().for_each(|problem| eprintln!("facteur: {problem}"));
        match live.unknown() {
            Some(file) => Err(anyhow!("{} cannot be read", file.display())),
            None => Ok(live),
        }
    }

    /// What happens when mail for the address enters.
    fn enter(&mut self, address: &Address) -> Result<()> {
        let mut trail = Trail::new();
        let single = self.now.single(Place::EnvelopeRecipient, address, &mut trail)?;
        let mut ends = self.now.expand(&single, &mut trail)?;
        show(0, &trail);
        let (mut copied, mut led) = (Trail::new(), Trail::new());
        for copy in self.now.copies(self.sender.as_ref(), &single, &mut copied)? {
            ends.extend(self.now.expand(&copy, &mut led)?);
        }
        show(0, &copied);
        show(0, &led);
        let depth = usize::from(ends.len() > 1 || !trail.is_empty());
        for end in ends {
            self.follow(&end, depth)?;
        }
        Ok(())
    }

    /// Where a recipient in the queue goes.
    fn follow(&mut self, address: &Address, depth: usize) -> Result<()> {
        if depth > 0 {
            println!("{}{address}:", indent(depth - 1));
        }
        if !self.seen.insert(address.clone()) {
            println!("{}seen above", indent(depth));
            return Ok(());
        }
        let route = self.router.route(self.sender.as_ref(), address);
        for (name, value) in &route.because {
            println!("{}{}: {value}", indent(depth), self.placed(name));
        }
        match route.way {
            Way::Local => return self.local(address, depth),
            Way::Relay { transport, hop } => {
                self.leaving(address, depth)?;
                println!("{}=> {transport} to {}", indent(depth), hop.text);
            }
            Way::Settled(Outcome::Bounced(status, text)) => self.end(depth, &format!("comes back: {status} {text}")),
            Way::Settled(Outcome::Deferred(status, text)) => self.end(depth, &format!("waits: {status} {text}")),
            Way::Settled(_) => println!("{}=> is thrown away", indent(depth)),
            Way::Hold(text) => self.end(depth, &format!("is put on hold: {text}")),
        }
        Ok(())
    }

    fn end(&mut self, depth: usize, text: &str) {
        self.failed = true;
        println!("{}=> {text}", indent(depth));
    }

    /// What the addresses become on the way out.
    fn leaving(&self, address: &Address, depth: usize) -> Result<()> {
        let generic = Arc::new(Generic::new(self.config, "smtp_generic_maps")).now()?;
        let mut trail = Trail::new();
        for address in self.sender.iter().chain([address]) {
            generic.address(address, &mut trail)?;
        }
        show(depth, &trail);
        Ok(())
    }

    fn local(&mut self, address: &Address, depth: usize) -> Result<()> {
        let live = self.aliases()?;
        let delimiter = self.config.text("recipient_delimiter");
        let (local, (user, _)) = (address.local(), split_extension(address.local(), delimiter));
        for name in [local, user] {
            if let (Some(targets), Some((file, line))) = (live.find(name), live.place(name)) {
                println!("{}alias_maps {}:{line}: {name}", indent(depth), file.display());
                let targets = targets.to_vec();
                return self.targets(&targets, (name, address), depth + 1);
            }
        }
        let accounts = Accounts::configured(self.config.text("accounts_file"));
        for name in [local, user] {
            if let Some(account) = accounts.find(name)? {
                return self.account(&account, (address, depth));
            }
        }
        if is_role(local) {
            println!("{}{local} always exists: root", indent(depth));
            let root = Address::new("root", address.domain().cloned()).map_err(|_| anyhow!("root is no name"))?;
            return self.follow(&root, depth + 1);
        }
        let parameter = self.config.text("luser_relay");
        match luser(parameter, address, delimiter) {
            Luser::Nobody => self.end(depth, &format!("comes back: 5.1.1 unknown user: \"{user}\"")),
            Luser::Malformed(text) => self.end(depth, &format!("waits: luser_relay \"{text}\" is not an address")),
            Luser::Gets(to) => {
                println!("{}{}: {parameter}", indent(depth), self.placed("luser_relay"));
                return self.forwarded(&to, depth);
            }
        }
        Ok(())
    }

    /// What an alias or `.forward` stands for; the name is its owner, to whom it may lead back.
    fn targets(&mut self, targets: &[Target], (owner, address): (&str, &Address), depth: usize) -> Result<()> {
        for target in targets {
            match target {
                Target::Address(to) => {
                    let to = match address.domain() {
                        Some(domain) => to.clone().qualified(domain),
                        None => to.clone(),
                    };
                    let itself = to.domain() == address.domain() && to.local().eq_ignore_ascii_case(owner);
                    if itself { self.mailbox(owner, (address, depth))? } else { self.forwarded(&to, depth)? }
                }
                Target::Command(command) => println!("{}=> command: {command}", indent(depth)),
                Target::File(file) => println!("{}=> file {file}", indent(depth)),
                Target::Include(file) => self.include(file, (owner, address), depth)?,
                Target::Mailbox(user) => self.mailbox(user, (address, depth))?,
            }
        }
        Ok(())
    }

    /// What leaves this machine enters anew.
    fn forwarded(&mut self, to: &Address, depth: usize) -> Result<()> {
        let mut trail = Trail::new();
        let ours = to.domain().is_none_or(|domain| self.config.destinations().contains(domain.as_str()));
        let ends = if ours { vec![to.clone()] } else { self.now.expand(to, &mut trail)? };
        show(depth, &trail);
        ends.iter().try_for_each(|end| self.follow(end, depth + 1))
    }

    fn include(&mut self, file: &str, owner: (&str, &Address), depth: usize) -> Result<()> {
        println!("{}:include:{file}:", indent(depth));
        if depth > DEEPEST {
            self.end(depth, "includes without end");
            return Ok(());
        }
        let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
        let targets = target::parse_file(&text).map_err(|(line, why)| anyhow!("{file}:{line}: {why}"))?;
        self.targets(&targets, owner, depth + 1)
    }

    fn mailbox(&mut self, user: &str, (address, depth): (&Address, usize)) -> Result<()> {
        match Accounts::configured(self.config.text("accounts_file")).find(user)? {
            Some(account) => self.write(&account.name, &account.home, depth),
            None => self.end(depth, &format!("comes back: 5.1.1 unknown user: \"{}\"", address.local())),
        }
        Ok(())
    }

    /// A user: `.forward`, which root has none of (his mail is written as another user), or the mailbox.
    fn account(&mut self, account: &Account, (address, depth): (&Address, usize)) -> Result<()> {
        let Account { name: user, home, uid, .. } = account;
        if *uid == 0 {
            self.write(user, home, depth);
            return Ok(());
        }
        let (_, extension) = split_extension(address.local(), self.config.text("recipient_delimiter"));
        let plain = home.join(".forward");
        let extended = home.join(format!(".forward{extension}"));
        for file in [extended, plain] {
            match std::fs::read_to_string(&file) {
                Ok(text) if !text.trim().is_empty() => {
                    println!("{}forward_path {}", indent(depth), file.display());
                    let targets =
                        target::parse_file(&text).map_err(|(line, why)| anyhow!("{}:{line}: {why}", file.display()))?;
                    return self.targets(&targets, (user, address), depth + 1);
                }
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    println!("{}{}: cannot be looked at ({error})", indent(depth), file.display());
                }
                Ok(_) | Err(_) => {}
            }
        }
        self.write(user, home, depth);
        Ok(())
    }

    fn write(&self, user: &str, home: &Path, depth: usize) {
        let (setting, end) = match mailbox::delivery(self.config, user, home) {
            Delivery::Command(command) => ("mailbox_command", format!("command of {user}: {command}")),
            Delivery::Maildir(root) => ("home_mailbox", format!("Maildir {}", root.display())),
            Delivery::Mbox(file) => match self.config.text("home_mailbox") {
                "" => ("mail_spool_directory", format!("mbox {}", file.display())),
                _ => ("home_mailbox", format!("mbox {}", file.display())),
            },
        };
        println!("{}{}: user {user}", indent(depth), self.placed(setting));
        println!("{}=> {end}", indent(depth));
    }

    /// A setting with the place where it is written; a place of a table as it is.
    fn placed(&self, name: &str) -> String {
        let source = config::param::find(name).and_then(|_| self.config.source(name));
        source.map_or_else(|| name.to_owned(), |source| format!("{name} ({source})"))
    }
}

fn show(depth: usize, trail: &Trail) {
    for step in trail {
        println!("{}{} {}: {} -> {}", indent(depth), step.setting, step.place, step.from, step.to);
    }
}

fn indent(depth: usize) -> String {
    "  ".repeat(depth)
}

/// How far lists may include lists.
const DEEPEST: usize = 20;
