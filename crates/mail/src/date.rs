//! Dates of mail (RFC 5322 §3.3), of IMAP (RFC 9051 date-time) and of mbox `From ` lines, from and to seconds since 1970.
//!
//! Nothing here asks the clock or the time zone: both are handed in. Reading is tolerant (obsolete zones, two-digit
//! years, comments, a missing weekday); what cannot be read gives `None`, never a guess.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// A point in time as someone's clock showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Minutes east of Greenwich.
    pub offset: i16,
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// The year, 1 to 9999 when it was read from text.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Civil {
    /// Days since 1970-01-01 to the day.
    #[must_use]
    pub const fn from_days(days: i64) -> Self {
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        Self { year, month: month as u8, day: day as u8 }
    }

    /// The day to days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = self.month as i64;
        let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + self.day as i64 - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    /// The day, if the calendar has it.
    #[must_use]
    pub fn new(year: i64, month: u8, day: u8) -> Option<Self> {
        let civil = Self { year, month, day };
        let ok = (1..=9999).contains(&year) && (1..=12).contains(&month) && Self::from_days(civil.days()) == civil;
        ok.then_some(civil)
    }

    /// Reads `20-Nov-2026` or ` 1-Nov-2026` (IMAP `date`).
    #[must_use]
    pub fn parse_imap(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|b| *b == b'-');
        let day = number(parts.next()?.trim_ascii_start(), 1..=2)?;
        let month = month(parts.next()?)?;
        let year = number(parts.next()?, 4..=4)?;
        if parts.next().is_some() { None } else { Self::new(year.into(), month, u8::try_from(day).ok()?) }
    }
}

impl Moment {
    /// That many seconds after 1970, shown in UTC.
    #[must_use]
    pub const fn utc(seconds: i64) -> Self {
        Self { seconds, offset: 0 }
    }

    /// The same instant on a clock `offset` minutes east of Greenwich.
    #[must_use]
    pub const fn at_offset(self, offset: i16) -> Self {
        Self { offset, ..self }
    }

    /// The day shown, and the seconds since its midnight.
    #[must_use]
    pub const fn local(self) -> (Civil, u32) {
        let local = self.seconds.saturating_add(self.offset as i64 * 60);
        (Civil::from_days(local.div_euclid(DAY)), local.rem_euclid(DAY) as u32)
    }

    /// `Fri, 20 Nov 2026 16:11:50 +0000`
    #[must_use]
    pub fn rfc5322(self) -> String {
        let shown = Shown::of(self);
        format!(
            "{}, {} {} {:04} {} {}",
            shown.weekday, shown.civil.day, shown.month, shown.civil.year, shown.clock, shown.zone
        )
    }

    /// `Fri, 20 Nov 2026 16:11:50 +0000 (UTC)`, as `Received:` and `Date:` lines of servers have it.
    #[must_use]
    pub fn rfc5322_with_zone(self, zone: &str) -> String {
        format!("{} ({zone})", self.rfc5322())
    }

    /// `20-Nov-2026 16:11:50 +0000`; a day below 10 has a space in front (RFC 9051 `date-day-fixed`).
    #[must_use]
    pub fn imap(self) -> String {
        let shown = Shown::of(self);
        format!("{:2}-{}-{:04} {} {}", shown.civil.day, shown.month, shown.civil.year, shown.clock, shown.zone)
    }

    /// `Fri Nov 20 16:11:07 2026`, as in mbox `From ` lines.
    #[must_use]
    pub fn asctime(self) -> String {
        let shown = Shown::of(self);
        format!("{} {} {:2} {} {:04}", shown.weekday, shown.month, shown.civil.day, shown.clock, shown.civil.year)
    }

    /// Reads what [`Moment::imap`] writes, with or without the space before a short day.
    #[must_use]
    pub fn parse_imap(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let mut words = text.split(|b| *b == b' ').filter(|word| !word.is_empty());
        let civil = Civil::parse_imap(words.next()?)?;
        let clock = clock(words.next()?)?;
        let offset = numeric_zone(words.next()?)?;
        if words.next().is_some() { None } else { Some(assemble(civil, clock, offset)) }
    }

    /// Reads a date of RFC 5322 with all obsolete forms, comments and common mistakes.
    #[must_use]
    pub fn parse_rfc5322(text: &[u8]) -> Option<Self> {
        let words = Words::of(text);
        let mut rest = words.slice();
        if rest.first().is_some_and(|word| {
            !word.first().is_some_and(u8::is_ascii_digit) && month(word).is_none() && !word.contains(&b'-')
        }) {
            rest = rest.get(1..)?;
        }
        // `20 Nov 2026`, `20-Nov-2026`, `Nov 20 16:11:50 2026` (asctime)
        let (civil, rest) = match rest {
            [date, rest @ ..] if date.contains(&b'-') => (Civil::parse_dashed(date)?, rest),
            [day, name, year, rest @ ..] if month(day).is_none() => {
                (Civil::new(full_year(year)?, month(name)?, u8::try_from(number(day, 1..=2)?).ok()?)?, rest)
            }
            [name, day, time, year, ..] => {
                let civil = Civil::new(full_year(year)?, month(name)?, u8::try_from(number(day, 1..=2)?).ok()?)?;
                return Some(assemble(civil, clock(time)?, 0));
            }
            _ => return None,
        };
        let (time, rest) = rest.split_first()?;
        Some(assemble(civil, clock(time)?, rest.first().map_or(0, |word| zone(word))))
    }

    /// Reads the date at the end of an mbox `From ` line: asctime form, a zone before or after the year allowed.
    #[must_use]
    pub fn parse_asctime(text: &[u8]) -> Option<Self> {
        let words = Words::of(text);
        let [_, name, day, time, rest @ ..] = words.slice() else { return None };
        let (year, offset) = match rest {
            [year] => (full_year(year)?, 0),
            [first, second, ..] => match (full_year(first), full_year(second)) {
                (Some(year), _) => (year, zone(second)),
                (None, Some(year)) => (year, zone(first)),
                (None, None) => return None,
            },
            [] => return None,
        };
        let civil = Civil::new(year, month(name)?, u8::try_from(number(day, 1..=2)?).ok()?)?;
        Some(assemble(civil, clock(time)?, offset))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc5322())
    }
}

impl Civil {
    fn parse_dashed(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|b| *b == b'-');
        let day = number(parts.next()?, 1..=2)?;
        let month = month(parts.next()?)?;
        Self::new(full_year(parts.next()?)?, month, u8::try_from(day).ok()?)
    }
}

/// The pieces that all written forms share.
struct Shown {
    civil: Civil,
    weekday: &'static str,
    month: &'static str,
    clock: String,
    zone: String,
}

impl Shown {
    fn of(moment: Moment) -> Self {
        let (civil, second) = moment.local();
        // 1970-01-01 was a Thursday.
        let weekday = (civil.days() + 4).rem_euclid(7) as usize;
        let offset = moment.offset.unsigned_abs();
        let sign = if moment.offset < 0 { '-' } else { '+' };
        Self {
            civil,
            weekday: WEEKDAYS[weekday],
            month: MONTHS[usize::from(civil.month) - 1],
            clock: format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60),
            zone: format!("{sign}{:02}{:02}", offset / 60, offset % 60),
        }
    }
}

/// At most eight words of a date, with comments left out.
struct Words<'a> {
    words: [&'a [u8]; 8],
    count: usize,
}

impl<'a> Words<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut this = Self { words: [b""; 8], count: 0 };
        let (mut depth, mut start) = (0_u32, None);
        for (at, byte) in text.iter().enumerate() {
            let inside = match byte {
                b'(' => {
                    depth = depth.saturating_add(1);
                    false
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    false
                }
                b' ' | b'\t' | b'\r' | b'\n' | b',' => false,
                _ => depth == 0,
            };
            match (inside, start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    this.push(&text[from..at]);
                    start = None;
                }
                _ => (),
            }
        }
        if let Some(from) = start {
            this.push(&text[from..]);
        }
        this
    }

    fn push(&mut self, word: &'a [u8]) {
        if let Some(slot) = self.words.get_mut(self.count) {
            *slot = word;
            self.count += 1;
        }
    }

    fn slice(&self) -> &[&'a [u8]] {
        &self.words[..self.count]
    }
}

fn assemble(civil: Civil, second: u32, offset: i16) -> Moment {
    Moment { seconds: civil.days() * DAY + i64::from(second) - i64::from(offset) * 60, offset }
}

fn number(text: &[u8], digits: core::ops::RangeInclusive<usize>) -> Option<u16> {
    if !digits.contains(&text.len()) || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0_u16, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u16::from(b - b'0')))
}

fn month(text: &[u8]) -> Option<u8> {
    let name = text.get(..3)?;
    let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    u8::try_from(at + 1).ok()
}

/// Two digits: 1950 to 2049; three: 1900 and up (RFC 5322 §4.3).
fn full_year(text: &[u8]) -> Option<i64> {
    let year = i64::from(number(text, 2..=4)?);
    Some(match text.len() {
        2 if year < 50 => year + 2000,
        2 | 3 => year + 1900,
        _ => year,
    })
}

/// `16:11:50`, `16:11`, `6:11:50`; a leap second is the second before it.
fn clock(text: &[u8]) -> Option<u32> {
    let mut parts = text.split(|b| *b == b':');
    let hour = u32::from(number(parts.next()?, 1..=2)?);
    let minute = u32::from(number(parts.next()?, 2..=2)?);
    let second = parts.next().map_or(Some(0), |part| number(part.split(|b| *b == b'.').next()?, 2..=2))?;
    let ok = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    ok.then(|| hour * 3600 + minute * 60 + u32::from(second.min(59)))
}

fn numeric_zone(text: &[u8]) -> Option<i16> {
    let (sign, digits) = text.split_first()?;
    let value = i16::try_from(number(digits, 4..=4)?).ok()?;
    let minutes = value / 100 * 60 + value % 100;
    match sign {
        b'+' if value % 100 < 60 => Some(minutes),
        b'-' if value % 100 < 60 => Some(-minutes),
        _ => None,
    }
}

/// Any zone of RFC 5322 §4.3; an unknown name counts as UTC, as the RFC says.
fn zone(text: &[u8]) -> i16 {
    if let Some(offset) = numeric_zone(text) {
        return offset;
    }
    let known = ZONES.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(text));
    known.map_or(0, |(_, hours)| hours * 60)
}

const DAY: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const ZONES: [(&str, i16); 10] = [
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("CET", 1),
    ("CEST", 2),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAB: i64 = 1_795_191_110;

    #[test]
    fn written_as_the_servers_write() {
        let moment = Moment::utc(LAB);
        assert_eq!(moment.rfc5322_with_zone("UTC"), "Fri, 20 Nov 2026 16:11:50 +0000 (UTC)");
        assert_eq!(moment.imap(), "20-Nov-2026 16:11:50 +0000");
        assert_eq!(moment.asctime(), "Fri Nov 20 16:11:50 2026");
        assert_eq!(moment.at_offset(-330).rfc5322(), "Fri, 20 Nov 2026 10:41:50 -0530");
        assert_eq!(Moment::utc(951_782_400).imap(), "29-Feb-2000 00:00:00 +0000");
        assert_eq!(Moment::utc(0).imap(), " 1-Jan-1970 00:00:00 +0000");
    }

    #[test]
    fn many_hands_write_dates() {
        for text in [
            "Fri, 20 Nov 2026 16:11:50 +0000 (UTC)",
            "20 Nov 2026 16:11:50 GMT",
            "fri, 20 nov 26 17:11:50 +0100",
            "Fri Nov 20 16:11:50 2026",
            "Fri, (a (nested) comment) 20 Nov 2026 11:11:50 EST",
            "20-Nov-2026 16:11:50",
            "Fri,\r\n 20 November 2026 16:11:50 -0000",
        ] {
            assert_eq!(Moment::parse_rfc5322(text.as_bytes()).map(|m| m.seconds), Some(LAB), "{text}");
        }
        for text in ["", "yesterday", "31 Feb 2026 00:00:00 +0000", "20 Nov 2026 25:00:00 +0000", "20 Nov 2026"] {
            assert_eq!(Moment::parse_rfc5322(text.as_bytes()), None, "{text}");
        }
        for text in ["Fri Nov 20 16:11:50 2026", "Fri Nov 20 16:11:50 2026 +0000", "Fri Nov 20 16:11:50 GMT 2026"] {
            assert_eq!(Moment::parse_asctime(text.as_bytes()).map(|m| m.seconds), Some(LAB), "{text}");
        }
    }

    proptest! {
        #[test]
        fn read_as_written(seconds in -62_135_000_000_i64..253_000_000_000, offset in -779_i16..780) {
            let moment = Moment { seconds, offset };
            prop_assert_eq!(Moment::parse_imap(moment.imap().as_bytes()), Some(moment));
            if moment.local().0.year >= 1000 {
                prop_assert_eq!(Moment::parse_rfc5322(moment.rfc5322().as_bytes()), Some(moment));
            }
        }

        #[test]
        fn never_panics(octets in proptest::collection::vec(any::<u8>(), 0..60), text in "[0-9A-Za-z:+() -]{0,40}") {
            for input in [&octets[..], text.as_bytes()] {
                let _ = (Moment::parse_imap(input), Moment::parse_rfc5322(input), Moment::parse_asctime(input));
            }
        }
    }
}
