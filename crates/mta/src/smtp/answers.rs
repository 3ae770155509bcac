//! What is made of records in answers of the DNS, which anybody may have written. The library has read them by then; here
//! they become names and addresses. No look-up happens here, so that a fuzz target can use this file as it is.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RData};

/// One MX record; an empty name is that of a domain without mail (RFC 7505).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchanger {
    pub(super) name: String,
    pub(super) preference: u16,
}

/// The MX records among these; what else a server sends is passed over.
pub(super) fn exchangers(records: Vec<RData>) -> Vec<Exchanger> {
    let exchanger = |data: RData| match data {
        RData::MX(mx) => Some(Exchanger { preference: mx.preference, name: written(&mx.exchange) }),
        _ => None,
    };
    records.into_iter().filter_map(exchanger).collect()
}

/// The address in a record.
pub(super) fn address(data: RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// In small letters, without the dot at its end; what is no letter, digit or such stands escaped.
fn written(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
