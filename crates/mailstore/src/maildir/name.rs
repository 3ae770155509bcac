//! Names of files in a Maildir: `1795191067.M123456P42Q7.host,S=375,W=385:2,FSa`.
//!
//! Before the colon stands what never changes, with the octets of the file (`S=`) and the octets with CRLF line ends (`W=`);
//! after `:2,` the flags: `D` draft, `F` flagged, `P` passed, `R` replied, `S` seen, `T` trashed, `a`–`z` keywords.

use std::borrow::Cow;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use mail::{Flag, Flags};

use super::keywords::Keywords;

const LETTERS: [(u8, Flag); 5] =
    [(b'D', Flag::Draft), (b'F', Flag::Flagged), (b'R', Flag::Answered), (b'S', Flag::Seen), (b'T', Flag::Deleted)];

/// What stands before the colon.
pub(crate) fn base(name: &str) -> &str {
    name.split_once(':').map_or(name, |(base, _)| base)
}

/// What identifies the message: the base without the sizes, which some tools add or mend later.
pub(crate) fn key(name: &str) -> Cow<'_, str> {
    let base = base(name);
    let mut parts = base.split(',');
    let front = parts.next().unwrap_or(base);
    let is_size = |part: &str| part.starts_with("S=") || part.starts_with("W=");
    if parts.clone().all(is_size) {
        return Cow::Borrowed(front);
    }
    let kept = parts.filter(|part| !is_size(part));
    Cow::Owned(std::iter::once(front).chain(kept).collect::<Vec<_>>().join(","))
}

/// The letters after `:2,`.
pub(crate) fn letters(name: &str) -> &str {
    name.split_once(":2,").map_or("", |(_, letters)| letters)
}

/// The number of a `,S=` or `,W=` field.
pub(crate) fn field(name: &str, letter: char) -> Option<u64> {
    let wanted = |part: &&str| part.strip_prefix(letter).is_some_and(|rest| rest.starts_with('='));
    base(name).split(',').skip(1).find(wanted)?.get(2..)?.parse().ok()
}

/// The flags of a name.
pub(crate) fn flags(name: &str, keywords: &Keywords) -> Flags {
    let mut flags = Flags::default();
    for letter in letters(name).bytes() {
        if let Some((_, flag)) = LETTERS.iter().find(|(known, _)| *known == letter) {
            flags.set(*flag);
        } else if let Some(keyword) = keywords.name(letter) {
            flags.keywords.insert(keyword.to_owned());
        }
    }
    flags
}

/// The same name with other flags; letters that mean nothing to us stay.
pub(crate) fn with_flags(name: &str, flags: &Flags, keywords: &Keywords) -> String {
    let known = |letter: &u8| LETTERS.iter().any(|(known, _)| known == letter) || keywords.name(*letter).is_some();
    let mut letters: Vec<u8> = letters(name).bytes().filter(|letter| !known(letter)).collect();
    letters.extend(LETTERS.iter().filter(|(_, flag)| flags.has(*flag)).map(|(letter, _)| *letter));
    letters.extend(flags.keywords.iter().filter_map(|keyword| keywords.letter(keyword)));
    letters.sort_unstable();
    letters.dedup();
    format!("{}:2,{}", base(name), String::from_utf8_lossy(&letters))
}

/// In which order messages that came unseen get their uids: by time in the name, then by name.
pub(crate) fn arrival(name: &str) -> (u64, u64) {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().unwrap_or(0)
    };
    let rest = name.split_once('.').map_or("", |(_, rest)| rest);
    (digits(name), rest.split_once('M').map_or(0, |(_, micros)| digits(micros)))
}

/// Makes names that no other program makes.
pub(crate) struct Naming {
    host: String,
    process: u32,
    count: AtomicU64,
}

impl Naming {
    pub(crate) fn new(host: &str) -> Self {
        let host = host.replace('/', "\\057").replace(':', "\\072").replace([',', '\n', '\0'], "_");
        let host = if host.is_empty() { "localhost".into() } else { host };
        Self { host, process: process::id(), count: AtomicU64::new(0) }
    }

    /// A fresh base without sizes.
    pub(crate) fn next(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}.M{}P{}Q{count}.{}", now.as_secs(), now.subsec_micros(), self.process, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_many_programs() {
        let keywords = Keywords::parse("0 $Junk\n1 work\n");
        let name = "1795191067.M123P42.host,S=375,W=385:2,FPSb";
        assert_eq!(key(name), "1795191067.M123P42.host");
        assert_eq!(key("1.2.host,U=4,S=3:2,"), "1.2.host,U=4");
        assert_eq!((field(name, 'S'), field(name, 'W')), (Some(375), Some(385)));
        assert_eq!((field("plain", 'S'), field("a,S=x", 'S')), (None, None));
        let mut flags = flags(name, &keywords);
        assert!(flags.has(Flag::Flagged) && flags.has(Flag::Seen) && flags.keywords.contains("work"));
        flags.clear(Flag::Flagged);
        flags.set(Flag::Deleted);
        flags.keywords.insert("$junk".into());
        assert_eq!(with_flags(name, &flags, &keywords), "1795191067.M123P42.host,S=375,W=385:2,PSTab");
        assert_eq!(with_flags("new", &Flags::default(), &keywords), "new:2,");
        assert_eq!(arrival(name), (1_795_191_067, 123));
        assert_eq!(arrival("procmail_msg"), (0, 0));
    }

    #[test]
    fn no_two_names_are_equal() {
        let naming = Naming::new("a/b:c");
        let (one, two) = (naming.next(), naming.next());
        assert_ne!(one, two);
        assert!(one.ends_with(".a\\057b\\072c"), "{one}");
    }
}
