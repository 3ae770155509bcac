//! Reading one value: words to numbers, times, bytes, flags and lists.
//!
//! Each function says in one short phrase what is wrong; the caller adds file, line and name.

use std::net::SocketAddr;
use std::time::Duration;

use crate::param::{Kind, Unit};
use crate::{network, place};

/// Is `text` (already expanded) a right value for `kind`? The error is a phrase such as `"abc" is not a number`.
pub(crate) fn check(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Bytes => bytes(text).map(drop),
        Kind::Choice(words) => word(words, text.trim()),
        Kind::Choices(words) => items(text).try_for_each(|item| word(words, item)),
        Kind::Domain if text.trim().contains(char::is_whitespace) => Err(format!("\"{text}\" is more than one word")),
        Kind::Domain if text.trim().is_empty() => Err("it must not be empty".into()),
        Kind::Flag => flag(text).map(drop),
        Kind::HomeFile => place::in_home(text),
        Kind::Interfaces => items(text).try_for_each(place::interface),
        Kind::Location => place::location(text),
        Kind::Names => tables::Names::check(text),
        Kind::Networks => items(text).try_for_each(|item| network::parse(item).map(drop)),
        Kind::NextHops => place::next_hops(text),
        Kind::Number(low, high) => number(text, low, high).map(drop),
        Kind::Path => path(text),
        Kind::Sockets => items(text).try_for_each(|item| socket(item).map(drop)),
        Kind::Tables => tables::check(text),
        Kind::Time(unit) => time(text, unit).map(drop),
        Kind::Domain | Kind::Domains | Kind::Files | Kind::List | Kind::Raw | Kind::Text => Ok(()),
    }
}

/// `127.0.0.1:10025`: an address of the loopback interface and a port.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(socket) if socket.ip().is_loopback() && socket.port() != 0 => Ok(socket),
        Ok(_) => Err(format!("\"{text}\" is not on this machine's loopback interface: write 127.0.0.1:10025")),
        Err(_) => Err(format!("\"{text}\" is not an address with its port: write 127.0.0.1:10025 or [::1]:10025")),
    }
}

/// The items of a list written with commas or spaces.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

/// yes, no and their relatives.
pub(crate) fn flag(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" | "y" | "1" => Ok(true),
        "no" | "off" | "false" | "n" | "0" => Ok(false),
        _ => Err(format!("\"{text}\" is neither yes nor no")),
    }
}

/// A whole number within bounds.
pub(crate) fn number(text: &str, low: u64, high: u64) -> Result<u64, String> {
    let number: u64 = text.trim().parse().map_err(|_| format!("\"{text}\" is not a whole number"))?;
    match number {
        n if n < low => Err(format!("{n} is too small, the least is {low}")),
        n if n > high => Err(format!("{n} is too big, the most is {high}")),
        n => Ok(n),
    }
}

/// Bytes: `10240000`, `10M`, `10 MB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is not a size: write 10240000 or 10M");
    let (digits, unit) = split(text.trim());
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(factor).ok_or_else(wrong)
}

/// A time: `300s`, `5d`, `1h30m`, `2 mins`; a bare number counts `unit`.
pub(crate) fn time(text: &str, unit: Unit) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time: write 30s, 5m, 4h or 5d");
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (digits, tail) = split(rest);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        let factor = seconds_in(word.trim(), unit).ok_or_else(wrong)?;
        seconds = count.checked_mul(factor).and_then(|n| n.checked_add(seconds)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(Duration::from_secs(seconds))
}

fn seconds_in(word: &str, bare: Unit) -> Option<u64> {
    Some(match word.to_ascii_lowercase().as_str() {
        "" => match bare {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
            Unit::Day => 86_400,
        },
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 7 * 86_400,
        _ => return None,
    })
}

/// Digits in front, and the rest without the blanks between.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits, rest.trim_start())
}

fn word(words: &[&str], text: &str) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    Err(format!("\"{text}\" is not one of {}", words.join(", ")))
}

fn path(text: &str) -> Result<(), String> {
    let text = plain_path(text);
    if text.is_empty() || text.starts_with('/') {
        return Ok(());
    }
    Err(format!("\"{text}\" is not a full file name: it must begin with /"))
}

/// A file name without Dovecot's `<`.
pub(crate) fn plain_path(text: &str) -> &str {
    text.trim().trim_start_matches('<').trim_start()
}

/// A file name of a table without its type (`hash:`, `texthash:`, ...).
pub(crate) fn plain_table(text: &str) -> &str {
    match text.split_once(':') {
        Some((kind, path)) if path.starts_with('/') && kind.bytes().all(|b| b.is_ascii_alphanumeric()) => path,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let seconds = |text| time(text, Unit::Day).map(|d| d.as_secs());
        assert_eq!(seconds("300s"), Ok(300));
        assert_eq!(seconds("5"), Ok(5 * 86_400));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("2 mins"), Ok(120));
        assert!(seconds("").is_err() && seconds("x").is_err() && seconds("5y").is_err());
        assert!(seconds("99999999999999999999w").is_err() && seconds("9999999999999999999w").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("10240000"), Ok(10_240_000));
        assert_eq!(bytes("10 MB"), Ok(10 << 20));
        assert!(bytes("ten").is_err() && bytes("-1").is_err() && bytes("99999999999G").is_err());
    }

    #[test]
    fn sockets_are_on_this_machine() {
        assert!(socket("127.0.0.1:10025").is_ok() && socket("[::1]:10025").is_ok());
        for wrong in ["192.0.2.1:10025", "0.0.0.0:10025", "127.0.0.1", "10025", "127.0.0.1:0", "localhost:10025"] {
            assert!(socket(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags() {
        assert_eq!(flag("On"), Ok(true));
        assert_eq!(flag("no"), Ok(false));
        assert!(flag("maybe").is_err());
    }

    #[test]
    fn tables_lose_their_type() {
        assert_eq!(plain_table("hash:/etc/aliases"), "/etc/aliases");
        assert_eq!(plain_table("/etc/a:b"), "/etc/a:b");
    }
}
