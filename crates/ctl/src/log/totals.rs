//! What the log says in numbers, counted as pflogsumm counts: a message that is forwarded is not delivered yet; one that
//! is deferred twice is one deferred message and two deferrals; a message's size counts for each recipient who got it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::record::Record;

/// The sums of a period.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) received: u64,
    pub(super) delivered: u64,
    pub(super) forwarded: u64,
    pub(super) deferred: HashSet<String>,
    pub(super) deferrals: u64,
    pub(super) bounced: u64,
    pub(super) rejected: u64,
    pub(super) held: u64,
    pub(super) removed_by_hand: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_delivered: u64,
    pub(super) people: People,
    pub(super) reasons: Reasons,
    /// Received, delivered, deferred, bounced, rejected in each hour of the day.
    pub(super) hours: [[u64; 5]; 24],
    open: Open,
}

/// Who sent, got, logged in.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) senders: BTreeMap<String, Share>,
    pub(super) sending_domains: BTreeMap<String, Share>,
    pub(super) recipients: BTreeMap<String, Share>,
    pub(super) recipient_domains: BTreeMap<String, Share>,
    /// By user and service.
    pub(super) logins: BTreeMap<String, Share>,
    /// By address.
    pub(super) failed_logins: BTreeMap<String, Share>,
}

/// Why not.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    pub(super) deferrals: BTreeMap<String, Share>,
    pub(super) bounces: BTreeMap<String, Share>,
    pub(super) rejections: BTreeMap<String, Share>,
    pub(super) warnings: BTreeMap<String, Share>,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Share {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// What is known of messages whose end has not been seen.
#[derive(Debug, Default)]
struct Open {
    /// The client each came from, until the first line of qmgr.
    came_from: HashMap<String, String>,
    sizes: HashMap<String, u64>,
}

/// A column of [`Totals::hours`].
#[derive(Clone, Copy)]
enum Column {
    Received,
    Delivered,
    Deferred,
    Bounced,
    Rejected,
}

impl Totals {
    /// Counts one line, written in this hour of the day.
    pub(super) fn add(&mut self, record: &Record, hour: usize) {
        if let Some(text) = record.text.strip_prefix("warning: ") {
            self.reasons.warnings.entry(format!("{}: {text}", record.program)).or_default().count += 1;
        }
        if record.program.ends_with("-login") {
            self.login(record);
        }
        if record.program == "smtpd" && record.text.contains("reject: ") {
            self.rejection(record.text, hour);
            return;
        }
        let Some((id, text)) = record.message() else { return };
        match (record.program, text) {
            ("smtpd", text) if text.starts_with("client=") => self.arrival(id, client(text), hour),
            ("pickup", text) if text.starts_with("uid=") || text.starts_with("sender=") => self.arrival(id, "", hour),
            (_, "placed on hold") => self.held += 1,
            (_, "removed by hand") => self.removed_by_hand += 1,
            (_, text) if text.starts_with("from=<") && text.contains(", size=") => self.sender(id, text),
            (_, text) if text.starts_with("to=<") => self.outcome(record, (id, text), hour),
            _ => {}
        }
    }

    fn count_hour(&mut self, hour: usize, column: Column) {
        if let Some(row) = self.hours.get_mut(hour) {
            row[column as usize] += 1;
        }
    }

    fn arrival(&mut self, id: &str, client: &str, hour: usize) {
        self.received += 1;
        self.count_hour(hour, Column::Received);
        self.open.came_from.insert(id.to_owned(), domain_of_client(client));
    }

    /// qmgr says who sent it and how large it is, each time it takes it up; the first time counts.
    fn sender(&mut self, id: &str, text: &str) {
        let size = number(text, "size=");
        if self.open.sizes.insert(id.to_owned(), size).is_some() {
            return;
        }
        let Some(client) = self.open.came_from.remove(id) else { return };
        let sender = address(text, "from=<");
        let domain = match sender.rsplit_once('@') {
            Some((_, domain)) => domain.to_owned(),
            None if client.is_empty() => sender.clone(),
            None => client,
        };
        self.bytes_received += size;
        add(&mut self.people.senders, &sender, size);
        add(&mut self.people.sending_domains, &domain, size);
    }

    fn outcome(&mut self, record: &Record, (id, text): (&str, &str), hour: usize) {
        let Some((_, status)) = text.split_once("status=") else { return };
        let reason = status.split_once(" (").map_or("", |(_, reason)| reason.trim_end_matches(')'));
        let recipient = address(text, "to=<");
        match status.split(' ').next().unwrap_or_default() {
            "sent" if reason.starts_with("forwarded as ") => self.forwarded += 1,
            "sent" => {
                let size = self.open.sizes.get(id).copied().unwrap_or(0);
                self.delivered += 1;
                self.bytes_delivered += size;
                self.count_hour(hour, Column::Delivered);
                let domain = recipient.rsplit_once('@').map_or(recipient.as_str(), |(_, domain)| domain).to_owned();
                add(&mut self.people.recipients, &recipient, size);
                add(&mut self.people.recipient_domains, &domain, size);
            }
            "deferred" => {
                self.deferrals += 1;
                self.deferred.insert(id.to_owned());
                self.count_hour(hour, Column::Deferred);
                add(&mut self.reasons.deferrals, &format!("{}: {reason}", record.program), 0);
            }
            "bounced" | "expired" => {
                self.bounced += 1;
                self.count_hour(hour, Column::Bounced);
                add(&mut self.reasons.bounces, reason, 0);
            }
            _ => {}
        }
    }

    fn rejection(&mut self, text: &str, hour: usize) {
        self.rejected += 1;
        self.count_hour(hour, Column::Rejected);
        let (_, told) = text.split_once("]: ").unwrap_or(("", text));
        let told = told.split("; from=").next().unwrap_or(told);
        // Without the address, so that the same reason is one row.
        let reason = match (told.split_once(" <"), told.split_once(">: ")) {
            (Some((code, _)), Some((_, why))) => format!("{code} {why}"),
            _ => told.to_owned(),
        };
        add(&mut self.reasons.rejections, &reason, 0);
    }

    fn login(&mut self, record: &Record) {
        let service = record.program.trim_end_matches("-login");
        let field = |start: &str, end: char| record.text.split_once(start)?.1.split(end).next();
        match (record.text.starts_with("Login: "), field("user=<", '>'), field("rip=", ',')) {
            (true, Some(user), _) => add(&mut self.people.logins, &format!("{user} ({service})"), 0),
            (false, _, Some(rip)) if record.text.contains("auth failed") => add(&mut self.people.failed_logins, rip, 0),
            _ => {}
        }
    }
}

fn add(rows: &mut BTreeMap<String, Share>, name: &str, bytes: u64) {
    let row = rows.entry(name.to_owned()).or_default();
    row.count += 1;
    row.bytes += bytes;
}

/// `host[address]` of `client=host[address], sasl_method=...`.
fn client(text: &str) -> &str {
    let text = text.strip_prefix("client=").unwrap_or(text);
    text.split(',').next().unwrap_or(text)
}

/// The last two names of a host, or its address.
fn domain_of_client(client: &str) -> String {
    match client.split_once('[') {
        Some(("unknown" | "", address)) => address.trim_end_matches(']').to_owned(),
        Some((host, _)) => {
            let labels: Vec<&str> = host.rsplit('.').take(2).collect();
            labels.into_iter().rev().collect::<Vec<_>>().join(".")
        }
        None => client.to_owned(),
    }
}

/// The address between angle brackets; `from=<>` for none. The domain in small letters.
fn address(text: &str, start: &str) -> String {
    let inner = text.split_once(start).and_then(|(_, rest)| rest.split('>').next()).unwrap_or_default();
    match inner.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
        None if inner.is_empty() => "from=<>".to_owned(),
        None => inner.to_owned(),
    }
}

fn number(text: &str, start: &str) -> u64 {
    let digits = text.split_once(start).map_or("", |(_, rest)| rest);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let id = |number: u64| mail::QueueId::new(number, 7).name();
        let (one, two) = (id(1_000_000), id(2_000_000));
        let lines = [
            format!("smtpd[1]: {one}: client=pc.lan.fr[192.168.0.5]"),
            format!("qmgr[1]: {one}: from=<Kevin@VM.fr>, size=100, nrcpt=2 (queue active)"),
            format!("local[1]: {one}: to=<toto@vm.fr>, relay=local, delay=1, dsn=2.0.0, status=sent (delivered to mailbox)"),
            format!("local[1]: {one}: to=<titi@vm.fr>, relay=local, delay=1, dsn=2.0.0, status=sent (forwarded as {two})"),
            format!("smtp[1]: {one}: to=<luke@x.fr>, relay=none, delay=1, dsn=4.4.3, status=deferred (no DNS)"),
            format!("qmgr[1]: {one}: from=<Kevin@VM.fr>, size=100, nrcpt=2 (queue active)"),
            format!("smtp[1]: {one}: to=<luke@x.fr>, relay=none, delay=1, dsn=4.4.3, status=deferred (no DNS)"),
            format!("local[1]: {one}: to=<x@vm.fr>, relay=local, delay=1, dsn=5.1.1, status=bounced (unknown user: \"x\")"),
            "smtpd[1]: NOQUEUE: reject: RCPT from pc[192.168.0.5]: 454 4.7.1 <a@b>: Relay access denied; from=<x> to=<a@b>".to_owned(),
            "imap-login[1]: Login: user=<kevin>, method=PLAIN, rip=1.2.3.4, lip=1.2.3.4".to_owned(),
            "imap-login[1]: Disconnected: auth failed, 1 attempts: user=<kevin>, method=PLAIN, rip=1.2.3.4, lip=1".to_owned(),
            "smtpd[1]: warning: odd".to_owned(),
        ];
        let mut totals = Totals::default();
        for line in &lines {
            let line = format!("Nov 20 16:11:50 vm facteur/{line}");
            totals.add(&Record::parse(&line, "facteur").unwrap(), 16);
        }
        let Totals { received, delivered, forwarded, deferrals, bounced, rejected, .. } = totals;
        assert_eq!((received, delivered, forwarded, deferrals, bounced, rejected), (1, 1, 1, 2, 1, 1));
        assert_eq!((totals.deferred.len(), totals.bytes_received, totals.bytes_delivered), (1, 100, 100));
        assert_eq!(totals.hours[16], [1, 1, 2, 1, 1]);
        assert!(
            totals.people.senders.contains_key("Kevin@vm.fr") && totals.people.sending_domains.contains_key("vm.fr")
        );
        assert_eq!(totals.reasons.rejections.keys().collect::<Vec<_>>(), ["454 4.7.1 Relay access denied"]);
        assert_eq!(totals.people.logins.keys().collect::<Vec<_>>(), ["kevin (imap)"]);
        assert_eq!(totals.people.failed_logins.len() + totals.reasons.warnings.len(), 2);
    }
}
