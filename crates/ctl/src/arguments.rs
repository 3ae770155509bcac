//! The command line of `facteur`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Facteur, a mail system: SMTP in, a queue, local delivery, POP3 and IMAP.
#[derive(Debug, Parser)]
#[command(name = "facteur", version = crate::version::short(), disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Configuration directory.
    #[arg(short, long, value_name = "DIR", default_value = "/etc/facteur", global = true)]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole mail system in one directory, on high ports, without being root; Ctrl-C stops it.
    Try(TryOptions),
    /// What is wrong, one sentence each, and the command that mends it.
    Doctor(DoctorOptions),
    /// Look for mistakes in the configuration; says nothing when all is right.
    Check,
    /// What runs, on which ports, and what waits in the queue.
    Status,
    /// Start the mail system, or one of mta, popd, imapd.
    Start(Services),
    /// Stop the mail system, or one of mta, popd, imapd.
    Stop(Services),
    /// Make the running mail system use the changed configuration; mistakes in it are shown and change nothing.
    Reload,
    /// Show or change settings.
    #[command(subcommand)]
    Config(ConfigAction),
    /// What the configuration of Postfix and Dovecot means here, line by line; --write takes it over.
    Import(ImportOptions),
    /// Look at the queue, or act on messages in it.
    #[command(subcommand)]
    Queue(QueueAction),
    /// Show and follow the log; `log summary` counts it.
    #[command(args_conflicts_with_subcommands = true)]
    Log(LogOptions),
    /// The story of one message, from the log and the queue.
    Trace {
        /// Queue id, as in the log, or a Message-ID in <>.
        id: String,
    },
    /// How each next hop does: deliveries now and at most, what waits, its last answer, the next try.
    Destinations {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// The DNS records that mail of a domain needs: which are there, which are missing or wrong, ready to paste.
    Dns(DnsOptions),
    /// Where mail for an address would go: every alias, table and route that applies, with file and line.
    Explain {
        /// The recipient, such as kevin or kevin@example.com.
        address: String,
        /// The sender of such a message.
        #[arg(long, value_name = "ADDRESS")]
        from: Option<String>,
    },
    /// Why a message is still in the queue: where each recipient goes, what the last try met, when the next one is.
    Why {
        /// Queue id, as in the log and in the list of the queue.
        id: String,
    },
    /// What could stand next on a command line; for the shells' completion.
    #[command(hide = true)]
    Complete {
        /// The words behind `facteur`.
        #[arg(last = true)]
        words: Vec<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TryOptions {
    /// Where everything is kept: settings, accounts, mail, log.
    #[arg(long, default_value = "var/try")]
    pub(crate) dir: PathBuf,
    /// Added to each standard port: 2000 makes SMTP 2025, POP3 2110, IMAP 2143.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u16).range(1000..=60000))]
    pub(crate) port_base: u16,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorOptions {
    /// Only these checks, such as port, service, disk, mailbox, queue, dns.
    #[arg(value_name = "CHECK")]
    pub(crate) checks: Vec<String>,
    /// Ask this DNS server instead of the system's: an address, or address:port.
    #[arg(long, value_name = "SERVER")]
    pub(crate) dns: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct DnsOptions {
    /// Such as example.com.
    pub(crate) domain: String,
    /// An address from which mail of this machine reaches others, where the machine cannot know it.
    #[arg(long = "address", value_name = "ADDRESS")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Ask this DNS server instead of the system's: an address, or address:port.
    #[arg(long, value_name = "SERVER")]
    pub(crate) dns: Option<String>,
    /// One JSON object for each record and line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug, Default)]
pub(crate) struct LogOptions {
    #[command(subcommand)]
    pub(crate) action: Option<LogAction>,
    /// Only lines about this user, and about his messages.
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Only lines about this message.
    #[arg(short, long)]
    pub(crate) id: Option<String>,
    /// Only lines of this program, such as smtpd.
    #[arg(short, long)]
    pub(crate) program: Option<String>,
    /// Only what went wrong.
    #[arg(long)]
    pub(crate) problems: bool,
    /// The last lines; then stop.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) lines: Option<usize>,
    /// Go on after the last lines.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogAction {
    /// How much mail came and went, from whom, to whom, and what went wrong.
    Summary(Period),
}

#[derive(Args, Debug)]
pub(crate) struct Period {
    /// From then on: 2026-11-20, "2026-11-20 16:30", yesterday, today, 2h, 3d.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Up to then.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Rows of each table (10).
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rows: Option<usize>,
    /// This file instead of the system's log.
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Services {
    /// Only these: mta, popd, imapd.
    #[arg(value_name = "SERVICE", value_parser = ["mta", "popd", "imapd"], hide_possible_values = true)]
    pub(crate) services: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportOptions {
    /// Postfix's configuration directory.
    #[arg(default_value = "/etc/postfix")]
    pub(crate) postfix: PathBuf,
    /// Dovecot's configuration directory.
    #[arg(default_value = "/etc/dovecot")]
    pub(crate) dovecot: PathBuf,
    /// Write what was understood into facteur.yaml; comments and other settings stay.
    #[arg(short, long)]
    pub(crate) write: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// The value of one parameter, as the programs see it.
    Get {
        /// Such as home_mailbox.
        name: String,
    },
    /// Change facteur.yaml; comments stay. Check first: a wrong value changes nothing.
    Set {
        /// Such as home_mailbox, or home_mailbox=Maildir/.
        name: String,
        /// Such as Maildir/; several words make a list.
        #[arg(allow_hyphen_values = true)]
        value: Vec<String>,
    },
    /// Take a parameter out of facteur.yaml, so that its default holds.
    Unset {
        /// Such as home_mailbox.
        name: String,
    },
    /// All parameters and their values.
    Show {
        /// Only those that the files set, with file and line.
        #[arg(short = 'n', long)]
        non_default: bool,
    },
    /// The default of one parameter, or of all.
    Default {
        /// Such as home_mailbox.
        name: Option<String>,
    },
    /// What one parameter is for.
    Explain {
        /// Such as home_mailbox.
        name: String,
    },
    /// Print a commented facteur.yaml with all defaults.
    Sample,
    /// Print the manual page facteur.yaml(5).
    Manual,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueAction {
    /// All messages, with the reason why each is still here.
    List {
        /// One JSON object for each message and line.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one message but its text.
    Show {
        /// Queue id.
        id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// The text of one message, as it will be delivered.
    Cat {
        /// Queue id.
        id: String,
    },
    /// Try messages again now: all that wait, if none is named.
    Flush(Which),
    /// Put messages aside until they are released.
    Hold(Which),
    /// Let held messages go on.
    Release(Which),
    /// Remove messages; nobody is told.
    Delete(Which),
    /// Let messages begin anew: held ones too.
    Requeue(Which),
    /// Take over what waits in the queue of a Postfix that no longer runs.
    Import(QueueImport),
    /// Give what waits here to the mail system that came after Facteur, by its sendmail.
    Export,
}

#[derive(Args, Debug)]
pub(crate) struct QueueImport {
    /// Postfix's queue.
    #[arg(default_value = "/var/spool/postfix")]
    pub(crate) dir: PathBuf,
    /// What is on hold there too: it is then sent.
    #[arg(long)]
    pub(crate) held: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// Queue ids, or ALL.
    pub(crate) ids: Vec<String>,
    /// Print what was done as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only what went wrong.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_in_the_manual() {
        let manual = include_str!("../../../docs/man/facteur.1").replace("\\-", "-");
        let shown = |command: &&clap::Command| !command.is_hide_set();
        for command in Arguments::command().get_subcommands().filter(shown) {
            let name = command.get_name();
            let found = [format!(".B {name}"), format!(".BR {name} "), format!(".BR \"{name} ")];
            let inner = command.get_subcommands().all(|inner| manual.contains(inner.get_name()));
            assert!(found.iter().any(|text| manual.contains(text)) && inner, "{name} is not in docs/man/facteur.1");
        }
    }

    #[test]
    fn the_command_line_makes_sense() {
        Arguments::command().debug_assert();
    }
}
