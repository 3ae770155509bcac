//! Users and passwords for next hops: `smtp_sasl_password_maps`.
//!
//! A line is `host user:password` with the name of a server, or `next-hop user:password`; the server goes first, as in Postfix.
//! With `smtp_sender_dependent_authentication` a line `sender@domain user:password` or `@domain user:password` goes before both.
//! Who we are is thus not known before a host is. The file must not be readable by others than its owner and group: such a file is refused and the mail waits.

use config::{Config, Destinations};
use handover::relay::Hop;
use mail::{Address, Domain};
use sasl::client::{Login, Mechanism};
use smtp::client::Authentication;
use tables::address::Key;
use tables::{Found, Secrecy, Tables, View};
use wire::Secret;

use super::hop::{Place, Target};

/// The parameters.
#[derive(Debug)]
pub(super) struct Logins {
    enabled: bool,
    by_sender: bool,
    soft_bounce: bool,
    table: Tables,
    destinations: Destinations,
    origin: String,
    delimiters: String,
    /// Under TLS, and in clear.
    mechanisms: [Vec<Mechanism>; 2],
}

impl Logins {
    pub(super) fn new(config: &Config) -> Self {
        let filter = config.list("smtp_sasl_mechanism_filter");
        let allowed = |options: &[String]| {
            let mechanisms = Mechanism::ALL.into_iter().filter(|mechanism| {
                let plain_is_fine = !options.iter().any(|option| option == "noplaintext");
                let named = filter.iter().any(|name| name.eq_ignore_ascii_case(mechanism.name()));
                // What the table holds is taken for a password unless the administrator says that it is a token.
                let fits = named || filter.is_empty() && *mechanism != Mechanism::XOAuth2;
                fits && (plain_is_fine || !mechanism.is_plaintext())
            });
            mechanisms.collect()
        };
        let table = Tables::open_as(config.text("smtp_sasl_password_maps"), Secrecy::Passwords);
        Self {
            enabled: config.flag("smtp_sasl_auth_enable"),
            by_sender: config.flag("smtp_sender_dependent_authentication"),
            soft_bounce: config.flag("smtp_sasl_auth_soft_bounce"),
            table: table.expect("checked when it was read"),
            destinations: config.destinations(),
            origin: config.text("myorigin").to_lowercase(),
            delimiters: config.text("recipient_delimiter").to_owned(),
            mechanisms: ["smtp_sasl_tls_security_options", "smtp_sasl_security_options"]
                .map(|name| allowed(&config.list(name))),
        }
    }

    /// The files to be read.
    pub(super) fn files(&self) -> Vec<std::path::PathBuf> {
        self.table.files()
    }

    /// What the table has for messages of this sender to this next hop; else the sentence for the log.
    pub(super) fn of(&self, hop: &Hop, target: &Target, sender: Option<&Address>) -> Result<Choice, String> {
        if !self.enabled || self.table.is_empty() {
            return Ok(Choice::default());
        }
        let view = self.table.view().map_err(|trouble| trouble.0)?;
        let by_sender = sender.filter(|_| self.by_sender).and_then(|sender| self.for_sender(&view, sender));
        let mut keys = vec![hop.text.clone()];
        if let Place::Domain(name) | Place::Host(name) = &target.place {
            keys.extend([format!("[{name}]"), name.clone()]);
        }
        let by_hop = keys.iter().find_map(|key| view.lookup(key));
        Ok(Choice { view, by_sender, by_hop })
    }

    fn for_sender(&self, view: &View, sender: &Address) -> Option<Found> {
        let domain = sender.domain().map_or("", Domain::as_str);
        let is_ours = domain == self.origin || self.destinations.contains(domain);
        let key = Key { local: sender.local(), domain, is_ours, delimiters: &self.delimiters };
        key.find(view).map(|hit| hit.found)
    }

    /// What the session needs.
    pub(super) fn authentication(&self, login: Login) -> std::io::Result<Authentication> {
        let [mechanisms, in_clear] = self.mechanisms.clone();
        Ok(Authentication { login, mechanisms, in_clear, nonce: nonce()?, soft_bounce: self.soft_bounce })
    }
}

/// What the table has for one delivery: which line it is depends on the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    view: View,
    by_sender: Option<Found>,
    by_hop: Option<Found>,
}

impl Choice {
    /// Who we are for this host, `None` where it has no name; else the sentence for the log.
    pub(super) fn at(&self, host: Option<&str>) -> Result<Option<Login>, String> {
        let by_host = || host.and_then(|host| self.view.lookup(host));
        let found = self.by_sender.clone().or_else(by_host).or_else(|| self.by_hop.clone());
        let Some(found) = found else { return Ok(None) };
        match found.value.split_once(':') {
            Some((user, password)) if !user.is_empty() => {
                Ok(Some(Login { user: user.into(), secret: Secret::new(password.into()) }))
            }
            // An empty value: no login for this one.
            _ if found.value.is_empty() => Ok(None),
            _ => Err(format!("{}:{}: not user:password", found.file.display(), found.line)),
        }
    }
}

fn nonce() -> std::io::Result<String> {
    use std::io::Read;
    let mut octets = [0; 18];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(sasl::base64::encode(&octets))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::hop::Defaults;
    use super::*;

    fn logins(lines: &str, mode: u32, more: &str) -> (tempfile::NamedTempFile, Logins) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), lines).expect("written");
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).expect("mode");
        let text = format!("smtp_sasl_auth_enable: yes\nsmtp_sasl_password_maps: {}\n{more}", file.path().display());
        let config = Config::parse(std::path::Path::new("/nowhere"), &text).expect("a configuration");
        (file, Logins::new(&config))
    }

    fn user(logins: &Logins, next_hop: &str, sender: &str) -> Result<Option<String>, String> {
        user_at(logins, next_hop, sender, None)
    }

    fn user_at(logins: &Logins, next_hop: &str, sender: &str, host: Option<&str>) -> Result<Option<String>, String> {
        let hop = Hop { text: next_hop.into(), ..Hop::default() };
        let target = Target::read(&hop, &Defaults { smtp: 25, lmtp: 24, queue: "/".into() }).expect("a next hop");
        let sender = Address::parse(sender).ok();
        logins.of(&hop, &target, sender.as_ref())?.at(host).map(|login| login.map(|login| login.user))
    }

    #[test]
    fn the_next_hop_or_the_sender_decides() {
        let lines = "[mx.org]:587 kevin:a:b\nother.org toto:x\nk@m.org me:y\nbad.org nonsense\n";
        let (_file, logins) = logins(lines, 0o640, "smtp_sender_dependent_authentication: yes\n");
        assert_eq!(user(&logins, "[mx.org]:587", ""), Ok(Some("kevin".into())));
        assert_eq!(user(&logins, "[mx.org]:587", "k@m.org"), Ok(Some("me".into())));
        assert_eq!(user(&logins, "[mx.org]", ""), Ok(None));
        assert_eq!(user(&logins, "[other.org]:25", ""), Ok(Some("toto".into())));
        assert!(user(&logins, "bad.org", "").expect_err("nonsense").ends_with(":4: not user:password"));
    }

    #[test]
    fn the_host_goes_before_the_next_hop() {
        let lines = "mx1.a.test first:x\na.test all:x\nk@m.org me:y\n@n.org they:z\nkevin ours:w\n";
        let (_file, logins) =
            logins(lines, 0o640, "smtp_sender_dependent_authentication: yes\nmyorigin: m.com\nmydestination: m.com\n");
        let at = |host: &str, sender: &str| user_at(&logins, "a.test", sender, Some(host)).expect("a line");
        for (host, sender, user) in [
            ("mx1.a.test", "", "first"),
            ("MX1.a.test", "x@y.org", "first"),
            ("mx2.a.test", "", "all"),
            ("mx1.a.test", "k@m.org", "me"),
            ("mx1.a.test", "K+news@m.org", "me"),
            ("mx1.a.test", "any@n.org", "they"),
            ("mx1.a.test", "kevin@m.com", "ours"),
        ] {
            assert_eq!(at(host, sender).as_deref(), Some(user), "{host} {sender}");
        }
        assert_eq!(user_at(&logins, "b.test", "", Some("mx1.a.test")), Ok(Some("first".into())));
        assert_eq!(user_at(&logins, "b.test", "", Some("mx1.b.test")), Ok(None));
    }

    #[test]
    fn a_file_that_everybody_reads_is_refused() {
        let (file, logins) = logins("mx.org kevin:secret\n", 0o644, "");
        let why = user(&logins, "mx.org", "").expect_err("refused");
        assert!(why.contains(&file.path().display().to_string()) && !why.contains("secret"), "{why}");
    }

    #[test]
    fn passwords_go_in_clear_only_if_that_is_allowed() {
        let mechanisms = |more: &str| logins("", 0o600, more).1.mechanisms;
        use Mechanism::{Login, Plain, ScramSha256, XOAuth2};
        assert_eq!(mechanisms(""), [vec![ScramSha256, Plain, Login], vec![ScramSha256]]);
        let all = vec![ScramSha256, Plain, Login];
        assert_eq!(mechanisms("smtp_sasl_security_options: noanonymous\n"), [all.clone(), all]);
        let filtered = mechanisms("smtp_sasl_mechanism_filter: xoauth2 login\n");
        assert_eq!(filtered, [vec![Login, XOAuth2], vec![]]);
    }
}
