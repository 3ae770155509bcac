//! What a session has done so far, for the `disconnect` line: `ehlo=1 mail=1/3 … commands=8/15`.

use alloc::string::String;
use core::fmt::Write as _;

use crate::command::{RULES, Verb};
use wire::Oddities;

/// Commands tried and done, errors, and what was odd.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Per verb, and last the unknown ones.
    counts: [Count; RULES.len() + 1],
    /// Since the last message taken.
    pub(super) errors: u32,
    /// Commands that move no mail, since the last message taken.
    pub(super) junk: u32,
    odd: Oddities,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    tried: u32,
    done: u32,
}

impl Tally {
    pub(super) const fn tried(&mut self, verb: Option<Verb>) {
        let count = &mut self.counts[place(verb)];
        count.tried = count.tried.saturating_add(1);
    }

    pub(super) const fn done(&mut self, verb: Option<Verb>) {
        let count = &mut self.counts[place(verb)];
        count.done = count.done.saturating_add(1);
    }

    /// A message was taken: errors before it are forgiven.
    pub(super) const fn forgive(&mut self) {
        self.errors = 0;
        self.junk = 0;
    }

    pub(super) const fn note(&mut self, odd: Oddities) {
        self.odd.bare_cr |= odd.bare_cr;
        self.odd.mixed_ends |= odd.mixed_ends;
        self.odd.nul |= odd.nul;
    }

    /// The text of the `disconnect` line after the client.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        let names = RULES.iter().map(|rule| rule.name).chain(["UNKNOWN"]);
        let mut all = Count::default();
        for (name, count) in names.zip(self.counts).filter(|(_, count)| count.tried > 0) {
            write_count(&mut text, &name.to_ascii_lowercase(), count);
            all.tried = all.tried.saturating_add(count.tried);
            all.done = all.done.saturating_add(count.done);
        }
        write_count(&mut text, "commands", all);
        let notes = [(self.odd.mixed_ends, "bare_lf"), (self.odd.bare_cr, "bare_cr"), (self.odd.nul, "nul")];
        let mut sign = " notes=";
        for (_, note) in notes.into_iter().filter(|(seen, _)| *seen) {
            text.push_str(sign);
            text.push_str(note);
            sign = ",";
        }
        text
    }
}

fn write_count(text: &mut String, name: &str, count: Count) {
    let space = if text.is_empty() { "" } else { " " };
    let _ = if count.tried == count.done {
        write!(text, "{space}{name}={}", count.tried)
    } else {
        write!(text, "{space}{name}={}/{}", count.done, count.tried)
    };
}

const fn place(verb: Option<Verb>) -> usize {
    match verb {
        Some(verb) => verb as usize,
        None => RULES.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_the_dialogues() {
        let mut tally = Tally::default();
        for (verb, tried, done) in
            [(Some(Verb::Ehlo), 1, 1), (Some(Verb::Mail), 3, 1), (Some(Verb::Quit), 1, 1), (None, 3, 0)]
        {
            (0..tried).for_each(|_| tally.tried(verb));
            (0..done).for_each(|_| tally.done(verb));
        }
        assert_eq!(tally.summary(), "ehlo=1 mail=1/3 quit=1 unknown=0/3 commands=3/8");
        tally.note(Oddities { bare_cr: true, mixed_ends: true, nul: false });
        assert!(tally.summary().ends_with(" notes=bare_lf,bare_cr"));
        assert_eq!(Tally::default().summary(), "commands=0");
    }
}
