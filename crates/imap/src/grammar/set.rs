//! Sets of message numbers (RFC 9051 §9: sequence-set, seq-range, seq-number).

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use super::cursor::{Cursor, Parsed, Syntax};
use super::number::nz_number;

/// The most ranges one set may have.
const MAX_RANGES: usize = 10_000;

/// A set as written: ranges in any order, with `*` still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(Vec<Range>);

/// `seq-number / seq-range`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// One number.
    One(Number),
    /// Both ends belong to it; either may be the larger.
    Span(Number, Number),
}

/// `seq-number = nz-number / "*"`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A number.
    Exact(NonZeroU32),
    /// `*`: the largest in use.
    Largest,
}

/// Ranges in ascending order that neither touch nor overlap, with `*` resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

/// `sequence-set = (seq-number / seq-range) ["," sequence-set]`
///
/// # Errors
/// When it is none, or has more than ten thousand ranges.
pub fn sequence_set(cursor: &mut Cursor<'_>) -> Parsed<Set> {
    let mut ranges = Vec::new();
    loop {
        ranges.push(seq_range(cursor)?);
        if ranges.len() > MAX_RANGES {
            return Err(Syntax::MessageSet);
        }
        if !cursor.eat(b',') {
            return Ok(Set(ranges));
        }
    }
}

fn seq_range(cursor: &mut Cursor<'_>) -> Parsed<Range> {
    let first = seq_number(cursor)?;
    if cursor.eat(b':') { Ok(Range::Span(first, seq_number(cursor)?)) } else { Ok(Range::One(first)) }
}

fn seq_number(cursor: &mut Cursor<'_>) -> Parsed<Number> {
    if cursor.eat(b'*') {
        return Ok(Number::Largest);
    }
    nz_number(cursor).map(Number::Exact).map_err(|_| Syntax::MessageSet)
}

impl Set {
    /// Whether `*` occurs in it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.iter().any(|range| match range {
            Range::One(number) => *number == Number::Largest,
            Range::Span(first, last) => *first == Number::Largest || *last == Number::Largest,
        })
    }

    /// The set with `*` standing for `largest` (0: nothing is in use, and `*` names nothing).
    #[must_use]
    pub fn resolve(&self, largest: u32) -> Ranges {
        let value = |number: Number| match number {
            Number::Exact(number) => number.get(),
            Number::Largest => largest,
        };
        let spans = self.0.iter().map(|range| match *range {
            Range::One(number) => (value(number), value(number)),
            Range::Span(first, last) => (value(first).min(value(last)), value(first).max(value(last))),
        });
        Ranges::from_spans(spans.collect())
    }
}

impl Ranges {
    /// From ranges in any order; zero is dropped.
    #[must_use]
    pub fn from_spans(mut spans: Vec<(u32, u32)>) -> Self {
        spans.retain(|(_, last)| *last > 0);
        spans.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in spans {
            let first = first.max(1);
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// From single numbers, as in an answer with many uids.
    #[must_use]
    pub fn from_numbers(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self::from_spans(numbers.into_iter().map(|number| (number, number)).collect())
    }

    /// Whether `number` is in it.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| number <= *last)
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn spans(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// The largest number in it, 0 when it is empty.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.0.last().map_or(0, |(_, last)| *last)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(number) => number.fmt(f),
            Self::Largest => f.write_str("*"),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            match range {
                Range::One(number) => number.fmt(f)?,
                Range::Span(first, last) => write!(f, "{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            if first == last { first.fmt(f)? } else { write!(f, "{first}:{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn set(text: &str) -> Parsed<Set> {
        let mut cursor = Cursor::new(text.as_bytes());
        let set = sequence_set(&mut cursor)?;
        cursor.end().map(|()| set)
    }

    #[test]
    fn resolved_and_merged() {
        let table = [
            ("1", 9, "1"),
            ("*", 9, "9"),
            ("3:1,2", 9, "1:3"),
            ("7:*", 9, "7:9"),
            ("12:*", 9, "9:12"),
            ("*:4,1", 6, "1,4:6"),
            ("5,1,3,4", 9, "1,3:5"),
            ("*", 0, ""),
            ("1:*", 0, "1"),
            ("4294967295", 9, "4294967295"),
        ];
        for (text, largest, want) in table {
            assert_eq!(set(text).expect(text).resolve(largest).to_string(), want, "{text}");
        }
        for text in ["", "0", "1,", ",1", "1:", "a", "1:0", "4294967296", "1::2", "-1"] {
            assert!(set(text).is_err(), "{text}");
        }
    }
}
