//! Which hosts are tried, and in which order (RFC 5321 §5.1).
//!
//! By preference; equals in random order, so that many senders spread over them. When we are one of them, those that are no
//! better than we are left out, or mail would go in circles.

use std::net::IpAddr;

/// An address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The name of the host.
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// Less is better.
    pub(super) preference: u16,
    /// None is better: if it is us, mail loops.
    pub(super) best: bool,
}

/// How to choose.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// `smtp_address_preference`
    pub(super) first: Family,
    /// `smtp_mx_address_limit`; 0: no limit.
    pub(super) most: usize,
}

/// Which kind of address goes first among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// We are one of the hosts and there is no better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// We are the best of all.
    Best,
    /// There are better ones, but none has an address.
    NoPrimary,
}

/// What look-ups have found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    /// The preference of the best host, with or without an address.
    pub(super) best: u16,
}

/// The order for one delivery. `ours` are our own addresses, none where there can be no loop; `seed` is any number, another one
/// each time.
pub(super) fn arrange(found: Found, ours: &[IpAddr], choice: &Choice, seed: u64) -> Result<Vec<Candidate>, Loop> {
    let Found { candidates: mut found, best } = found;
    if let Some(limit) = found.iter().filter(|one| ours.contains(&one.address)).map(|one| one.preference).min() {
        found.retain(|one| one.preference < limit);
        if found.is_empty() {
            return Err(if limit == best { Loop::Best } else { Loop::NoPrimary });
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|one| seen.insert(one.address));
    shuffle(&mut found, seed);
    found.sort_by_key(|one| (one.preference, choice.first.is_second(one.address)));
    for one in &mut found {
        one.best = one.preference == best;
    }
    if choice.most != 0 {
        found = within(found, choice.most);
    }
    Ok(found)
}

/// So many of them; both families have their chance, whichever comes first.
fn within(found: Vec<Candidate>, most: usize) -> Vec<Candidate> {
    let Some((head, tail)) = found.split_at_checked(most) else { return found };
    let mut kept = head.to_vec();
    let all_of = |v4: bool| head.iter().all(|one| one.address.is_ipv4() == v4);
    let other = [true, false].into_iter().find(|v4| all_of(*v4)).and_then(|v4| {
        tail.iter().find(|one| one.address.is_ipv4() != v4 && head.iter().any(|h| h.preference == one.preference))
    });
    if let (Some(other), Some(last)) = (other, kept.last_mut()) {
        *last = other.clone();
    }
    kept
}

impl Family {
    fn is_second(self, address: IpAddr) -> bool {
        match self {
            Self::Any => false,
            Self::V4 => address.is_ipv6(),
            Self::V6 => address.is_ipv4(),
        }
    }
}

fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for end in (1..list.len()).rev() {
        // Xorshift: spread is all that is asked of it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let pick = usize::try_from(state >> 33).unwrap_or(0) % (end + 1);
        list.swap(end, pick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&str, u16)]) -> Vec<Candidate> {
        let candidate = |(address, preference): &(&str, u16)| Candidate {
            name: "mx".into(),
            address: address.parse().expect("an address"),
            preference: *preference,
            best: false,
        };
        list.iter().map(candidate).collect()
    }

    fn arranged(list: &[(&str, u16)], ours: &[&str], choice: (Family, usize), seed: u64) -> Result<Vec<String>, Loop> {
        let ours: Vec<IpAddr> = ours.iter().map(|text| text.parse().expect("an address")).collect();
        let best = list.iter().map(|(_, preference)| *preference).min().unwrap_or(0);
        let choice = Choice { first: choice.0, most: choice.1 };
        let found = arrange(Found { candidates: of(list), best }, &ours, &choice, seed)?;
        Ok(found.into_iter().map(|one| one.address.to_string()).collect())
    }

    #[test]
    fn the_best_come_first_and_equals_take_turns() {
        let list = [("192.0.2.3", 30), ("192.0.2.1", 10), ("192.0.2.2", 10), ("192.0.2.9", 40), ("192.0.2.1", 40)];
        let mut firsts = std::collections::HashSet::new();
        for seed in 0..50 {
            let found = arranged(&list, &[], (Family::Any, 0), seed * 7_919).expect("an order");
            assert_eq!(&found[2..], ["192.0.2.3", "192.0.2.9"]);
            firsts.insert(found[0].clone());
        }
        assert_eq!(firsts.len(), 2);
        assert_eq!(arranged(&list, &[], (Family::Any, 3), 1).map(|found| found.len()), Ok(3));
    }

    #[test]
    fn we_do_not_send_to_ourselves_or_worse() {
        let list = [("192.0.2.1", 10), ("192.0.2.2", 20), ("192.0.2.3", 20), ("192.0.2.4", 30)];
        assert_eq!(arranged(&list, &["192.0.2.3"], (Family::Any, 0), 1), Ok(vec!["192.0.2.1".into()]));
        assert_eq!(arranged(&list, &["192.0.2.1"], (Family::Any, 0), 1), Err(Loop::Best));
        let ours = ["192.0.2.2".parse().expect("an address")];
        let choice = Choice { first: Family::Any, most: 0 };
        assert_eq!(arrange(Found { candidates: of(&list[1..]), best: 10 }, &ours, &choice, 1), Err(Loop::NoPrimary));
    }

    #[test]
    fn families_are_preferred_and_none_is_crowded_out() {
        let list = [("192.0.2.1", 10), ("192.0.2.2", 10), ("2001:db8::1", 10)];
        for seed in 0..20 {
            let first = |family| arranged(&list, &[], (family, 0), seed * 31).expect("an order").remove(0);
            assert_eq!(first(Family::V6), "2001:db8::1");
            assert!(first(Family::V4).starts_with("192."));
            let few = arranged(&list, &[], (Family::V4, 2), seed * 31).expect("an order");
            assert_eq!(few[1], "2001:db8::1");
        }
    }
}
