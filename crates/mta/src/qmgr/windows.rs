//! Which recipient is served next: destinations take turns, and none has more than its window open.
//!
//! So mail for one slow user, or a flood for one, waits in its own line and delays nobody else's. When half of all places
//! are taken, the windows shrink: many slow users together do not take the rest.

use std::collections::{HashMap, VecDeque};

use mail::{Address, QueueId};

/// Recipients that wait, by destination.
#[derive(Debug)]
pub struct Windows {
    lines: HashMap<String, Line>,
    /// Destinations that have somebody waiting and room for him.
    turns: VecDeque<String>,
    open: usize,
    most: usize,
    most_each: usize,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<(QueueId, usize)>,
    open: usize,
    has_turn: bool,
}

impl Windows {
    /// At most `most` open at a time, at most `most_each` for one destination.
    #[must_use]
    pub fn new(most: usize, most_each: usize) -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), open: 0, most, most_each }
    }

    /// The line a recipient waits in.
    #[must_use]
    pub fn destination(address: &Address) -> String {
        let local = address.local().trim_start_matches('\\');
        let end = local.find(['+', '\\', '|', '/']).filter(|at| *at > 0).unwrap_or(local.len());
        local[..end].to_lowercase()
    }

    /// How many one destination may have open now.
    fn window(&self) -> usize {
        if self.open * 2 < self.most { self.most_each } else { self.most_each.div_ceil(10) }
    }

    /// Puts a recipient at the end of its line.
    pub fn push(&mut self, destination: &str, who: (QueueId, usize)) {
        let window = self.window();
        let line = self.lines.entry(destination.to_owned()).or_default();
        line.waiting.push_back(who);
        if !line.has_turn && line.open < window {
            line.has_turn = true;
            self.turns.push_back(destination.to_owned());
        }
    }

    /// The next to be served, with its destination; it is open until [`Windows::landed`].
    pub fn serve(&mut self) -> Option<(String, (QueueId, usize))> {
        while self.open < self.most {
            let destination = self.turns.pop_front()?;
            let window = self.window();
            let Some(line) = self.lines.get_mut(&destination) else { continue };
            line.has_turn = false;
            let Some(who) = line.waiting.pop_front() else { continue };
            line.open += 1;
            self.open += 1;
            if !line.waiting.is_empty() && line.open < window {
                line.has_turn = true;
                self.turns.push_back(destination.clone());
            }
            return Some((destination, who));
        }
        None
    }

    /// One that was open is no more.
    pub fn landed(&mut self, destination: &str) {
        let Some(line) = self.lines.get_mut(destination) else { return };
        line.open = line.open.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        if line.waiting.is_empty() && line.open == 0 {
            self.lines.remove(destination);
        } else if !line.waiting.is_empty() && !line.has_turn {
            line.has_turn = true;
            self.turns.push_back(destination.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> QueueId {
        QueueId::new(number, 0)
    }

    #[test]
    fn a_flood_for_one_delays_nobody_else() {
        let mut windows = Windows::new(100, 3);
        for number in 0..100 {
            windows.push("kevin", (id(number), 0));
        }
        windows.push("toto", (id(500), 0));
        let served: Vec<String> = std::iter::from_fn(|| windows.serve()).map(|(to, _)| to).collect();
        assert_eq!(served, ["kevin", "toto", "kevin", "kevin"]);
        windows.landed("kevin");
        assert_eq!(windows.serve(), Some(("kevin".into(), (id(3), 0))));
        assert_eq!(windows.serve(), None);
        windows.landed("toto");
        assert_eq!(windows.serve(), None);
    }

    #[test]
    fn the_whole_is_bounded() {
        let mut windows = Windows::new(2, 2);
        for name in ["a", "b", "c"] {
            windows.push(name, (id(1), 0));
        }
        assert_eq!(std::iter::from_fn(|| windows.serve()).count(), 2);
        windows.landed("a");
        assert_eq!(windows.serve().map(|(to, _)| to), Some("c".into()));
        windows.landed("b");
        windows.landed("c");
        assert!(windows.lines.is_empty());
    }

    #[test]
    fn many_slow_users_leave_room() {
        let mut windows = Windows::new(100, 20);
        for number in 0..1000 {
            windows.push(&format!("slow{}", number % 10), (id(number), 0));
        }
        let served = std::iter::from_fn(|| windows.serve()).count();
        assert!((50..80).contains(&served), "{served}");
        windows.push("toto", (id(5000), 0));
        assert_eq!(windows.serve().map(|(to, _)| to), Some("toto".into()));
        windows.landed("slow1");
        assert_eq!(windows.serve().map(|(to, _)| to), Some("slow1".into()));
    }

    #[test]
    fn an_extension_is_the_same_destination() {
        for text in ["Kevin@x", "kevin+a@x", "\\kevin@x"] {
            assert_eq!(Windows::destination(&Address::parse(text).expect(text)), "kevin");
        }
        let item = Address::new("kevin|/bin/cat", None).expect("printable");
        assert_eq!(Windows::destination(&item), "kevin");
    }
}
