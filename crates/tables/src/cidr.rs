//! Tables of networks (`cidr:`): the first network that holds the address answers.
//!
//! `network/bits result`, `address result`, `!network/bits result`, `if network/bits` … `endif`.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::text::logical_lines;
use crate::{Found, Problem};

/// What a table of networks says.
#[derive(Debug)]
pub struct Networks {
    file: Arc<Path>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    line: usize,
    network: Network,
    /// `!` in front: it applies outside the network.
    inside: bool,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Answer(String),
    /// Else go on with the rule of this number, behind `endif`.
    If(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Networks {
    /// Reads the text of a table.
    ///
    /// # Errors
    /// Every line that makes no sense.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut problems = Vec::new();
        for (line, text) in logical_lines(text) {
            let mut wrong = |text: String| problems.push(Problem { file: file.into(), line, text });
            match parse_line(line, &text) {
                Ok(Some(rule)) => {
                    if matches!(rule.then, Then::If(_)) {
                        open.push(rules.len());
                    }
                    rules.push(rule);
                }
                Ok(None) => match open.pop() {
                    Some(at) => rules[at].then = Then::If(rules.len()),
                    None => wrong("\"endif\" without \"if\"".into()),
                },
                Err(text) => wrong(text),
            }
        }
        let missing = |at: &usize| Problem {
            file: file.into(),
            line: rules[*at].line,
            text: "\"endif\" is missing for this \"if\"".into(),
        };
        if problems.is_empty() {
            problems.extend(open.iter().map(missing));
        }
        if problems.is_empty() { Ok(Self { file: file.into(), rules }) } else { Err(problems) }
    }

    /// What the first rule that applies to the address says; a key that is no address has none.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Found> {
        let address: IpAddr = key.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            at += 1;
            let applies = rule.network.holds(address) == rule.inside;
            match &rule.then {
                Then::If(end) if !applies => at = *end,
                Then::Answer(value) if applies => {
                    return Some(Found { value: value.clone(), file: self.file.clone(), line: rule.line });
                }
                Then::If(_) | Then::Answer(_) => {}
            }
        }
        None
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

/// `None`: `endif`.
fn parse_line(line: usize, text: &str) -> Result<Option<Rule>, String> {
    if text.eq_ignore_ascii_case("endif") {
        return Ok(None);
    }
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let condition = first.eq_ignore_ascii_case("if");
    let text = if condition { rest.trim_start() } else { text };
    let (inside, text) = match text.strip_prefix('!') {
        Some(text) => (false, text.trim_start()),
        None => (true, text),
    };
    let (network, result) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let network = parse_network(network)?;
    let then = match (condition, result.trim()) {
        (true, "") => Then::If(0),
        (true, _) => return Err("nothing may stand behind the network of \"if\"".into()),
        (false, "") => return Err("the result is missing behind the network".into()),
        (false, result) => Then::Answer(result.into()),
    };
    Ok(Some(Rule { line, network, inside, then }))
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
