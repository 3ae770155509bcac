//! THE parameter table: every name that may stand in `facteur.yaml`, once.
//!
//! Names, defaults and meanings are Postfix's and Dovecot's where those exist, so that what people know still helps.
//! The manual page, the commented sample, `facteur check` and the error messages are made from this table. Rows are in
//! alphabetical order (a test holds them to it). A default is written in the same syntax as a value in the file.

/// One row of the table.
#[derive(Debug)]
pub struct Param {
    /// The name in the file.
    pub name: &'static str,
    /// What a value looks like.
    pub kind: Kind,
    /// What holds when the file does not say.
    pub default: Default,
    /// The programs that read it, separated by spaces.
    pub programs: &'static str,
    /// One sentence for the manual page, the sample and `facteur config show`.
    pub help: &'static str,
}

/// What a value looks like and how it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Bytes, with an optional `K`, `M` or `G` (powers of 1024).
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of these words.
    Choices(&'static [&'static str]),
    /// One domain; with a leading slash, the first line of that file.
    Domain,
    /// A list of domains; an item with a leading slash is a file with one domain on each line.
    Domains,
    /// A list of file names; a table type in front (`hash:`) is dropped, since plain files are read live.
    Files,
    /// yes or no.
    Flag,
    /// A file or directory below the home, or nothing.
    HomeFile,
    /// A list of addresses of this machine, or names for them.
    Interfaces,
    /// A list of words.
    List,
    /// Where mail is read, in Dovecot's words, or nothing.
    Location,
    /// A list of addresses, `address/bits` or `[address]/bits`; `!` in front excludes; a leading slash is a file.
    Networks,
    /// A list of names, in which an item may be a table whose keys are the names.
    Names,
    /// A next hop: `[host]:port`, an address or a domain; or nothing.
    NextHops,
    /// A whole number within these bounds.
    Number(u64, u64),
    /// One absolute file name, or nothing; Dovecot's `<` in front is dropped.
    Path,
    /// A list of `address:port` on the loopback interface.
    Sockets,
    /// Text kept as it is: `$name` in it is for whoever uses the value.
    Raw,
    /// A list of look-up tables: files, `type:/path`, or tables written in place.
    Tables,
    /// Text.
    Text,
    /// A time such as `300s`, `5d`, `2 mins`; a bare number counts this unit.
    Time(Unit),
}

/// The unit of a time written as a bare number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
}

/// What holds when the file does not name a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Default {
    /// This value.
    Fixed(&'static str),
    /// The machine's name, with its domain if it has one.
    HostName,
    /// `$myhostname` without its first part, or `localdomain`.
    HostDomain,
    /// What `/etc/mailname` says, or else `$myhostname`.
    MailName,
}

impl Default {
    /// The default in words a person reads.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Default::Fixed(text) => text,
            Default::HostName => "the machine's name",
            Default::HostDomain => "$myhostname without its first part",
            Default::MailName => "/etc/mailname",
        }
    }
}

impl Kind {
    /// The kind in words a person reads.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Kind::Bytes => "bytes (10240000, 10M)".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Choices(words) => format!("list of {}", words.join(", ")),
            Kind::Domain => "domain, or /file".into(),
            Kind::Domains => "list of domains or /files".into(),
            Kind::Files => "list of files".into(),
            Kind::Flag => "yes or no".into(),
            Kind::HomeFile => "file name below the home".into(),
            Kind::Interfaces => "list of addresses or names of this machine".into(),
            Kind::List => "list".into(),
            Kind::Location => "maildir:PATH or mbox:PATH:INBOX=FILE".into(),
            Kind::Networks => "list of networks".into(),
            Kind::NextHops => "list of [host], [host]:port or domains".into(),
            Kind::Number(low, u64::MAX) => format!("number from {low}"),
            Kind::Number(low, high) => format!("number from {low} to {high}"),
            Kind::Path => "file name".into(),
            Kind::Names => "list; an item may be a table whose keys are meant".into(),
            Kind::Sockets => "list of address:port of this machine (127.0.0.1:10025)".into(),
            Kind::Raw => "text, $name not expanded".into(),
            Kind::Tables => "list of tables (hash:/path, regexp:/path, cidr:/path, inline:{k=v})".into(),
            Kind::Text => "text".into(),
            Kind::Time(_) => "time (30s, 5m, 4h, 5d)".into(),
        }
    }
}

/// The row called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Param> {
    TABLE.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|index| TABLE.get(index))
}

/// The name in the table that looks most like `name`, if one comes near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_than(name, 0.84)
}

/// The same, if it comes nearer than `least` (1: the same name).
pub(crate) fn nearest_than(name: &str, least: f64) -> Option<&'static str> {
    let score = |row: &&Param| strsim::jaro_winkler(&name.to_ascii_lowercase(), row.name);
    let best = TABLE.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) > least).then_some(best.name)
}

#[allow(clippy::too_many_arguments, reason = "a line of the table")]
const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    programs: &'static str,
    help: &'static str,
) -> Param {
    Param { name, kind, default: Default::Fixed(default), programs, help }
}

const fn machine(name: &'static str, default: Default, programs: &'static str, help: &'static str) -> Param {
    Param { name, kind: Kind::Domain, default, programs, help }
}

use Kind::{
    Bytes, Choice, Choices, Domains, Files, Flag, HomeFile, Interfaces, List, Location, Names, Networks, NextHops,
    Number, Path, Raw, Sockets, Tables, Text, Time,
};
use Unit::{Day, Hour, Minute, Second};

const ANY: u64 = u64::MAX;
const DAEMONS: &str = "master smtpd pickup qmgr local popd imapd";
const LOGINS: &str = "popd imapd";
const PLACES: &[&str] = &["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"];

/// All parameters, in alphabetical order.
#[rustfmt::skip] // a table: one row, one line
pub static TABLE: &[Param] = &[
    row("2bounce_notice_recipient", Text, "postmaster", "qmgr pickup", "Who gets notices that could not be delivered to the sender of a message."),
    row("accounts_file", Path, "", "master local popd imapd facteur", "File of accounts, `name:hash:uid:gid:gecos:home:shell`; empty means the system's own accounts and PAM."),
    row("alias_maps", Files, "/etc/aliases", "smtpd local newaliases", "Files of aliases, read live: no command is needed after a change."),
    row("allow_mail_to_commands", Choices(&["alias", "forward", "include"]), "alias, forward", "local mda", "Where `|command` is allowed as a destination."),
    row("allow_mail_to_files", Choices(&["alias", "forward", "include"]), "alias, forward", "local mda", "Where `/file/name` is allowed as a destination."),
    row("allow_percent_hack", Flag, "yes", "smtpd pickup facteur", "An address written user%domain, without @, is user@domain."),
    row("always_add_missing_headers", Flag, "no", "smtpd", "Complete missing Message-Id, Date and From also in mail from outside."),
    row("always_bcc", Text, "", "smtpd pickup facteur", "Addresses that get a copy of every message."),
    row("anvil_rate_time_unit", Time(Second), "60s", "smtpd", "How long the rates of clients are counted (smtpd_client_message_rate_limit and its like)."),
    row("append_at_myorigin", Choice(&["yes"]), "yes", "", "Accepted and without effect: names without a domain always get @$myorigin."),
    row("append_dot_mydomain", Flag, "no", "smtpd pickup qmgr facteur", "Domains without a dot get .$mydomain: user@host becomes user@host.example.com."),
    row("auth_failure_delay", Time(Second), "2s", "smtpd popd imapd", "How long the answer to a wrong password waits."),
    row("biff", Flag, "no", "mda", "Tell comsat of new mail (UDP port 512 of this machine); nobody listening costs nothing."),
    row("bounce_notice_recipient", Text, "postmaster", "qmgr pickup", "Who gets copies of notices to senders about failures, if notify_classes has bounce."),
    row("bounce_queue_lifetime", Time(Day), "5d", "qmgr", "How long a bounce is tried before it is given up."),
    row("bounce_size_limit", Bytes, "50000", "qmgr", "How much of the original message a bounce returns."),
    row("canonical_classes", Choices(PLACES), "envelope_sender, envelope_recipient, header_sender, header_recipient", "smtpd pickup qmgr facteur", "Where canonical_maps applies."),
    row("canonical_maps", Tables, "", "smtpd pickup qmgr facteur", "Tables of addresses that become others, wherever they stand."),
    row("command_directory", Path, "/usr/sbin", "master facteur", "Where sendmail, mailq, newaliases and facteur are."),
    row("command_time_limit", Time(Second), "1000s", "mda", "How long a user's command may take for one message."),
    row("content_filter", Text, "", "smtpd qmgr", "Where mail from port 25 goes first, `smtp-amavis:[127.0.0.1]:10024` or `lmtp:unix:/path`; it comes back at content_filter_reinject. Empty: nowhere."),
    row("content_filter_reinject", Sockets, "", "master smtpd", "Where a content filter gives mail back by SMTP, such as 127.0.0.1:10025: from this machine only, to anywhere, and to no filter again."),
    row("daemon_directory", Path, "/usr/lib/facteur", "master local popd imapd facteur", "Where the daemons and their helpers are."),
    row("data_directory", Path, "/var/lib/facteur", "master popd imapd facteur", "Where the self-signed certificate and small state files are."),
    row("default_destination_concurrency_failed_cohort_limit", Number(0, 1000), "1", "qmgr", "After how many rounds of failures in a row the mail for a next hop waits; 0: never, each message is tried."),
    row("default_destination_concurrency_limit", Number(1, 10_000), "20", "qmgr", "Most deliveries at one time to one next hop."),
    row("default_destination_concurrency_negative_feedback", Text, "1", "qmgr", "What a failure takes from the deliveries at one time to a next hop: a number, number/concurrency or number/sqrt_concurrency."),
    row("default_destination_concurrency_positive_feedback", Text, "1", "qmgr", "What a success adds to the deliveries at one time to a next hop; as for negative feedback."),
    row("default_destination_rate_delay", Time(Second), "0s", "qmgr", "Pause between two deliveries to one next hop, which then go one after another."),
    row("default_destination_recipient_limit", Number(1, 10_000), "50", "qmgr", "Most recipients of a message in one delivery to a next hop."),
    row("default_login_user", Text, "facteur-login", LOGINS, "The user that talks to clients before they have logged in."),
    row("default_privs", Text, "nobody", "local", "The user whose rights `|command` and `/file` in an alias file owned by root get, and reading an `:include:` list owned by root; others get their owner's."),
    row("default_process_limit", Number(1, 1_000_000), "1000", "smtpd", "Most SMTP sessions at one time."),
    row("default_transport", Text, "smtp", "qmgr", "How mail for other domains goes: `smtp`, `smtp:[host]:port`, `lmtp:unix:/path`, `error:5.7.1 text`, `retry:text`, `discard:`, `hold:text`."),
    row("defer_transports", List, "", "qmgr", "Transports whose mail waits until `facteur flush`, as on a line that costs money."),
    row("delay_notice_recipient", Text, "postmaster", "qmgr", "Who gets copies of notices to senders about delays, if notify_classes has delay."),
    row("delay_warning_time", Time(Hour), "0h", "qmgr", "Tell the sender when a message has waited this long; 0 means never."),
    row("disable_mime_output_conversion", Flag, "no", "smtp", "Send 8-bit content as it is to a server that does not offer 8BITMIME, instead of making it 7-bit."),
    row("disable_plaintext_auth", Flag, "yes", LOGINS, "Refuse passwords sent in clear from other machines without TLS."),
    row("disable_vrfy_command", Flag, "no", "smtpd", "Refuse the VRFY command."),
    row("dns_servers", List, "", "smtp facteur", "Name servers, `address` or `address:port`, instead of those in /etc/resolv.conf."),
    row("dovecot_directory", Path, "", DAEMONS, "Dovecot's configuration there (dovecot.conf and what it includes) counts too, before conf.d; empty means it does not."),
    row("duplicate_filter_limit", Number(0, ANY), "1000", "smtpd pickup", "How many recipients of a message are remembered, to name each only once; 0 means all."),
    row("error_notice_recipient", Text, "postmaster", "qmgr smtpd", "Who is told of trouble of this machine and of SMTP sessions, if notify_classes has resource, software, policy or protocol."),
    row("fast_flush_domains", Domains, "$relay_domains", "smtpd", "Domains whose waiting mail ETRN starts, besides ours."),
    row("first_valid_uid", Number(0, ANY), "500", LOGINS, "Users with a lower number cannot log in to read mail."),
    row("forward_path", Raw, "$home/.forward${recipient_delimiter}${extension}, $home/.forward", "mda", "Where a user's forwarding file is looked for."),
    row("home_mailbox", HomeFile, "", "mda popd imapd facteur", "Mailbox relative to the home directory, also with a slash in front: `Maildir/` (with the slash at the end) or an mbox file; empty means mail_spool_directory/USER."),
    row("hopcount_limit", Number(1, 1000), "50", "smtpd pickup", "More Received headers than this are a mail loop."),
    row("ignore_mx_lookup_error", Flag, "no", "smtp", "When nobody can say whether a domain has MX records, try the host of that name."),
    row("imap_idle_notify_interval", Time(Minute), "2m", "imapd", "How often a waiting IDLE client hears `* OK Still here`."),
    row("imap_max_line_length", Bytes, "64K", "imapd", "Longest IMAP command line."),
    row("inet_interfaces", Interfaces, "all", "master smtpd qmgr smtp local facteur", "Addresses SMTP listens on: all, loopback-only, names or addresses. In brackets they are domains of ours."),
    row("inet_protocols", Choices(&["all", "ipv4", "ipv6"]), "all", "master popd imapd", "Which internet protocols are used."),
    row("initial_destination_concurrency", Number(1, 10_000), "5", "qmgr", "Deliveries at one time to a next hop of which nothing is known yet."),
    row("line_length_limit", Bytes, "2048", "smtpd", "Longest SMTP command line."),
    row("listen", Interfaces, "*, ::", LOGINS, "Addresses POP3 and IMAP listen on."),
    row("lmtp_destination_concurrency_limit", Number(1, 10_000), "$default_destination_concurrency_limit", "qmgr", "As default_destination_concurrency_limit, for LMTP."),
    row("lmtp_destination_rate_delay", Time(Second), "$default_destination_rate_delay", "qmgr", "As default_destination_rate_delay, for LMTP."),
    row("lmtp_destination_recipient_limit", Number(1, 10_000), "$default_destination_recipient_limit", "qmgr", "As default_destination_recipient_limit, for LMTP."),
    row("lmtp_initial_destination_concurrency", Number(1, 10_000), "$initial_destination_concurrency", "qmgr", "As initial_destination_concurrency, for LMTP."),
    row("lmtp_tcp_port", Number(1, 65_535), "24", "smtp", "The port for LMTP where the next hop names none."),
    row("local_destination_concurrency_limit", Number(1, 1000), "2", "qmgr local", "Most deliveries by command at one time for one user."),
    row("local_recipient_maps", List, "unix:passwd.byname, $alias_maps", "smtpd facteur", "Who has mail at mydestination: users (unix:passwd.byname), aliases, tables; empty means everybody."),
    row("local_transport", Text, "local", "qmgr", "How mail for mydestination goes; as default_transport, or `error:local mail delivery is disabled`."),
    row("login_greeting", Text, "Facteur ready.", LOGINS, "What POP3 and IMAP say first."),
    row("login_trusted_networks", Networks, "", "popd imapd smtpd", "Clients that may send passwords in clear, besides those on this machine; for SMTP only to submission (587)."),
    row("luser_relay", Raw, "", "smtpd local", "Where mail for unknown local users goes; empty means it is refused."),
    row("mail_access_groups", List, "", "popd imapd", "Groups whose rights sessions have besides the user's own; for a mailbox directory shared by a group. Seldom needed: mail_privileged_group makes locks in the spool."),
    row("mail_location", Location, "", "popd imapd", "Where readers look for mail, in Dovecot's words; empty (best) means where the mail is delivered."),
    row("mail_max_userip_connections", Number(1, 1_000_000), "10", LOGINS, "Most sessions of one user from one address."),
    row("mail_name", Text, "Facteur", "smtpd pickup qmgr", "The name in the greeting and in Received headers."),
    row("mail_owner", Text, "facteur", "master smtpd pickup qmgr", "The user that owns the queue."),
    row("mail_privileged_group", Text, "mail", "mda popd imapd", "The group that may write in mail_spool_directory, taken only to lock or make a mailbox."),
    row("mail_spool_directory", Path, "/var/mail", "mda popd imapd", "Where mbox files named after the user are."),
    row("mailbox_command", Raw, "", "mda", "Command that gets each message instead of the mailbox, such as `procmail -a \"$EXTENSION\"`."),
    row("mailbox_size_limit", Bytes, "0", "mda", "Largest mbox file, and largest message into a Maildir; 0 means no limit."),
    row("maillog_file", Path, "", "master smtpd pickup qmgr local popd imapd facteur", "Log to this file; empty means syslog."),
    row("masquerade_classes", Choices(PLACES), "envelope_sender, header_sender, header_recipient", "smtpd pickup qmgr facteur", "Where masquerade_domains applies."),
    row("masquerade_domains", List, "", "smtpd pickup qmgr facteur", "Domains whose hosts are hidden: user@host.example.com becomes user@example.com; `!` in front keeps what is below."),
    row("masquerade_exceptions", List, "", "smtpd pickup qmgr facteur", "Users whose host is not hidden."),
    row("maximal_backoff_time", Time(Second), "4000s", "qmgr", "Longest wait between two tries."),
    row("maximal_queue_lifetime", Time(Day), "5d", "qmgr", "How long a message is tried before it is returned."),
    row("mbox_lock_timeout", Time(Minute), "5m", LOGINS, "How long a reader waits for the lock of an mbox file."),
    row("message_size_limit", Bytes, "10240000", "smtpd pickup sendmail", "Largest message; 0 means no limit."),
    row("minimal_backoff_time", Time(Second), "300s", "qmgr", "Shortest wait between two tries."),
    row("mydestination", Domains, "$myhostname, localhost.$mydomain, localhost, /etc/mailname", "smtpd qmgr local popd imapd", "Domains whose mail is delivered on this machine."),
    machine("mydomain", Default::HostDomain, "smtpd qmgr", "The domain of this machine."),
    machine("myhostname", Default::HostName, "smtpd pickup qmgr local popd imapd", "The name this machine gives itself in mail."),
    row("mynetworks", Networks, "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128", "smtpd", "Clients that may send mail to anywhere."),
    machine("myorigin", Default::MailName, "smtpd pickup sendmail qmgr local", "The domain that is added to addresses without one; a leading slash names a file that says it."),
    row("notice_language", Choice(&["en", "fr"]), "en", "qmgr pickup", "The language of notices to senders: English or French."),
    row("notify_classes", Choices(&["2bounce", "bounce", "delay", "policy", "protocol", "resource", "software"]), "2bounce, resource, software", "qmgr pickup smtpd", "What the postmaster is told of by mail: undeliverable notices (2bounce), failures, delays, trouble of this machine, and what was said in SMTP sessions in which something was refused by our rules (policy) or said wrong (protocol)."),
    row("pickup_content_filter", Text, "$content_filter", "pickup", "As content_filter, for mail from sendmail."),
    row("port_offset", Number(0, 60_000), "0", "master popd imapd facteur", "Added to every standard port number, to run without being root."),
    row("postfix_directory", Path, "", DAEMONS, "Postfix's main.cf there counts too, before conf.d; empty means it does not."),
    row("propagate_unmatched_extensions", Choices(&["alias", "canonical", "forward", "generic", "include", "virtual"]), "canonical, virtual", "smtpd pickup qmgr smtp facteur", "Which tables (canonical, virtual, generic) hand the extension of user+extension on to what they find; the other words are accepted without effect."),
    row("protocols", Choices(&["imap", "pop3"]), "imap pop3", "popd imapd facteur", "Which of the readers' services run."),
    row("proxy_interfaces", List, "", "smtpd qmgr smtp local facteur", "Addresses from which a router passes mail on to us; mail is not sent there again. In brackets they are domains of ours."),
    row("qmgr_message_active_limit", Number(1, 10_000_000), "20000", "qmgr", "Most messages in delivery at one time."),
    row("queue_directory", Path, "/var/spool/facteur", "master smtpd pickup qmgr local sendmail mailq facteur", "The queue."),
    row("queue_minfree", Bytes, "0", "smtpd", "Refuse mail when the queue's file system has less than this left; at least one and a half times message_size_limit is kept in any case."),
    row("queue_run_delay", Time(Second), "300s", "qmgr", "How often the deferred mail is looked at."),
    row("receive_override_options", Choices(&["no_address_mappings", "no_header_body_checks", "no_milters", "no_unknown_recipient_checks"]), "", "smtpd pickup", "What is not done before a content filter: no_address_mappings leaves canonical, virtual, bcc and masquerading to the time when the mail comes back, no_unknown_recipient_checks takes mail for anybody."),
    row("recipient_bcc_maps", Tables, "", "smtpd pickup facteur", "Tables of addresses that get copies of mail to a recipient."),
    row("recipient_canonical_classes", Choices(PLACES), "envelope_recipient, header_recipient", "smtpd pickup qmgr facteur", "Where recipient_canonical_maps applies."),
    row("recipient_canonical_maps", Tables, "", "smtpd pickup qmgr facteur", "As canonical_maps, for recipients only, and before it."),
    row("recipient_delimiter", Text, "+", "smtpd local mda", "The character between a user's name and an extension, as in user+extension."),
    row("relay_destination_concurrency_limit", Number(1, 10_000), "$default_destination_concurrency_limit", "qmgr", "As default_destination_concurrency_limit, for the transport relay (mail for relay_domains)."),
    row("relay_destination_rate_delay", Time(Second), "$default_destination_rate_delay", "qmgr", "As default_destination_rate_delay, for the transport relay (mail for relay_domains)."),
    row("relay_destination_recipient_limit", Number(1, 10_000), "$default_destination_recipient_limit", "qmgr", "As default_destination_recipient_limit, for the transport relay (mail for relay_domains)."),
    row("relay_domains", Domains, "", "smtpd", "Further domains that anyone may send to through this machine."),
    row("relay_initial_destination_concurrency", Number(1, 10_000), "$initial_destination_concurrency", "qmgr", "As initial_destination_concurrency, for the transport relay (mail for relay_domains)."),
    row("relay_recipient_maps", Tables, "", "smtpd facteur", "Tables of who has mail in relay_domains; empty means everybody."),
    row("relay_transport", Text, "relay", "qmgr", "How mail for relay_domains goes; as default_transport."),
    row("relayhost", NextHops, "", "qmgr", "Where all mail for other machines is sent: `[host]:port` or a domain; of several, each is tried in turn."),
    row("remote_header_rewrite_domain", Text, "", "smtpd", "Added to bare names in header fields of mail from outside, which are then rewritten like those of our users; empty leaves them alone."),
    row("run_directory", Path, "/run/facteur", "master popd imapd facteur", "Where process numbers and the readers' sockets are."),
    row("sender_bcc_maps", Tables, "", "smtpd pickup facteur", "Tables of addresses that get copies of mail from a sender."),
    row("sender_canonical_classes", Choices(PLACES), "envelope_sender, header_sender", "smtpd pickup qmgr facteur", "Where sender_canonical_maps applies."),
    row("sender_canonical_maps", Tables, "", "smtpd pickup qmgr facteur", "As canonical_maps, for senders only, and before it."),
    row("sender_dependent_relayhost_maps", Tables, "", "qmgr", "By sender address or @domain: the relayhost for his mail."),
    row("setgid_group", Text, "facteur-drop", "master sendmail", "The group that may drop mail in the queue."),
    row("smtp_address_preference", Choice(&["any", "ipv4", "ipv6"]), "any", "smtp", "Which addresses are tried first among equals."),
    row("smtp_always_send_ehlo", Flag, "yes", "smtp", "Say EHLO even to a server that does not announce ESMTP."),
    row("smtp_bind_address", Text, "", "smtp facteur", "The IPv4 address of ours from which mail is sent."),
    row("smtp_bind_address6", Text, "", "smtp facteur", "The IPv6 address of ours from which mail is sent."),
    row("smtp_connect_timeout", Time(Second), "30s", "smtp", "How long a connection may take to come about; 0 means as long as the system tries."),
    row("smtp_connection_cache_on_demand", Flag, "yes", "smtp", "Use a connection for more than one message."),
    row("smtp_connection_cache_time_limit", Time(Second), "2s", "smtp", "How long a connection is kept for the next message."),
    row("smtp_connection_reuse_count_limit", Number(0, ANY), "0", "smtp", "Most messages over one connection; 0 means no limit."),
    row("smtp_connection_reuse_time_limit", Time(Second), "300s", "smtp", "How long one connection is used again."),
    row("smtp_data_done_timeout", Time(Second), "600s", "smtp", "How long a server may take to answer the end of a message."),
    row("smtp_data_init_timeout", Time(Second), "120s", "smtp", "How long a server may take to answer DATA."),
    row("smtp_data_xfer_timeout", Time(Second), "180s", "smtp", "How long a server may take to receive some of a message."),
    row("smtp_defer_if_no_mx_address_found", Flag, "no", "smtp", "Wait instead of bouncing when no MX host of a domain has an address."),
    row("smtp_destination_concurrency_limit", Number(1, 10_000), "$default_destination_concurrency_limit", "qmgr", "As default_destination_concurrency_limit, for SMTP."),
    row("smtp_destination_rate_delay", Time(Second), "$default_destination_rate_delay", "qmgr", "As default_destination_rate_delay, for SMTP."),
    row("smtp_destination_recipient_limit", Number(1, 10_000), "$default_destination_recipient_limit", "qmgr", "As default_destination_recipient_limit, for SMTP."),
    row("smtp_discard_ehlo_keywords", List, "", "smtp", "EHLO keywords of servers that are taken as not offered."),
    row("smtp_generic_maps", Tables, "", "smtp facteur", "Tables of addresses that become others when mail leaves this machine."),
    row("smtp_helo_name", Text, "$myhostname", "smtp facteur", "The name said in EHLO."),
    row("smtp_helo_timeout", Time(Second), "300s", "smtp", "How long a server may take to greet, and to answer EHLO and AUTH."),
    row("smtp_initial_destination_concurrency", Number(1, 10_000), "$initial_destination_concurrency", "qmgr", "As initial_destination_concurrency, for SMTP."),
    row("smtp_line_length_limit", Number(0, ANY), "998", "smtp", "Longer lines are broken; 0 means never."),
    row("smtp_mail_timeout", Time(Second), "300s", "smtp", "How long a server may take to answer MAIL FROM."),
    row("smtp_mx_address_limit", Number(0, 1000), "5", "smtp", "Most addresses tried for one delivery; 0 means no limit."),
    row("smtp_mx_session_limit", Number(0, 1000), "2", "smtp", "Most servers talked to for one delivery; 0 means no limit."),
    row("smtp_never_send_ehlo", Flag, "no", "smtp", "Say HELO only."),
    row("smtp_quit_timeout", Time(Second), "300s", "smtp", "How long a server may take to answer QUIT."),
    row("smtp_rcpt_timeout", Time(Second), "300s", "smtp", "How long a server may take to answer RCPT TO."),
    row("smtp_rset_timeout", Time(Second), "20s", "smtp", "How long a server may take to answer RSET."),
    row("smtp_sasl_auth_enable", Flag, "no", "smtp", "Log in where smtp_sasl_password_maps has a password."),
    row("smtp_sasl_auth_soft_bounce", Flag, "yes", "smtp", "Mail waits when a server refuses the password, instead of bouncing."),
    row("smtp_sasl_mechanism_filter", List, "", "smtp", "Ways to log in that may be used (scram-sha-256, plain, login, xoauth2); empty means all but xoauth2, for which the password is an access token."),
    row("smtp_sasl_password_maps", Tables, "", "smtp", "Tables of `host user:password` or `next-hop user:password`; not readable by others than owner and group."),
    row("smtp_sasl_security_options", Choices(&["noanonymous", "noplaintext"]), "noplaintext, noanonymous", "smtp", "What is avoided when logging in without TLS: passwords that can be overheard (noplaintext)."),
    row("smtp_sasl_tls_security_options", Choices(&["noanonymous", "noplaintext"]), "noanonymous", "smtp", "What is avoided when logging in under TLS."),
    row("smtp_sender_dependent_authentication", Flag, "no", "smtp", "Look for the sender in smtp_sasl_password_maps first."),
    row("smtp_skip_5xx_greeting", Flag, "yes", "smtp", "A server that greets with 5xx is passed over; else the mail bounces."),
    row("smtp_skip_quit_response", Flag, "yes", "smtp", "Close the connection without waiting for the answer to QUIT."),
    row("smtp_starttls_timeout", Time(Second), "300s", "smtp", "How long a server may take to start TLS."),
    row("smtp_tcp_port", Number(1, 65_535), "25", "smtp", "The port for SMTP where the next hop names none."),
    row("smtp_tls_CAfile", Path, "/etc/ssl/certs/ca-certificates.crt", "smtp", "Certificates of the authorities that are trusted."),
    row("smtp_tls_loglevel", Number(0, 4), "1", "smtp", "Whether TLS connections are logged; 0 means no."),
    row("smtp_tls_policy_maps", Tables, "", "smtp", "Tables of `next-hop level`, where smtp_tls_security_level does not hold: `[mail.example.com]:587 secure match=example.com`."),
    row("smtp_tls_secure_cert_match", List, "nexthop, dot-nexthop", "smtp", "The names a certificate must hold at level secure: nexthop, dot-nexthop, hostname, names, .domains."),
    row("smtp_tls_security_level", Choice(&["none", "may", "encrypt", "verify", "secure"]), "may", "smtp", "TLS to other servers: never, if offered, always, only with a certificate for the server's name (verify) or the next hop's (secure)."),
    row("smtp_tls_verify_cert_match", List, "hostname", "smtp", "The names a certificate must hold at level verify."),
    row("smtp_tls_wrappermode", Flag, "no", "smtp", "TLS from the first octet, as on port 465; at least level encrypt."),
    row("smtpd_banner", Text, "$myhostname ESMTP $mail_name", "smtpd", "What SMTP says first, after `220`."),
    row("smtpd_client_connection_count_limit", Number(0, 1_000_000), "50", "smtpd", "Most SMTP sessions at one time from one client (smtpd_client_event_limit_exceptions aside); 0 means no limit."),
    row("smtpd_client_connection_rate_limit", Number(0, ANY), "0", "smtpd", "Most SMTP connections of one client in anvil_rate_time_unit; 0 means no limit."),
    row("smtpd_client_event_limit_exceptions", Networks, "$mynetworks", "smtpd", "Clients that no smtpd_client_ limit concerns."),
    row("smtpd_client_message_rate_limit", Number(0, ANY), "0", "smtpd", "Most messages (MAIL) of one client in anvil_rate_time_unit; 0 means no limit."),
    row("smtpd_client_recipient_rate_limit", Number(0, ANY), "0", "smtpd", "Most recipients (RCPT) of one client in anvil_rate_time_unit; 0 means no limit."),
    row("smtpd_discard_ehlo_keywords", List, "", "smtpd", "EHLO keywords that are not announced; without chunking there is no BDAT and no BINARYMIME."),
    row("smtpd_error_sleep_time", Time(Second), "1s", "smtpd", "Delay of replies after smtpd_soft_error_limit errors."),
    row("smtpd_forbid_bare_newline", Flag, "yes", "smtpd", "A bare line feed never ends DATA, which stops SMTP smuggling. no: anybody may type whole sessions with bare line feeds."),
    row("smtpd_forbid_bare_newline_exclusions", Networks, "$mynetworks", "smtpd", "Clients that may type whole sessions with bare line feeds, as nc does."),
    row("smtpd_forbid_unauth_pipelining", Flag, "yes", "smtpd", "Disconnect clients that send commands before they may."),
    row("smtpd_hard_error_limit", Number(1, ANY), "20", "smtpd", "Errors after which a client is disconnected."),
    row("smtpd_helo_required", Flag, "no", "smtpd", "Refuse MAIL before HELO or EHLO."),
    row("smtpd_junk_command_limit", Number(1, ANY), "100", "smtpd", "NOOP, VRFY, ETRN and RSET beyond this count as errors."),
    row("smtpd_recipient_limit", Number(1, ANY), "1000", "smtpd", "Most recipients of one message."),
    row("smtpd_recipient_overshoot_limit", Number(0, ANY), "1000", "smtpd", "Recipients over smtpd_recipient_limit that do not count as errors."),
    row("smtpd_sasl_auth_enable", Flag, "yes", "smtpd", "Offer AUTH."),
    row("smtpd_sender_login_maps", Tables, "", "smtpd", "Tables of which logins may send as an address: `kevin, foo`; an address that is in none belongs to the user whose own it is, or to whom it leads as an alias."),
    row("smtpd_services", Choices(&["smtp", "submission", "smtps"]), "smtp submission smtps", "master", "Which SMTP ports are served: 25, 587 and 465; empty means none, as on a machine that only sends."),
    row("smtpd_soft_error_limit", Number(1, ANY), "10", "smtpd", "Errors after which replies are delayed."),
    row("smtpd_timeout", Time(Second), "300s", "smtpd", "How long a client may be silent."),
    row("smtpd_tls_auth_only", Flag, "yes", "smtpd", "Offer AUTH only after STARTTLS; on submission (587), not to clients on this machine and in login_trusted_networks."),
    row("smtpd_tls_cert_file", Path, "$ssl_cert", "smtpd", "Certificate for SMTP."),
    row("smtpd_tls_key_file", Path, "$ssl_key", "smtpd", "Private key for SMTP."),
    row("smtpd_tls_security_level", Choice(&["none", "may", "encrypt"]), "may", "smtpd", "Offer STARTTLS (may), demand it (encrypt) or neither (none)."),
    row("soft_bounce", Flag, "no", "smtpd qmgr local", "Turn every permanent refusal into a temporary one, for trying things out."),
    row("ssl", Choice(&["no", "yes", "required"]), "yes", LOGINS, "Offer TLS to readers, or demand it."),
    row("ssl_cert", Path, "", "popd imapd smtpd", "Certificate; empty means a self-signed one in data_directory, made at first start."),
    row("ssl_key", Path, "", "popd imapd smtpd", "Private key of ssl_cert."),
    row("strict_mailbox_ownership", Flag, "yes", "mda", "Do not deliver to a mailbox owned by somebody else."),
    row("submission_content_filter", Text, "$content_filter", "smtpd", "As content_filter, for mail from ports 587 and 465."),
    row("submission_message_limit", Number(0, ANY), "500", "smtpd", "Messages that one login may send in an hour; more are put on hold and told to user and postmaster. 0 means no limit."),
    row("submission_recipient_limit", Number(0, ANY), "2000", "smtpd", "Recipients that one login may send to in an hour; more are put on hold and told to user and postmaster. 0 means no limit."),
    row("submission_reject_sender_login_mismatch", Flag, "yes", "smtpd", "On ports 587 and 465, refuse a sender address that is not the login's (smtpd_sender_login_maps)."),
    row("swap_bangpath", Flag, "yes", "smtpd pickup facteur", "An address written site!user, without @, is user@site."),
    row("syslog_name", Text, "facteur", DAEMONS, "The name in front of the slash in each log line."),
    row("transport_maps", Tables, "", "qmgr", "By address, domain, .domain or *: how and where mail goes, `transport:nexthop`."),
    row("virtual_alias_domains", Names, "$virtual_alias_maps", "smtpd qmgr facteur", "Domains of which every address is in virtual_alias_maps, or does not exist."),
    row("virtual_alias_expansion_limit", Number(1, ANY), "1000", "smtpd pickup qmgr", "Most addresses one may become by virtual_alias_maps."),
    row("virtual_alias_maps", Tables, "", "smtpd pickup qmgr facteur", "Tables of recipients that become others, of any domain."),
    row("virtual_alias_recursion_limit", Number(1, ANY), "1000", "smtpd pickup qmgr", "Most times an address may become another by virtual_alias_maps."),
    row("virtual_mailbox_domains", Domains, "", "smtpd qmgr", "Domains of mailboxes that virtual_transport delivers to."),
    row("virtual_transport", Text, "error:no delivery is set up for virtual mailboxes (virtual_transport)", "qmgr", "How mail for virtual_mailbox_domains goes, such as `lmtp:unix:private/lmtp`."),
];
