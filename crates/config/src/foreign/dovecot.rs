//! Dovecot's settings in our words, the names of 2.3 and of 2.4.

use std::path::Path;

use super::blocks::Setting;
use super::{Finding, Verdict, contents};
use crate::{param, value};

/// The parameters of ours that Dovecot knows by the same name.
pub(super) const NAMES: &[&str] = &[
    "auth_failure_delay",
    "disable_plaintext_auth",
    "first_valid_uid",
    "imap_idle_notify_interval",
    "imap_max_line_length",
    "listen",
    "login_greeting",
    "login_trusted_networks",
    "mail_access_groups",
    "mail_location",
    "mail_max_userip_connections",
    "mail_privileged_group",
    "mbox_lock_timeout",
    "protocols",
    "ssl",
    "ssl_cert",
    "ssl_key",
];

pub(super) fn translate(settings: &[Setting]) -> Vec<Finding> {
    let mut place = Place::default();
    let mut protocols = String::new();
    let users = Users::of(settings);
    let one = |setting: &Setting| match users.verdict(setting) {
        Some(verdict) => Finding { verdict, ..finding(setting, &mut place, &mut protocols) },
        None => finding(setting, &mut place, &mut protocols),
    };
    settings.iter().map(one).collect()
}

/// Where Dovecot looks for users: in the system, in files (`passwd-file`), elsewhere.
struct Users {
    /// In files.
    in_files: bool,
    /// There as well, or only there.
    elsewhere: bool,
}

impl Users {
    fn of(settings: &[Setting]) -> Users {
        let block = |setting: &Setting| setting.blocks.first().cloned().unwrap_or_default();
        let drivers: Vec<String> = settings
            .iter()
            .filter_map(|setting| match (block(setting), setting.name.as_str()) {
                (head, "driver") if head.starts_with("passdb") => Some(setting.value.clone()),
                // 2.4 names the block by the driver.
                (head, _) => head.strip_prefix("passdb ").map(str::to_owned),
            })
            .collect();
        let in_files = drivers.iter().any(|driver| driver == "passwd-file");
        Users { in_files, elsewhere: drivers.iter().any(|driver| driver != "passwd-file") }
    }

    /// What a setting of a `passwd-file` means.
    fn verdict(&self, setting: &Setting) -> Option<Verdict> {
        let head = setting.blocks.first().filter(|head| self.in_files && head.starts_with("passdb"))?;
        match setting.name.as_str() {
            "driver" if setting.value == "passwd-file" => Some(needless("its file says where the users are")),
            "args" | "passwd_file_path" => {
                let path = setting.value.split_whitespace().find(|word| word.starts_with('/'))?;
                Some(if self.elsewhere {
                    ignored("users come from elsewhere too: accounts_file holds all of them or none")
                } else {
                    users_file(path)
                })
            }
            "default_password_scheme" | "passwd_file_username_format" if head.contains("passwd-file") => {
                Some(needless("each hash says what it is, and users log in with their bare name"))
            }
            _ => None,
        }
    }
}

/// A file of users, if each line is one that `accounts_file` takes.
fn users_file(path: &str) -> Verdict {
    let text = match contents(Path::new(path)) {
        Ok(Some(text)) => text,
        Ok(None) => return ignored(format!("{path} does not exist")),
        Err(problem) => return ignored(problem.to_string()),
    };
    let bad = text.lines().position(|line| !line.is_empty() && !line.starts_with('#') && !is_account(line));
    match bad {
        None => taken("accounts_file", path),
        Some(index) => ignored(format!(
            "{path}:{} is not name:hash:uid:gid:gecos:home:shell with a SHA-crypt hash, as accounts_file wants it",
            index + 1
        )),
    }
}

/// A line as the crate `accounts` takes it.
fn is_account(line: &str) -> bool {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, hash, uid, gid, _, home, _] = fields.as_slice() else { return false };
    let hash = ["{CRYPT}", "{SHA256-CRYPT}", "{SHA512-CRYPT}"]
        .iter()
        .find_map(|scheme| hash.strip_prefix(scheme))
        .unwrap_or(hash);
    let number = |text: &str| text.parse::<u32>().is_ok();
    !name.is_empty()
        && ["$5$", "$6$", "*", "!"].iter().any(|start| hash.starts_with(start))
        && number(uid)
        && number(gid)
        && home.starts_with('/')
}

fn finding(setting: &Setting, place: &mut Place, protocols: &mut String) -> Finding {
    let blocks = setting.blocks.iter().map(|block| format!("{block}/")).collect::<String>();
    let verdict = match (setting.blocks.as_slice(), setting.name.as_str()) {
        ([], "protocols") => {
            *protocols = setting.value.replace("$protocols", protocols);
            services(protocols)
        }
        ([], _) => global(setting, place),
        ([one], _) if one.starts_with("protocol ") && NAMES.contains(&setting.name.as_str()) => global(setting, place),
        _ => in_block(setting),
    };
    let (name, value) = (format!("{blocks}{}", setting.name), setting.value.clone());
    Finding { source: setting.source.clone(), name, value, verdict }
}

fn taken(name: &'static str, value: impl Into<String>) -> Verdict {
    Verdict::Taken { name, value: value.into() }
}

fn needless(why: &str) -> Verdict {
    Verdict::Needless(why.to_owned())
}

fn ignored(why: impl Into<String>) -> Verdict {
    Verdict::Ignored(why.into())
}

/// IMAP and POP3 of the protocols; in 2.4 they are also written `{ imap = yes }`.
fn services(value: &str) -> Verdict {
    let kept: Vec<&str> = value::items(value).filter(|word| ["imap", "pop3"].contains(word)).collect();
    match kept.is_empty() && !value.trim().is_empty() {
        true => ignored("only imap and pop3 are served; sending is smtpd's"),
        false => taken("protocols", kept.join(" ")),
    }
}

fn global(setting: &Setting, place: &mut Place) -> Verdict {
    let value = setting.value.as_str();
    match setting.name.as_str() {
        "auth_allow_cleartext" => match value::flag(value) {
            Ok(yes) => taken("disable_plaintext_auth", if yes { "no" } else { "yes" }),
            Err(why) => ignored(why),
        },
        "ssl_server_cert_file" => path("ssl_cert", value),
        "ssl_server_key_file" => path("ssl_key", value),
        "ssl_cert" => path("ssl_cert", value),
        "ssl_key" => path("ssl_key", value),
        "mail_driver" => place.with(|place| place.driver = value.to_owned()),
        "mail_path" => place.with(|place| place.path = old_variables(value)),
        "mail_inbox_path" => place.with(|place| place.inbox = old_variables(value)),
        "mail_location" => location(&old_variables(value)),
        name => match (NAMES.iter().find(|known| **known == name).and_then(|name| param::find(name)), reason(name)) {
            (Some(row), _) => taken(row.name, value),
            (None, Some(verdict)) => verdict,
            (None, None) => ignored("it has no counterpart here"),
        },
    }
}

fn path(name: &'static str, value: &str) -> Verdict {
    let file = value::plain_path(value);
    match file.is_empty() || Path::new(file).exists() {
        true => taken(name, file),
        false => ignored(format!("{file} does not exist")),
    }
}

/// `maildir:` and `mbox:` locations; nothing means that the place is found out, as Facteur does.
fn location(value: &str) -> Verdict {
    match value.split_once(':').map_or((value, ""), |(driver, rest)| (driver, rest)) {
        ("", _) => needless("mail is read where it is delivered"),
        ("maildir" | "mbox", _) => taken("mail_location", value),
        (other, _) => ignored(format!("{other} is a format of Dovecot's alone: only maildir and mbox are read here")),
    }
}

/// What 2.4 made of `mail_location`: three settings, in any order.
#[derive(Default)]
struct Place {
    driver: String,
    path: String,
    inbox: String,
}

impl Place {
    fn with(&mut self, change: impl Fn(&mut Place)) -> Verdict {
        change(self);
        let inbox = if self.inbox.is_empty() { String::new() } else { format!(":INBOX={}", self.inbox) };
        match (self.driver.as_str(), self.path.as_str()) {
            ("", _) | (_, "") => needless("it counts together with mail_driver and mail_path"),
            (driver, path) => location(&format!("{driver}:{path}{inbox}")),
        }
    }
}

/// The variables of 2.4 as 2.3 wrote them.
fn old_variables(value: &str) -> String {
    let pairs = [("%{user|username}", "%n"), ("%{user | username}", "%n"), ("%{user}", "%u"), ("%{home}", "%h")];
    pairs.into_iter().fold(value.to_owned(), |text, (new, old)| text.replace(new, old))
}

/// Settings outside of blocks that people have and that need no parameter here.
fn reason(name: &str) -> Option<Verdict> {
    Some(match name {
        "dovecot_config_version" | "dovecot_storage_version" => needless("there is one version only"),
        "auth_mechanisms" => needless("PLAIN and LOGIN are offered"),
        "auth_username_format" => needless("users log in with their bare name or with a domain of ours"),
        "ssl_client_ca_dir" | "ssl_dh" | "ssl_server_dh_file" | "ssl_min_protocol" | "ssl_cipher_list" => {
            needless("TLS 1.2 and 1.3 with safe ciphers are all there is")
        }
        "maildir_copy_with_hardlinks" | "maildir_stat_dirs" | "mbox_read_locks" | "mbox_write_locks" | "mail_fsync" => {
            needless("the store decides this itself")
        }
        "log_path" | "info_log_path" | "debug_log_path" | "log_timestamp" | "syslog_facility" => {
            ignored("all of Facteur logs to the same place, see maillog_file")
        }
        "mail_home" | "mail_uid" | "mail_gid" => ignored("mailboxes belong to the users, in their homes"),
        "mail_plugins" => ignored("there are no plugins"),
        _ => return None,
    })
}

fn in_block(setting: &Setting) -> Verdict {
    let outer = setting.blocks.first().and_then(|block| block.split(' ').next()).unwrap_or_default();
    let inner = setting.blocks.last().and_then(|block| block.split(' ').next()).unwrap_or_default();
    let usual = setting.value.as_str();
    match (outer, inner, setting.name.as_str()) {
        ("namespace", "mailbox", "special_use" | "auto") => needless("special folders are known by their usual names"),
        ("namespace", _, "inbox") => needless("there is one name space, with the inbox"),
        ("namespace", _, "separator") if ["", "."].contains(&usual) => needless("the separator is a dot"),
        ("namespace", _, "prefix" | "location") if usual.is_empty() => needless("there is no prefix"),
        ("passdb", _, _) if setting.name == "driver" && usual == "pam" => needless("passwords are checked through PAM"),
        ("userdb", _, _) if setting.name == "driver" && usual == "passwd" => needless("users are those of the system"),
        ("passdb" | "userdb", ..) => ignored("users come from the system, or from accounts_file"),
        ("service", "inet_listener", _) => ignored("ports are the standard ones, see protocols and listen"),
        ("service", ..) => ignored("processes are not configured"),
        ("plugin", ..) => ignored("there are no plugins"),
        _ => ignored("it has no counterpart here"),
    }
}
