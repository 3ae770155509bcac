//! Why settings of Postfix's that people do write have no parameter here.

use super::Verdict;
use super::Verdict::{Ignored, Needless};

/// The reason, by the name.
pub(super) fn of(name: &str, value: &str) -> Verdict {
    let row = TABLE.iter().find(|(known, _)| matches(known, name));
    match row {
        Some((_, Does::Anyway(why))) => Needless((*why).to_owned()),
        Some((_, Does::Not(why))) => Ignored((*why).to_owned()),
        Some((_, Does::IfUsual(usual, why))) => match same(usual, value) {
            true => Needless((*why).to_owned()),
            false => Ignored(format!("{why}; other conditions cannot be set")),
        },
        None => Ignored("it has no counterpart here".to_owned()),
    }
}

pub(super) fn is_known(name: &str) -> bool {
    TABLE.iter().any(|(known, _)| matches(known, name)) || name.contains('/')
}

enum Does {
    /// Facteur does it without being told.
    Anyway(&'static str),
    /// Facteur does as if this value were set.
    IfUsual(&'static str, &'static str),
    /// It does not.
    Not(&'static str),
}

/// A row's name may end with `*`.
fn matches(row: &str, name: &str) -> bool {
    row.strip_suffix('*').map_or(row == name, |start| name.starts_with(start))
}

fn same(usual: &str, value: &str) -> bool {
    crate::value::items(usual).eq(crate::value::items(value))
}

const LIVE: &str = "tables are read live, nothing is built from them";
const FILES: &str = "Facteur has its own files and manual pages";
const CACHE: &str = "TLS sessions are kept in memory";
const PROCESSES: &str = "sessions do not take a process each";
const RELAY: &str = "relaying is for mynetworks, for who has logged in, and for relay_domains";

/// In the order of what is looked for first.
const TABLE: &[(&str, Does)] = &[
    ("alias_database", Does::Anyway(LIVE)),
    ("compatibility_level", Does::Anyway("there is one behaviour only")),
    ("config_directory", Does::Anyway(FILES)),
    ("debug*", Does::Not("a program is watched with strace, a message with facteur trace")),
    ("default_database_type", Does::Anyway(LIVE)),
    ("header_checks", Does::Not("contents are not searched")),
    ("body_checks", Does::Not("contents are not searched")),
    ("html_directory", Does::Anyway(FILES)),
    ("mailbox_transport", Does::Not("mail for users goes to mailbox_command, home_mailbox or the mail spool")),
    ("mailq_path", Does::Anyway(FILES)),
    ("manpage_directory", Does::Anyway(FILES)),
    ("meta_directory", Does::Anyway(FILES)),
    ("milter_*", Does::Not("filters of this kind cannot be called yet")),
    ("mynetworks_style", Does::Not("set mynetworks")),
    ("newaliases_path", Does::Anyway(FILES)),
    ("non_smtpd_milters", Does::Not("filters of this kind cannot be called yet")),
    ("readme_directory", Does::Anyway(FILES)),
    ("sample_directory", Does::Anyway(FILES)),
    ("sendmail_path", Does::Anyway(FILES)),
    ("shlib_directory", Does::Anyway(FILES)),
    ("smtp_tls_session_cache_database", Does::Anyway(CACHE)),
    ("smtp_tls_CA*", Does::Anyway("the certificates of the system are used")),
    ("smtpd_milters", Does::Not("filters of this kind cannot be called yet")),
    (
        "smtpd_relay_restrictions",
        Does::IfUsual("permit_mynetworks permit_sasl_authenticated defer_unauth_destination", RELAY),
    ),
    (
        "smtpd_recipient_restrictions",
        Does::IfUsual("permit_mynetworks permit_sasl_authenticated reject_unauth_destination", RELAY),
    ),
    ("smtpd_sasl_local_domain", Does::Anyway("users log in with their bare name or with a domain of ours")),
    ("smtpd_sasl_path", Does::Anyway("passwords are checked here, through PAM")),
    ("smtpd_sasl_security_options", Does::IfUsual("noanonymous", "nobody logs in anonymously")),
    ("smtpd_sasl_type", Does::Anyway("passwords are checked here, through PAM")),
    ("smtpd_tls_session_cache_database", Does::Anyway(CACHE)),
    ("smtpd_tls_loglevel", Does::Not("what was agreed on is always logged")),
    ("smtp_tls_loglevel", Does::Not("what was agreed on is always logged")),
    ("strict_rfc821_envelopes", Does::IfUsual("no", "addresses may be typed without <>")),
    ("unknown_local_recipient_reject_code", Does::IfUsual("550", "the code is 550")),
    ("local_recipient_maps", Does::Anyway("the local users and aliases are known")),
    ("process_*", Does::Not(PROCESSES)),
    ("qmgr_*", Does::Not("the queue has its own schedule")),
    ("smtpd_*_restrictions", Does::Not(RELAY)),
    ("virtual_*", Does::Not("mailboxes are those of the system's users")),
];
