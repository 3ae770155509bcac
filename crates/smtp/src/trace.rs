//! The Received field (RFC 5321 §4.4, RFC 3848 for the protocol names), in the shape Postfix writes.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use mail::{Address, QueueId};

/// A message came in over SMTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The HELO name, or the client's name when it said none.
    pub helo: String,
    /// `localhost [127.0.0.1]`
    pub client: String,
    /// Our host name.
    pub by: String,
    /// `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPSA`, `UTF8SMTP`…
    pub protocol: &'static str,
    /// Its queue id.
    pub id: QueueId,
    /// The recipient, when there is only one.
    pub recipient: Option<Address>,
}

impl Received {
    /// The whole field with LF line ends. It is in ASCII: a recipient who is not is left out, since his name in a header would
    /// keep the message from hosts without SMTPUTF8. `date` is as in RFC 5322 §3.3, with Postfix's zone comment.
    #[must_use]
    pub fn field(&self, date: &str) -> String {
        let shown = self.recipient.as_ref().map(|address| format!("{address}")).filter(|address| address.is_ascii());
        let end = shown.map_or_else(|| String::from(";\n\t"), |address| format!("\n\tfor <{address}>; "));
        format!(
            "Received: from {} ({})\n\tby {} (Facteur) with {} id {}{end}{date}\n",
            plain(&self.helo),
            plain(&self.client),
            self.by,
            self.protocol,
            self.id,
        )
    }
}

/// The field for a message that the user with this uid handed to `sendmail`.
#[must_use]
pub fn local(by: &str, uid: u32, id: QueueId, date: &str) -> String {
    format!("Received: by {by} (Facteur, from userid {uid})\n\tid {id}; {date}\n")
}

/// A peer's text for use in a field: no controls, no comment signs, so that it cannot pose as another part.
fn plain(text: &str) -> Cow<'_, str> {
    // The one pair of brackets that is ours, around the client's address, holds neither.
    if text.chars().any(is_special) {
        text.chars().map(|c| if is_special(c) { '?' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '(' | ')' | '\\' | '"' | ';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_the_dialogues() {
        let id = QueueId::new(1, 2);
        let received = Received {
            helo: "pc".into(),
            client: "localhost [127.0.0.1]".into(),
            by: "vm".into(),
            protocol: "ESMTP",
            id,
            recipient: None,
        };
        assert_eq!(
            received.field("Fri, 20 Nov 2026 16:11:50 +0000 (UTC)"),
            "Received: from pc (localhost [127.0.0.1])\n\tby vm (Facteur) with ESMTP id 000000000000102;\n\tFri, 20 Nov 2026 16:11:50 +0000 (UTC)\n"
        );
        let one = Received {
            helo: "a)\r\nX: (b".into(),
            recipient: Address::parse("kevin@m3102.com").ok(),
            ..received.clone()
        };
        assert_eq!(
            one.field("D"),
            "Received: from a???X: ?b (localhost [127.0.0.1])\n\tby vm (Facteur) with ESMTP id 000000000000102\n\tfor <kevin@m3102.com>; D\n"
        );
        let beyond = Received { recipient: Address::parse("kevin@élan.fr").ok(), ..received.clone() };
        assert_eq!(beyond.field("D"), received.field("D"));
        assert_eq!(local("vm", 0, id, "D"), "Received: by vm (Facteur, from userid 0)\n\tid 000000000000102; D\n");
    }
}
