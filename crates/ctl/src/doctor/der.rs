//! As much of X.509 as tells until when a certificate holds and for which names (RFC 5280 §4.1).
//!
//! Walks the tree of tags and lengths; what does not fit is no certificate (`None`). Signatures are nobody's business here.

/// What a certificate says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Certificate {
    /// `notBefore` and `notAfter`, as `YYYYMMDDHHMMSSZ`.
    pub(super) from: String,
    pub(super) until: String,
    /// The DNS names of `subjectAltName`; without that, the common name.
    pub(super) names: Vec<String>,
}

/// The first certificate of a PEM file.
pub(super) fn first_in_pem(text: &str) -> Option<Certificate> {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let packed: String = body.split_whitespace().collect();
    parse(&sasl::base64::decode(packed.as_bytes())?)
}

fn parse(octets: &[u8]) -> Option<Certificate> {
    let (_, certificate, _) = element(octets)?;
    let (_, body, _) = element(certificate)?;
    let parts = children(body)?;
    // The version is there unless it is 1; then serial number, algorithm, issuer, validity, subject, key, extensions.
    let first = usize::from(parts.first()?.0 == VERSION);
    let validity = children(parts.get(first + 3)?.1)?;
    let time = |index: usize| {
        let (tag, text) = *validity.get(index)?;
        let text = std::str::from_utf8(text).ok()?;
        Some(if tag == UTC_TIME { century(text) } else { text.to_owned() })
    };
    let mut names = Vec::new();
    if let Some((_, extensions)) = parts.iter().find(|(tag, _)| *tag == EXTENSIONS) {
        for (_, extension) in children(element(extensions)?.1)? {
            names.extend(alternative_names(extension).unwrap_or_default());
        }
    }
    if names.is_empty() {
        names.extend(common_name(parts.get(first + 4)?.1));
    }
    Some(Certificate { from: time(0)?, until: time(1)?, names })
}

/// A year with two digits: from 1950 on (RFC 5280 §4.1.2.5.1).
fn century(text: &str) -> String {
    let century = if text.as_bytes().first().is_some_and(|digit| *digit >= b'5') { "19" } else { "20" };
    format!("{century}{text}")
}

fn alternative_names(extension: &[u8]) -> Option<Vec<String>> {
    let fields = children(extension)?;
    if fields.first()?.1 != ALTERNATIVE_NAME {
        return None;
    }
    let (_, list, _) = element(fields.last()?.1)?;
    let names = children(list)?.into_iter().filter(|(tag, _)| *tag == DNS_NAME);
    Some(names.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).collect())
}

fn common_name(subject: &[u8]) -> Option<String> {
    let sets = children(subject)?;
    let pairs = sets.iter().filter_map(|(_, set)| children(element(set)?.1));
    let mut names = pairs.filter(|pair| pair.first().is_some_and(|(_, kind)| *kind == COMMON_NAME));
    let name = names.next()?.get(1)?.1;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn children(mut octets: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while !octets.is_empty() {
        let (tag, content, rest) = element(octets)?;
        found.push((tag, content));
        octets = rest;
    }
    Some(found)
}

/// Tag, content, and what follows.
fn element(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = octets.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const UTC_TIME: u8 = 0x17;
const DNS_NAME: u8 = 0x82;
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_certificate() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
        assert_eq!(parse(&[0x30, 0x80, 0, 0]), None);
        for length in 0..40 {
            assert_eq!(parse(&vec![0x30; length]), None);
        }
        assert_eq!(first_in_pem("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"), None);
        assert_eq!(century("260102030405Z"), "20260102030405Z");
        assert_eq!(century("990102030405Z"), "19990102030405Z");
    }
}
