//! Answers of the DNS by a hostile server: which hosts are tried for mail, and in which order. The library reads the
//! message; what it lets through are names and addresses of anybody's choice.
#![no_main]

use std::net::IpAddr;

use fuzz::Chance;
use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/mta/src/smtp/answers.rs"]
mod answers;
#[path = "../../crates/mta/src/smtp/hosts.rs"]
mod hosts;

use hosts::{Candidate, Choice, Family, Found, arrange};

fuzz_target!(|octets: &[u8]| {
    let (mut chance, wire) = Chance::split(octets);
    let Ok(message) = Message::from_vec(wire) else { return };
    let records: Vec<_> = message.answers.iter().map(|record| record.data.clone()).collect();
    let addresses: Vec<IpAddr> = records.iter().cloned().filter_map(answers::address).collect();
    let exchangers = answers::exchangers(records);
    for one in &exchangers {
        assert!(one.name.is_ascii() && !one.name.bytes().any(|octet| octet.is_ascii_control()), "{one:?}");
        assert!(!one.name.bytes().any(|octet| octet.is_ascii_uppercase()), "{one:?}");
    }
    let Some(best) = exchangers.iter().map(|one| one.preference).min() else { return };
    let candidates: Vec<Candidate> = exchangers
        .iter()
        .flat_map(|one| {
            let of = |address: &IpAddr| Candidate {
                name: one.name.clone(),
                address: *address,
                preference: one.preference,
                best: false,
            };
            addresses.iter().map(of).collect::<Vec<_>>()
        })
        .collect();
    let ours: Vec<IpAddr> = addresses.iter().copied().filter(|_| chance.below(8) == 1).collect();
    let first = [Family::Any, Family::V4, Family::V6][chance.below(3) as usize];
    let choice = Choice { first, most: chance.below(4) as usize };
    if let Ok(hosts) = arrange(Found { candidates, best }, &ours, &choice, u64::from(chance.below(1000))) {
        assert!(choice.most == 0 || hosts.len() <= choice.most);
        assert!(hosts.is_sorted_by_key(|host| host.preference));
        assert!(hosts.iter().all(|host| !ours.contains(&host.address) && host.best == (host.preference == best)));
    }
});
