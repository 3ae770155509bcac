//! Search keys (RFC 9051 §9: search, search-key; RFC 3501's NEW, OLD and RECENT).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use mail::Flag;
use mail::date::Civil;

use super::cursor::{Cursor, Parsed, Syntax};
use super::date::date;
use super::number::number64;
use super::set::{Set, sequence_set};
use super::string::{astring, atom, keyword};

/// The most keys in one search; each may cost a session a list of its messages.
const MAX_KEYS: usize = 250;

/// A whole search program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What CHARSET named, in capitals, when it is neither US-ASCII nor UTF-8.
    pub foreign_charset: Option<String>,
    /// What must hold.
    pub key: Key,
}

/// What may hold for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// All of them; `ALL` is none of them.
    And(Vec<Key>),
    /// One or the other.
    Or(Box<(Key, Key)>),
    /// Not that.
    Not(Box<Key>),
    /// A system flag is set.
    Flag(Flag),
    /// A keyword is set.
    Keyword(String),
    /// New to this session.
    Recent,
    /// One of these message numbers.
    Messages(Set),
    /// One of these uids.
    Uids(Set),
    /// Something the message itself must tell.
    Content(Content),
}

/// What is not known without looking at the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// BEFORE, ON, SINCE: the day of arrival, its zone disregarded.
    Arrived(When, Civil),
    /// SENTBEFORE, SENTON, SENTSINCE: the day of the Date field.
    Sent(When, Civil),
    /// LARGER
    Larger(u64),
    /// SMALLER
    Smaller(u64),
    /// HEADER, and BCC, CC, FROM, SUBJECT, TO: the field's name, and the text in it (empty: the field is there).
    Header(String, String),
    /// BODY: in the text of the parts.
    Body(String),
    /// TEXT: in the header or the body.
    Text(String),
}

/// How two days compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Earlier.
    Before,
    /// The same.
    On,
    /// The same or later.
    Since,
}

impl When {
    /// Whether `day` stands so to `limit`.
    #[must_use]
    pub fn holds(self, day: Civil, limit: Civil) -> bool {
        match self {
            Self::Before => day < limit,
            Self::On => day == limit,
            Self::Since => day >= limit,
        }
    }
}

/// `search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)`
///
/// # Errors
/// When it is none, is nested too deep or has too many keys.
pub fn program(cursor: &mut Cursor<'_>) -> Parsed<Program> {
    let mut foreign_charset = None;
    if cursor.eat_text("CHARSET ") {
        let charset = String::from_utf8(astring(cursor)?).map_err(|_| Syntax::Arguments)?.to_ascii_uppercase();
        cursor.space()?;
        foreign_charset = Some(charset).filter(|name| !matches!(name.as_str(), "UTF-8" | "US-ASCII"));
    }
    let mut budget = MAX_KEYS;
    let mut keys = alloc::vec![search_key(cursor, &mut budget)?];
    while cursor.peek() == Some(b' ') {
        cursor.space()?;
        if cursor.peek().is_none() {
            break;
        }
        keys.push(search_key(cursor, &mut budget)?);
    }
    Ok(Program { foreign_charset, key: Key::And(keys) })
}

fn search_key(cursor: &mut Cursor<'_>, budget: &mut usize) -> Parsed<Key> {
    *budget = budget.checked_sub(1).ok_or(Syntax::TooDeep)?;
    match cursor.peek() {
        Some(b'(') => {
            let keys = cursor.list(|cursor| search_key(cursor, budget))?;
            if keys.is_empty() { Err(Syntax::Arguments) } else { Ok(Key::And(keys)) }
        }
        Some(b'0'..=b'9' | b'*') => sequence_set(cursor).map(Key::Messages),
        _ => named_key(cursor, budget),
    }
}

fn named_key(cursor: &mut Cursor<'_>, budget: &mut usize) -> Parsed<Key> {
    let name = keyword(cursor)?;
    if let Some(key) = flag_key(&name) {
        return Ok(key);
    }
    if name == "NOT" {
        cursor.space()?;
        return cursor.deeper(|cursor| search_key(cursor, budget)).map(not);
    }
    if name == "OR" {
        cursor.space()?;
        let first = cursor.deeper(|cursor| search_key(cursor, budget))?;
        cursor.space()?;
        let second = cursor.deeper(|cursor| search_key(cursor, budget))?;
        return Ok(Key::Or(Box::new((first, second))));
    }
    argument_key(cursor, name)
}

/// Keys with an argument, in the order of the alphabet.
fn argument_key(cursor: &mut Cursor<'_>, name: String) -> Parsed<Key> {
    let content = match name.as_str() {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Content::Header(name, argument(cursor)?),
        "BEFORE" => Content::Arrived(When::Before, day(cursor)?),
        "BODY" => Content::Body(argument(cursor)?),
        "HEADER" => Content::Header(argument(cursor)?, argument(cursor)?),
        "KEYWORD" => return flag_argument(cursor),
        "LARGER" => Content::Larger(size(cursor)?),
        "ON" => Content::Arrived(When::On, day(cursor)?),
        "SENTBEFORE" => Content::Sent(When::Before, day(cursor)?),
        "SENTON" => Content::Sent(When::On, day(cursor)?),
        "SENTSINCE" => Content::Sent(When::Since, day(cursor)?),
        "SINCE" => Content::Arrived(When::Since, day(cursor)?),
        "SMALLER" => Content::Smaller(size(cursor)?),
        "TEXT" => Content::Text(argument(cursor)?),
        "UID" => {
            cursor.space()?;
            return sequence_set(cursor).map(Key::Uids).map_err(|_| Syntax::UidSet);
        }
        "UNKEYWORD" => return flag_argument(cursor).map(not),
        _ => return Err(Syntax::Unknown("argument", name)),
    };
    Ok(Key::Content(content))
}

fn flag_key(name: &str) -> Option<Key> {
    Some(match name {
        "ALL" => Key::And(Vec::new()),
        "ANSWERED" => Key::Flag(Flag::Answered),
        "DELETED" => Key::Flag(Flag::Deleted),
        "DRAFT" => Key::Flag(Flag::Draft),
        "FLAGGED" => Key::Flag(Flag::Flagged),
        "NEW" => Key::And(alloc::vec![Key::Recent, not(Key::Flag(Flag::Seen))]),
        "OLD" => not(Key::Recent),
        "RECENT" => Key::Recent,
        "SEEN" => Key::Flag(Flag::Seen),
        "UNANSWERED" => not(Key::Flag(Flag::Answered)),
        "UNDELETED" => not(Key::Flag(Flag::Deleted)),
        "UNDRAFT" => not(Key::Flag(Flag::Draft)),
        "UNFLAGGED" => not(Key::Flag(Flag::Flagged)),
        "UNSEEN" => not(Key::Flag(Flag::Seen)),
        _ => return None,
    })
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

fn argument(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    String::from_utf8(astring(cursor)?).map_err(|_| Syntax::Arguments)
}

fn flag_argument(cursor: &mut Cursor<'_>) -> Parsed<Key> {
    cursor.space()?;
    atom(cursor).map(|name| Key::Keyword(name.into()))
}

fn day(cursor: &mut Cursor<'_>) -> Parsed<Civil> {
    cursor.space()?;
    date(cursor)
}

fn size(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    cursor.space()?;
    number64(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Program> {
        let mut cursor = Cursor::new(text.as_bytes());
        let program = program(&mut cursor)?;
        cursor.end().map(|()| program)
    }

    #[test]
    fn every_key_is_read() {
        for text in [
            "all",
            "1:*",
            "uid 1,2",
            "answered deleted draft flagged new old recent seen",
            "bcc a cc b from c subject d to e",
            "before 1-Jan-2020 on \"20-Nov-2026\" since 1-Feb-2020",
            "sentbefore 1-Jan-2020 senton 2-Jan-2020 sentsince 3-Jan-2020",
            "body {3}\r\nabc text \"a b\"",
            "header X-Spam \"\"",
            "keyword $Junk unkeyword $NotJunk",
            "larger 10 smaller 20",
            "not seen",
            "or seen (answered not (deleted draft))",
            "charset utf-8 subject é",
            "undeleted unseen unanswered undraft unflagged",
            "all ",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
        assert_eq!(parse("charset koi8-r all").map(|p| p.foreign_charset), Ok(Some("KOI8-R".into())));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "bogus",
            "()",
            "not",
            "or seen",
            "before 31-Feb-2020",
            "larger -1",
            "uid",
            "(seen",
            "seen)",
            "charset",
            "keyword \\Seen",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_budget() {
        let deep = |n: usize| "(".repeat(n) + "seen" + &")".repeat(n);
        assert!(parse(&deep(60)).is_ok());
        assert_eq!(parse(&deep(5000)), Err(Syntax::TooDeep));
        assert_eq!(parse(&("not ".repeat(5000) + "seen")), Err(Syntax::TooDeep));
        assert_eq!(parse(&"seen ".repeat(251)), Err(Syntax::TooDeep));
    }
}
