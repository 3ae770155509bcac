//! Tables of networks (`cidr:`): the first network that holds the address answers.
//!
//! `network/bits result`, `address result`, `!network/bits result`, `if network/bits` … `endif`.

use std::net::IpAddr;
use std::path::Path;

use crate::rules::{Line, Rules};
use crate::{Found, Problem};

/// What a table of networks says.
#[derive(Debug)]
pub struct Networks(Rules<Test, String>);

#[derive(Debug)]
struct Test {
    network: Network,
    /// `!` in front: it applies outside the network.
    inside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Networks {
    /// Reads the text of a table. A rule that makes no sense is passed over.
    ///
    /// # Errors
    /// An `if` or `endif` that makes no sense.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        Rules::parse(file, text, parse_line).map(Self)
    }

    /// The rules that make no sense.
    #[must_use]
    pub fn passed_over(&self) -> &[Problem] {
        &self.0.passed_over
    }

    /// What the first rule that applies to the address says; a key that is no address has none.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Found> {
        let address: IpAddr = key.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let holds = |test: &Test| test.network.holds(address) == test.inside;
        self.0.find(holds, |test, value| holds(test).then(|| value.clone()))
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            _ => false,
        }
    }
}

fn parse_line(text: &str) -> Result<Line<Test, String>, String> {
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let condition = first.eq_ignore_ascii_case("if");
    let text = if condition { rest.trim_start() } else { text };
    let (inside, text) = match text.strip_prefix('!') {
        Some(text) => (false, text.trim_start()),
        None => (true, text),
    };
    let (network, result) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let test = Test { network: parse_network(network)?, inside };
    match (condition, result.trim()) {
        (true, "") => Ok(Line::If(test)),
        (true, _) => Err("nothing may stand behind the network of \"if\"".into()),
        (false, "") => Err("the result is missing behind the network".into()),
        (false, result) => Ok(Line::Answer(test, result.into())),
    }
}

fn parse_network(text: &str) -> Result<Network, String> {
    let wrong = || format!("\"{text}\" is neither an address nor a network such as 192.0.2.0/24");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
    };
    let network = Network { address, bits };
    let start = match address {
        IpAddr::V4(it) => IpAddr::from((it.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).to_be_bytes()),
        IpAddr::V6(it) => IpAddr::from((it.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).to_be_bytes()),
    };
    if start != address {
        return Err(format!("\"{text}\" is not the beginning of a network: write {start}/{bits}"));
    }
    Ok(network)
}
