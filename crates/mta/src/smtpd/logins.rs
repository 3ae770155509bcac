//! People who log in to send: which sender addresses are theirs, and how much they send in an hour.
//!
//! A sender belongs to whom `smtpd_sender_login_maps` names; where it says nothing, to the user whose own address at one
//! of our domains it is, or to whom it leads as an alias. What goes beyond the limits is taken and put on hold: a stolen
//! password sends no flood, and a newsletter is not lost. The counts are of this process: a new start begins anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::Config;
use mail::{Address, Domain};
use smtp::Reply;
use tables::address::{Key, split_extension};
use tables::{Tables, Trouble};

use super::server::Configured;

/// The settings.
pub(super) struct Logins {
    owners: Tables,
    /// On submission ports the sender must be the login's.
    pub(super) checked: bool,
    limits: Limits,
}

/// How much one login may send in [`WINDOW`]; 0: any amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    messages: u64,
    recipients: u64,
}

/// What each login has sent.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<HashMap<String, Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    messages: u64,
    recipients: u64,
    told: bool,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Goes,
    /// Why it is put on hold; whether that is still to be told to somebody.
    Held {
        why: String,
        tell: bool,
    },
}

impl Logins {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            owners: config.tables("smtpd_sender_login_maps"),
            checked: config.flag("submission_reject_sender_login_mismatch"),
            limits: Limits {
                messages: config.number("submission_message_limit"),
                recipients: config.number("submission_recipient_limit"),
            },
        }
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.owners
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }
}

impl Limits {
    /// There is nothing to count.
    pub(super) const fn are_off(self) -> bool {
        self.messages == 0 && self.recipients == 0
    }
}

impl Configured {
    /// The user whom a login means: without the domain, if that is ours.
    pub(super) fn user_of(&self, login: &str) -> String {
        match Address::parse(login) {
            Ok(address) if address.domain().is_some_and(|domain| self.rules.is_ours(domain)) => {
                address.local().to_owned()
            }
            _ => login.to_owned(),
        }
    }

    /// Why this login may not send as this sender; `None`: it may. Notices have no sender and may always go.
    pub(super) fn sender_refusal(&self, login: &str, sender: Option<&Address>) -> Option<Reply> {
        let sender = sender?;
        match self.owns(login, sender) {
            Ok(true) => None,
            Ok(false) => {
                let text = format!("<{sender}>: Sender address rejected: not owned by user {login}");
                Some(Reply::new(553, 7, 1, text))
            }
            Err(trouble) => {
                tracing::warn!("{trouble}");
                Some(Reply::new(451, 3, 0, format!("<{sender}>: Temporary lookup failure")))
            }
        }
    }

    fn owns(&self, login: &str, sender: &Address) -> Result<bool, Trouble> {
        let user = self.user_of(login);
        let domain = sender.domain();
        let is_ours = domain.is_none_or(|domain| *domain == self.rules.origin || self.rules.is_ours(domain));
        let delimiters = &self.rules.delimiter;
        let key = Key { local: sender.local(), domain: domain.map_or("", Domain::as_str), is_ours, delimiters };
        if let Some(hit) = key.find(&self.logins.owners.view()?) {
            let mut owners = hit.found.value.split([',', ' ', '\t']);
            return Ok(owners
                .any(|owner| owner.eq_ignore_ascii_case(login) || self.user_of(owner).eq_ignore_ascii_case(&user)));
        }
        if is_ours && self.leads_to(sender.local(), &user) {
            return Ok(true);
        }
        let ends = self.cleanup.expand(sender)?;
        let at_home = |end: &Address| end.domain().is_none_or(|domain| self.rules.is_ours(domain));
        Ok(ends.iter().any(|end| end != sender && at_home(end) && self.leads_to(end.local(), &user)))
    }

    /// Whether mail for this local part reaches the user: its own name, or an alias.
    fn leads_to(&self, local: &str, user: &str) -> bool {
        let plain = split_extension(local, &self.rules.delimiter).0;
        plain.eq_ignore_ascii_case(user) || self.recipients.alias_leads_to(plain, user)
    }
}

impl Sent {
    /// Counts a message to so many recipients.
    pub(super) fn count(&self, user: &str, recipients: usize, limits: Limits) -> Verdict {
        self.count_at(Instant::now(), (user, recipients), limits)
    }

    fn count_at(&self, now: Instant, (user, recipients): (&str, usize), limits: Limits) -> Verdict {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, window| now.duration_since(window.since) < WINDOW);
        }
        let fresh = Window { since: now, messages: 0, recipients: 0, told: false };
        let window = all.entry(user.to_lowercase()).or_insert(fresh);
        if now.duration_since(window.since) >= WINDOW {
            *window = fresh;
        }
        window.messages += 1;
        window.recipients += recipients as u64;
        let over = |count: u64, limit: u64, what: &str| {
            (limit > 0 && count > limit).then(|| format!("more than {limit} {what} in an hour from user {user}"))
        };
        let why = over(window.messages, limits.messages, "messages")
            .or_else(|| over(window.recipients, limits.recipients, "recipients"));
        match why {
            None => Verdict::Goes,
            Some(why) => Verdict::Held { why, tell: !std::mem::replace(&mut window.told, true) },
        }
    }
}

/// How long is counted together.
const WINDOW: Duration = Duration::from_secs(3600);
/// Logins remembered before those of past hours are forgotten.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_held_and_told_once() {
        let (sent, start) = (Sent::default(), Instant::now());
        let limits = Limits { messages: 2, recipients: 10 };
        let count = |user: &str, recipients| sent.count_at(start, (user, recipients), limits);
        let held =
            |what: &str, tell| Verdict::Held { why: format!("more than {what} in an hour from user kevin"), tell };
        assert_eq!((count("kevin", 1), count("Kevin", 9)), (Verdict::Goes, Verdict::Goes));
        assert_eq!(count("kevin", 1), held("2 messages", true));
        assert_eq!(count("kevin", 1), held("2 messages", false));
        assert_eq!(
            count("foo", 11),
            Verdict::Held { why: "more than 10 recipients in an hour from user foo".into(), tell: true }
        );
        let later = start + WINDOW;
        assert_eq!(sent.count_at(later, ("kevin", 10), limits), Verdict::Goes);
        assert!(Limits { messages: 0, recipients: 0 }.are_off());
    }

    #[test]
    fn a_sender_is_owned_by_name_by_alias_or_by_table() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("aliases"), "info: staff\nstaff: kevin, foo\nround: round2\nround2: round\n")
            .expect("write");
        let text = format!(
            "mydestination: m.com, vm.m.com\nmyorigin: m.com\nalias_maps: {}/aliases\n\
             virtual_alias_maps: 'inline:{{sales@v.org=kevin, v.org=x}}'\n\
             smtpd_sender_login_maps: 'inline:{{{{boss@m.com=kevin@m.com foo}}, @partner.example=foo, bar@m.com=nobody}}'\n",
            dir.path().display()
        );
        let configured = Configured::of(&Config::parse(dir.path(), &text).expect("configuration"));
        let may = |login: &str, sender: &str| {
            let sender = Address::parse(sender).expect(sender);
            configured.sender_refusal(login, Some(&sender)).is_none()
        };
        for sender in ["kevin@m.com", "Kevin+x@vm.m.com", "info@m.com", "sales@v.org", "boss@m.com"] {
            assert!(may("kevin", sender) && may("kevin@m.com", sender), "{sender}");
        }
        for sender in ["foo@m.com", "kevin@x.org", "other@v.org", "any@partner.example", "round@m.com"] {
            assert!(!may("kevin", sender), "{sender}");
        }
        assert!(
            may("foo", "any@partner.example") && !may("bar", "bar@m.com"),
            "the table decides where it says something"
        );
        assert_eq!(configured.sender_refusal("kevin", None), None);
        let refusal = configured.sender_refusal("kevin", Address::parse("foo@m.com").ok().as_ref()).expect("refused");
        assert_eq!(refusal.to_string(), "553 5.7.1 <foo@m.com>: Sender address rejected: not owned by user kevin");
    }
}
