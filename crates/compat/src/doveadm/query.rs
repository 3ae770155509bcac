//! Dovecot's search queries: words as in IMAP's SEARCH, and the mailbox.

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use mail::Flag;
use mailstore::search::Criterion;

/// What is looked for.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    /// INBOX if none is named.
    pub(super) mailbox: String,
    /// A mailbox is named.
    pub(super) names_mailbox: bool,
    pub(super) test: Test,
}

/// A question about one message.
#[derive(Debug, PartialEq)]
pub(super) enum Test {
    /// All of them.
    And(Vec<Test>),
    /// It arrived at this second or later.
    Since(i64),
    /// This stands in its body.
    Body(String),
    /// What stands in its header.
    Header(Criterion),
    /// It has this flag.
    Flag(Flag),
    /// It has this keyword.
    Keyword(String),
    Not(Box<Test>),
    Or(Box<Test>, Box<Test>),
    /// Its uid is in one of these ranges.
    Uid(Vec<(u32, u32)>),
}

/// Reads the words of a query.
pub(super) fn parse(words: &[String]) -> Result<Query> {
    let words: Vec<&str> = words.iter().flat_map(|word| split(word)).collect();
    let mut reader = Reader { words: words.into_iter(), mailbox: None, depth: 0 };
    let mut tests = Vec::new();
    while let Some(word) = reader.words.next() {
        tests.extend(reader.test(word)?);
    }
    let names_mailbox = reader.mailbox.is_some();
    let mailbox = reader.mailbox.unwrap_or_else(|| "INBOX".to_owned());
    Ok(Query { mailbox, names_mailbox, test: Test::And(tests) })
}

/// A whole query may be one word in the shell's eyes; a text with blanks may be too, so only keywords are divided.
fn split(word: &str) -> Vec<&str> {
    let first = word.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    match KEYS.contains(&first.as_str()) && word.contains(' ') {
        true => word.split_whitespace().collect(),
        false => vec![word],
    }
}

const KEYS: [&str; 22] = [
    "all",
    "answered",
    "before",
    "body",
    "deleted",
    "draft",
    "flagged",
    "from",
    "header",
    "keyword",
    "mailbox",
    "not",
    "or",
    "seen",
    "since",
    "subject",
    "text",
    "to",
    "uid",
    "unseen",
    "savedsince",
    "savedbefore",
];

struct Reader<'a> {
    words: std::vec::IntoIter<&'a str>,
    mailbox: Option<String>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self, after: &str) -> Result<&'a str> {
        self.words.next().with_context(|| format!("something must stand behind {after}"))
    }

    /// The test that begins with `word`; `None` if it is about where to look.
    fn test(&mut self, word: &str) -> Result<Option<Test>> {
        let flag = |name| Ok(Some(Test::Flag(name)));
        match word.to_ascii_lowercase().as_str() {
            "all" => Ok(Some(Test::And(Vec::new()))),
            "mailbox" => {
                self.mailbox = Some(self.next(word)?.to_owned());
                Ok(None)
            }
            // There is one mailbox with that number: the one named, or INBOX.
            "mailbox-guid" => self.next(word).map(|_| None),
            "answered" => flag(Flag::Answered),
            "deleted" => flag(Flag::Deleted),
            "draft" => flag(Flag::Draft),
            "flagged" => flag(Flag::Flagged),
            "seen" => flag(Flag::Seen),
            "keyword" => Ok(Some(Test::Keyword(self.next(word)?.to_owned()))),
            other => match other.strip_prefix("un").map(str::to_owned) {
                Some(rest)
                    if ["answered", "deleted", "draft", "flagged", "seen", "keyword"].contains(&rest.as_str()) =>
                {
                    self.negated(&rest)
                }
                _ => self.with_words(other),
            },
        }
    }

    fn with_words(&mut self, word: &str) -> Result<Option<Test>> {
        let field = |name: &str, text: &str| Criterion::Header(name.to_owned(), text.to_owned());
        Ok(Some(match word {
            "not" => {
                let next = self.next(word)?;
                return self.negated(next);
            }
            "or" => Test::Or(Box::new(self.required(word)?), Box::new(self.required(word)?)),
            "from" | "to" | "cc" | "bcc" | "subject" => Test::Header(field(word, self.next(word)?)),
            "header" => {
                let name = self.next(word)?;
                Test::Header(field(name, self.next(word)?))
            }
            "body" => Test::Body(self.next(word)?.to_owned()),
            "text" => {
                let text = self.next(word)?.to_owned();
                Test::Or(Box::new(Test::Header(Criterion::Any(text.clone()))), Box::new(Test::Body(text)))
            }
            "since" | "savedsince" => Test::Since(moment(self.next(word)?)?),
            "before" | "savedbefore" => Test::Not(Box::new(Test::Since(moment(self.next(word)?)?))),
            "uid" => Test::Uid(ranges(self.next(word)?)?),
            other => bail!("{other} is not known in a query"),
        }))
    }

    fn required(&mut self, after: &str) -> Result<Test> {
        self.depth += 1;
        if self.depth > DEEPEST {
            bail!("the query goes too deep");
        }
        let word = self.next(after)?;
        self.test(word)?.with_context(|| format!("{word} cannot stand there"))
    }

    fn negated(&mut self, word: &str) -> Result<Option<Test>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            bail!("the query goes too deep");
        }
        let inner = self.test(word)?.with_context(|| format!("{word} cannot stand there"))?;
        Ok(Some(Test::Not(Box::new(inner))))
    }
}

/// The first second of a day (`2026-11-20`, `20-Nov-2026`), or of an age ago (`7d`, `2w`, `3h`).
fn moment(text: &str) -> Result<i64> {
    let day = Date::strptime("%Y-%m-%d", text).or_else(|_| Date::strptime("%d-%b-%Y", text));
    if let Ok(day) = day {
        return Ok(day.to_zoned(TimeZone::system())?.timestamp().as_second());
    }
    let wrong = || anyhow!("{text} is no date: write 2026-11-20, 20-Nov-2026 or 7d");
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(end);
    let count: i64 = count.parse().map_err(|_| wrong())?;
    let hours = match unit.trim() {
        "h" | "hours" => 1,
        "d" | "days" => 24,
        "w" | "weeks" => 168,
        _ => return Err(wrong()),
    };
    let age = Span::new().try_hours(count.checked_mul(hours).ok_or_else(wrong)?)?;
    Ok(Zoned::now().checked_sub(age)?.timestamp().as_second())
}

/// `1:3,7,9:*`.
fn ranges(text: &str) -> Result<Vec<(u32, u32)>> {
    let number = |text: &str| match text {
        "*" => Ok(u32::MAX),
        text => text.parse::<u32>().map_err(|_| anyhow!("{text} is no uid")),
    };
    let range = |part: &str| match part.split_once(':') {
        Some((low, high)) => Ok((number(low)?, number(high)?)),
        None => Ok((number(part)?, number(part)?)),
    };
    text.split(',').map(range).collect()
}

const DEEPEST: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[&str]) -> Result<Query> {
        parse(&text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn queries_as_people_write_them() {
        let query = read(&["mailbox", "Sent", "unseen", "from", "foo bar", "uid", "1:3,7"]).unwrap();
        assert_eq!(query.mailbox, "Sent");
        let unseen = Test::Not(Box::new(Test::Flag(Flag::Seen)));
        let from = Test::Header(Criterion::Header("from".into(), "foo bar".into()));
        assert_eq!(query.test, Test::And(vec![unseen, from, Test::Uid(vec![(1, 3), (7, 7)])]));
        assert_eq!(
            read(&["mailbox INBOX all"]).unwrap(),
            Query { mailbox: "INBOX".into(), names_mailbox: true, test: Test::And(vec![Test::And(Vec::new())]) }
        );
        assert!(read(&["or", "seen"]).is_err() && read(&["from"]).is_err() && read(&["nonsense"]).is_err());
        assert!(read(&["since", "yesterdayish"]).is_err() && read(&["uid", "x"]).is_err());
        assert!(read(&["not"; 100]).is_err());
    }
}
