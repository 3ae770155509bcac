//! The message and its envelope, completed as sSMTP does: sender rewritten, `From:` and `Date:` added, `Bcc:` taken out.

use anyhow::{Result, bail};
use jiff::Zoned;
use mail::header::{self, AddressItem};
use mail::{Address, Body, Envelope, Recipient};

use super::site::Site;

/// What is to be sent, and on whose behalf.
pub(super) struct Letter<'a> {
    pub(super) site: &'a Site,
    pub(super) caller: &'a str,
    pub(super) full_name: &'a str,
    /// `-f`
    pub(super) sender: Option<&'a str>,
    pub(super) recipients: &'a [String],
    /// `-t`
    pub(super) from_header: bool,
}

/// What goes to the mailhub; LF line ends.
#[derive(Debug, PartialEq)]
pub(super) struct Complete {
    pub(super) envelope: Envelope,
    pub(super) octets: Vec<u8>,
}

impl Letter<'_> {
    pub(super) fn complete(&self, text: &[u8]) -> Result<Complete> {
        let text: Vec<u8> = String::from_utf8_lossy(text).replace("\r\n", "\n").into_bytes();
        let (header, body) = divide(&text);
        let written = header::find(header, "From").and_then(|field| only(field.value));
        let sender = match (self.site.from_line, &written, self.sender) {
            (true, Some(from), None) => self.qualified(from)?,
            (true, _, Some(sender)) => self.qualified(sender)?,
            _ => self.own()?,
        };
        let recipients = self.recipients(header)?;
        let mut octets = self.head(header, &sender, written.is_some());
        octets.push(b'\n');
        octets.extend_from_slice(body);
        let plain = octets.is_ascii();
        let body = if plain { Body::SevenBit } else { Body::EightBitMime };
        let envelope = Envelope { reverse_path: Some(sender), recipients, body, ..Envelope::default() };
        Ok(Complete { envelope, octets })
    }

    /// The fields as they stand but for `Bcc:`, and for a `From:` that may not be chosen.
    fn head(&self, header: &[u8], sender: &Address, has_from: bool) -> Vec<u8> {
        let mut head = Vec::new();
        let now = Zoned::now();
        head.extend(format!("Received: by {} (sSMTP emulation); {}\n", self.site.hostname, date(&now)).into_bytes());
        if !has_from || !self.site.from_line {
            let name = if self.full_name.is_empty() {
                String::new()
            } else {
                format!("\"{}\" ", self.full_name.replace(['"', '\\'], ""))
            };
            let address = if name.is_empty() { sender.to_string() } else { format!("<{sender}>") };
            head.extend(format!("From: {name}{address}\n").into_bytes());
        }
        if header::find(header, "Date").is_none() {
            head.extend(format!("Date: {}\n", date(&now)).into_bytes());
        }
        let unwanted = |field: &header::Field| field.is("Bcc") || (field.is("From") && !self.site.from_line);
        for field in header::fields(header).filter(|field| !unwanted(field)) {
            head.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                head.push(b'\n');
            }
        }
        head
    }

    fn recipients(&self, header: &[u8]) -> Result<Vec<Recipient>> {
        let mut words: Vec<String> = self.recipients.to_vec();
        if self.from_header {
            for field in header::fields(header).filter(|field| ["To", "Cc", "Bcc"].iter().any(|name| field.is(name))) {
                words.extend(mailboxes(field.value));
            }
        }
        if words.is_empty() {
            bail!("No recipients specified");
        }
        let named = words.iter().map(|word| self.recipient(word).map(Recipient::new));
        named.collect()
    }

    /// Mail for the system's own users goes to `root=`.
    fn recipient(&self, word: &str) -> Result<Address> {
        let user = nix::unistd::User::from_name(word).ok().flatten();
        match user.is_some_and(|user| user.uid.as_raw() < 1000) && !self.site.root.is_empty() {
            true => self.qualified(&self.site.root),
            false => self.qualified(word),
        }
    }

    /// The sender as the site wants it.
    fn own(&self) -> Result<Address> {
        self.qualified(self.site.alias.as_deref().unwrap_or(self.caller))
    }

    fn qualified(&self, text: &str) -> Result<Address> {
        let text = if text.contains('@') { text.to_owned() } else { format!("{text}@{}", self.site.mail_domain()) };
        match Address::parse(text.trim_matches(['<', '>'])) {
            Ok(address) => Ok(address),
            Err(_) => bail!("{text} is no mail address"),
        }
    }
}

/// Header and body; a text without a header is all body.
fn divide(text: &[u8]) -> (&[u8], &[u8]) {
    let first = text.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let is_field =
        first.iter().position(|octet| *octet == b':').is_some_and(|at| at > 0 && !first[..at].contains(&b' '));
    if !is_field {
        return (&[], text.strip_prefix(b"\n").unwrap_or(text));
    }
    let end = text.windows(2).position(|two| two == b"\n\n").map_or(text.len(), |at| at + 1);
    let (header, body) = text.split_at(end);
    (header, body.get(1..).unwrap_or_default())
}

fn mailboxes(value: &[u8]) -> Vec<String> {
    let address = |item: AddressItem| match item {
        AddressItem::Mailbox { local, domain, .. } => {
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            Some(domain.map_or_else(|| text(&local), |domain| format!("{}@{}", text(&local), text(&domain))))
        }
        AddressItem::GroupStart(_) | AddressItem::GroupEnd => None,
    };
    header::addresses(value).into_iter().filter_map(address).collect()
}

fn only(value: &[u8]) -> Option<String> {
    mailboxes(value).into_iter().next()
}

fn date(now: &Zoned) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(site: &Site, recipients: &[&str], text: &str) -> (String, Vec<String>, String) {
        let recipients: Vec<String> = recipients.iter().map(|word| (*word).to_owned()).collect();
        let letter = Letter {
            site,
            caller: "kevin",
            full_name: "Kevin K",
            sender: None,
            recipients: &recipients,
            from_header: true,
        };
        let done = letter.complete(text.as_bytes()).unwrap();
        let to = done.envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect();
        (done.envelope.reverse_path.unwrap().to_string(), to, String::from_utf8(done.octets).unwrap())
    }

    #[test]
    fn the_sender_is_the_sites_unless_the_from_line_counts() {
        let text = "To: luke@x.fr\nBcc: leia@x.fr\nFrom: me@home.fr\nSubject: s\n\nbody\n";
        let mut site =
            Site { domain: "example.org".into(), hostname: "vm".into(), root: "boss@x.fr".into(), ..Site::default() };
        let (from, to, sent) = complete(&site, &["root"], text);
        assert_eq!(
            (from.as_str(), to),
            ("kevin@example.org", vec!["boss@x.fr".to_owned(), "luke@x.fr".into(), "leia@x.fr".into()])
        );
        assert!(
            sent.contains("From: \"Kevin K\" <kevin@example.org>\n")
                && !sent.contains("home.fr")
                && !sent.contains("Bcc")
        );
        assert!(sent.ends_with("Subject: s\n\nbody\n") && sent.contains("\nDate: "));
        site.from_line = true;
        let (from, _, sent) = complete(&site, &[], text);
        assert_eq!(from, "me@home.fr");
        assert_eq!(sent.matches("From: ").count(), 1);
        site.alias = Some("out@gate.fr".into());
        let (from, _, sent) = complete(&site, &["luke@x.fr"], "no header here\n");
        assert_eq!(from, "out@gate.fr");
        assert!(sent.ends_with("\n\nno header here\n"), "{sent}");
    }
}
