//! What a recipient is to us: somebody who has mail here, a domain that we pass on, nobody, or none of our business.

use mail::{Address, Domain};
use smtp::Reply;
use smtp::server::Answer;

use super::recipients::Trouble;
use super::server::Configured;

/// What the address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// We take mail for it from anybody.
    Ours,
    /// Its domain is ours, or one that we pass on; this table does not know it.
    Unknown(&'static str),
    /// It is elsewhere.
    Elsewhere,
    /// An address stands without brackets where a domain belongs.
    Numeric,
}

impl Configured {
    /// Whether a recipient is taken; `said` is how the client wrote it.
    pub(super) fn recipient(&self, said: &Address, address: &Address, may_relay: bool) -> Answer {
        // What the address will be decides: it must not be ours only as it is written.
        let completed = self.cleanup.completed(address);
        match self.standing(completed.as_ref().unwrap_or(address)) {
            Ok(Standing::Ours) => Answer::Accepted,
            Ok(Standing::Elsewhere) if may_relay => Answer::Accepted,
            Ok(Standing::Elsewhere) => Answer::Refused(Reply::new(454, 7, 1, format!("<{said}>: Relay access denied"))),
            Ok(Standing::Numeric) => {
                Answer::Refused(Reply::new(501, 1, 3, format!("<{said}>: Bad recipient address syntax")))
            }
            Ok(Standing::Unknown(_)) if self.ways.anybody => Answer::Accepted,
            Ok(Standing::Unknown(table)) => {
                let code = if self.rules.soft_bounce { 450 } else { 550 };
                let text = format!("<{said}>: Recipient address rejected: User unknown in {table} table");
                Answer::Refused(Reply::new(code, 1, 1, text))
            }
            Err(Trouble) => Answer::Refused(Reply::new(451, 3, 0, format!("<{said}>: Temporary lookup failure"))),
        }
    }

    fn standing(&self, address: &Address) -> Result<Standing, Trouble> {
        let (rules, delimiter) = (&self.rules, &self.rules.delimiter);
        let known = || self.cleanup.knows(address).map_err(told);
        let or = |exists: bool, table| Ok(if exists { Standing::Ours } else { Standing::Unknown(table) });
        match address.domain() {
            Some(domain) if !rules.is_ours(domain) => {
                if self.is_virtual(domain)? {
                    or(known()?, "virtual alias")
                } else if rules.has_mailboxes(domain) {
                    Ok(Standing::Ours)
                } else if routes::is_numeric(domain.as_str()) {
                    Ok(Standing::Numeric)
                } else if rules.is_relayed(domain) {
                    or(self.recipients.has_relayed(address, delimiter)? || known()?, "relay recipient")
                } else {
                    Ok(Standing::Elsewhere)
                }
            }
            _ => {
                let exists = rules.everybody_exists || self.recipients.has(address, delimiter)?;
                or(exists || known()?, "local recipient")
            }
        }
    }

    fn is_virtual(&self, domain: &Domain) -> Result<bool, Trouble> {
        self.cleanup.is_virtual(domain).map_err(told)
    }
}

fn told(trouble: tables::Trouble) -> Trouble {
    tracing::warn!("{trouble}");
    Trouble
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;

    fn configured(dir: &std::path::Path, settings: &str) -> std::sync::Arc<Configured> {
        std::fs::write(dir.join("accounts"), "kevin:*:1000:1000:Kevin:/home/kevin:/bin/sh\n").expect("write");
        std::fs::write(dir.join("aliases"), "list: kevin\n").expect("write");
        std::fs::write(dir.join("virtual"), "v.org anything\ninfo@v.org kevin\nsales@m.com kevin\n").expect("write");
        let text = format!(
            "mydestination: m.com\nmyorigin: m.com\nalias_maps: {0}/aliases\naccounts_file: {0}/accounts\n\
             virtual_alias_maps: hash:{0}/virtual\nrelay_domains: partner.example, all.example\n{settings}",
            dir.display()
        );
        Configured::of(&Config::parse(dir, &text).expect("configuration"))
    }

    fn said(configured: &Configured, address: &str) -> String {
        let address = Address::parse(address).expect(address);
        match configured.recipient(&address, &address, false) {
            Answer::Accepted => "ok".into(),
            Answer::Refused(reply) => reply.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_class_of_domain_asks_its_own_table() {
        let dir = tempfile::tempdir().expect("dir");
        let maps = "relay_recipient_maps: 'inline:{boss@partner.example=x, @all.example=x}'\n";
        let configured = configured(dir.path(), maps);
        for taken in ["kevin@m.com", "list@m.com", "kevin+x@m.com", "sales@m.com", "info@v.org", "info+x@v.org"] {
            assert_eq!(said(&configured, taken), "ok", "{taken}");
        }
        for taken in ["boss@partner.example", "any@all.example"] {
            assert_eq!(said(&configured, taken), "ok", "{taken}");
        }
        for (refused, table) in
            [("x@m.com", "local recipient"), ("x@v.org", "virtual alias"), ("x@partner.example", "relay recipient")]
        {
            let reply = format!("550 5.1.1 <{refused}>: Recipient address rejected: User unknown in {table} table");
            assert_eq!(said(&configured, refused), reply);
        }
        assert_eq!(said(&configured, "kevin@[127.0.0.1]"), "ok");
        assert_eq!(said(&configured, "kevin@127.0.0.1"), "501 5.1.3 <kevin@127.0.0.1>: Bad recipient address syntax");
        assert_eq!(said(&configured, "x@y.org"), "454 4.7.1 <x@y.org>: Relay access denied");
    }

    #[test]
    fn a_lost_table_is_no_refusal() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("relay"), "broken\n").expect("write");
        let maps = format!("relay_recipient_maps: hash:{}/relay\n", dir.path().display());
        let configured = configured(dir.path(), &maps);
        std::fs::remove_file(dir.path().join("virtual")).expect("remove");
        for address in ["x@v.org", "x@m.com", "x@partner.example", "x@y.org"] {
            assert_eq!(said(&configured, address), format!("451 4.3.0 <{address}>: Temporary lookup failure"));
        }
        assert_eq!(said(&configured, "kevin@m.com"), "ok", "users are found without tables");
    }

    #[test]
    fn who_exists_can_be_said_otherwise() {
        let dir = tempfile::tempdir().expect("dir");
        let everybody = configured(dir.path(), "local_recipient_maps:\n");
        assert_eq!(said(&everybody, "any@m.com"), "ok");
        let some = configured(
            dir.path(),
            "local_recipient_maps: 'proxy:unix:passwd.byname inline:{extra=x, other@m.com=x}'\n",
        );
        assert_eq!(["kevin", "extra", "other"].map(|user| said(&some, &format!("{user}@m.com"))), ["ok", "ok", "ok"]);
        assert!(said(&some, "list@m.com").starts_with("550"), "aliases are not listed");
    }
}
