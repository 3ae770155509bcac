//! What the content and the envelope of a message allow, found out before it is offered to a host: whether there are 8-bit
//! octets in it though its sender did not say so, whether a signature forbids to convert it, and its envelope in ASCII.

use std::fs::File;
use std::sync::Arc;

use handover::relay::RelayOrder;
use hickory_resolver::proto::rr::Name;
use mail::{Address, Body, Domain, Envelope, header};
use smtp::downgrade::{Downgrade, Sealed, Takes};

use super::content::Content;

/// What was found in the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nature {
    /// Of BODY=BINARYMIME.
    pub(super) sealed: Sealed,
    /// Without BODY, and yet not 7-bit.
    pub(super) eight_bit: bool,
}

impl Nature {
    /// Looks at as much of the content as is needed. What cannot be read now is nothing special.
    pub(super) async fn of(order: &RelayOrder, file: &Arc<File>) -> Self {
        let content = Content::new(file.clone(), order.offset, order.length, None);
        match order.terms.body {
            Body::SevenBit => Self { eight_bit: has_eight_bits(content).await, ..Self::default() },
            Body::EightBitMime => Self::default(),
            Body::BinaryMime => Self { sealed: sealed(content).await, ..Self::default() },
        }
    }

    /// The BODY that the message goes with.
    pub(super) const fn body(self, said: Body) -> Body {
        if self.eight_bit { Body::EightBitMime } else { said }
    }
}

/// In its beginning, or by what its header says of the rest.
async fn has_eight_bits(mut content: Content) -> bool {
    let Ok(front) = content.next().await else { return false };
    if !front.is_ascii() {
        return true;
    }
    let says = |field: header::Field<'_>| {
        let value = field.value.trim_ascii();
        value.eq_ignore_ascii_case(b"8bit") || value.eq_ignore_ascii_case(b"binary")
    };
    header::find_all(&front, "Content-Transfer-Encoding").any(says)
}

async fn sealed(mut content: Content) -> Sealed {
    let (mut downgrade, mut out) = (Downgrade::of_binary(Takes::SevenBit), Vec::new());
    while let Ok(octets) = content.next().await {
        if octets.is_empty() {
            break;
        }
        downgrade.feed(&octets, &mut out);
        out.clear();
    }
    downgrade.sealed()
}

/// The same envelope with domains as the DNS has them; `None` when it is in ASCII already, or some local part is not.
pub(super) fn in_ascii(envelope: &Envelope) -> Option<Envelope> {
    let addresses = || envelope.recipients.iter().map(|it| &it.address).chain(&envelope.reverse_path);
    let beyond = |address: &Address| address.domain().is_some_and(|domain| !domain.as_str().is_ascii());
    if !addresses().any(beyond) {
        return None;
    }
    let mut ascii = Envelope { smtputf8: false, ..envelope.clone() };
    for recipient in &mut ascii.recipients {
        recipient.address = address(&recipient.address)?;
        recipient.original = recipient.original.as_ref().and_then(address);
    }
    ascii.reverse_path = match &envelope.reverse_path {
        Some(sender) => Some(address(sender)?),
        None => None,
    };
    Some(ascii)
}

fn address(given: &Address) -> Option<Address> {
    if !given.local().is_ascii() {
        return None;
    }
    match given.domain().filter(|domain| !domain.as_str().is_ascii()) {
        None => Some(given.clone()),
        Some(domain) => Address::new(given.local(), Some(Domain::parse(&in_dns(domain.as_str())?).ok()?)).ok(),
    }
}

/// A domain as the DNS has it (RFC 5891 §4).
pub(super) fn in_dns(domain: &str) -> Option<String> {
    Some(Name::from_utf8(domain).ok()?.to_ascii().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use mail::Recipient;

    use super::*;

    fn envelope(from: &str, to: &str) -> Envelope {
        let address = |text| Address::parse(text).expect("an address");
        let recipients = vec![Recipient::new(address(to))];
        Envelope { reverse_path: Some(address(from)), recipients, smtputf8: true, ..Envelope::default() }
    }

    #[test]
    fn domains_have_a_form_in_ascii_and_local_parts_have_none() {
        let becomes = |from, to| {
            in_ascii(&envelope(from, to)).map(|it| {
                assert!(!it.smtputf8);
                format!("{} {}", it.reverse_path.expect("a sender"), it.recipients[0].address)
            })
        };
        assert_eq!(becomes("a@élan.fr", "b@x.org"), Some("a@xn--lan-9la.fr b@x.org".into()));
        assert_eq!(becomes("a@x.org", "B.c@mail.Élan.fr"), Some("a@x.org B.c@mail.xn--lan-9la.fr".into()));
        assert_eq!(becomes("é@x.org", "b@élan.fr"), None);
        assert_eq!(becomes("a@x.org", "b@x.org"), None);
    }

    async fn nature(body: Body, text: &str) -> Nature {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let mut order = RelayOrder { length: text.len() as u64, ..super::super::ledger::an_order() };
        order.terms.body = body;
        Nature::of(&order, &Arc::new(file)).await
    }

    #[tokio::test]
    async fn what_is_in_it_counts_where_the_sender_did_not_say() {
        let text = "Subject: x\n\ndéjà\n";
        assert!(nature(Body::SevenBit, text).await.eight_bit && !nature(Body::SevenBit, "a\n\nb\n").await.eight_bit);
        let late = format!("Content-Transfer-Encoding: 8bit\n\n{}é\n", "x\n".repeat(100_000));
        assert!(nature(Body::SevenBit, &late).await.eight_bit);
        let signed =
            "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: binary\r\n\r\n";
        assert_eq!(nature(Body::BinaryMime, signed).await.sealed, Sealed::Binary);
        assert_eq!(nature(Body::BinaryMime, text).await, Nature::default());
    }
}
