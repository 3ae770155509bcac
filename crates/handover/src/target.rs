//! What stands on the right of an alias, in `.forward` and in an `:include:` file: addresses, commands, files.
//!
//! A list is divided by commas and, in files, by lines. An item with spaces or commas in it stands in double quotes,
//! in which a backslash takes the next character as it is: `"|/usr/bin/vacation kevin"`, `"a b"@example.org`.

use mail::Address;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Mail goes to this address.
    Address(Address),
    /// Mail is the standard input of this command (without the `|`).
    Command(String),
    /// Mail is appended to this file, or put in this Maildir when it ends in a slash.
    File(String),
    /// The items are in this file.
    Include(String),
    /// Mail goes to this user's mailbox, with no alias and no `.forward` (`\user`).
    Mailbox(String),
}

/// Reads a list of items, as one line or as the lines of a file.
///
/// # Errors
/// A sentence about the first item that makes no sense.
pub fn parse_list(text: &str) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for item in divided(text)? {
        targets.push(parse_item(&item)?);
    }
    Ok(targets)
}

/// Reads a file of items: lines of lists; a line that begins with `#` is a comment.
///
/// # Errors
/// The number of the first line that makes no sense, and a sentence about it.
pub fn parse_file(text: &str) -> Result<Vec<Target>, (usize, String)> {
    let mut targets = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if !line.trim_start().starts_with('#') {
            targets.extend(parse_list(line).map_err(|why| (index + 1, why))?);
        }
    }
    Ok(targets)
}

/// An item: what was outside quotes and inside is kept apart only as far as it matters.
struct Item {
    /// The text as it stands, quotes and all.
    raw: String,
    /// The text with quotes undone.
    plain: String,
    /// A quoted string was the whole item.
    quoted: bool,
}

fn divided(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut item = Item { raw: String::new(), plain: String::new(), quoted: false };
    let mut chars = text.chars();
    let mut inside = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                inside = !inside;
                item.quoted = true;
                item.raw.push(c);
            }
            '\\' if inside => {
                let next = chars.next().ok_or("a backslash at the end")?;
                item.raw.extend(['\\', next]);
                item.plain.push(next);
            }
            ',' if !inside => items
                .push(std::mem::replace(&mut item, Item { raw: String::new(), plain: String::new(), quoted: false })),
            c => {
                item.raw.push(c);
                item.plain.push(c);
            }
        }
    }
    if inside {
        return Err("a double quote is not closed".into());
    }
    items.push(item);
    items.retain(|item| !item.raw.trim().is_empty());
    Ok(items)
}

fn parse_item(item: &Item) -> Result<Target, String> {
    let plain = item.plain.trim();
    if let Some(command) = plain.strip_prefix('|') {
        let command = command.trim();
        return if command.is_empty() {
            Err("a command is missing after |".into())
        } else {
            Ok(Target::Command(command.into()))
        };
    }
    if let Some(path) = plain.strip_prefix(":include:") {
        let path = path.trim();
        return if path.starts_with('/') {
            Ok(Target::Include(path.into()))
        } else {
            Err(format!("the path \"{path}\" must begin with /"))
        };
    }
    if plain.starts_with('/') && !plain.contains('@') {
        return Ok(Target::File(plain.into()));
    }
    if let Some(user) = plain.strip_prefix('\\') {
        return mailbox(user);
    }
    let raw = without_name(item.raw.trim());
    match Address::parse(raw) {
        Ok(address) if item.quoted || !address.local().contains(char::is_whitespace) => Ok(Target::Address(address)),
        Ok(_) => Err(format!("\"{raw}\" has a space in it: put a comma between addresses")),
        Err(_) => Err(format!("\"{raw}\" is not an address")),
    }
}

fn mailbox(user: &str) -> Result<Target, String> {
    let user = user.split('@').next().unwrap_or_default().trim();
    let plain = !user.is_empty() && !user.chars().any(|c| c.is_whitespace() || c.is_control() || "/|\\".contains(c));
    if plain { Ok(Target::Mailbox(user.into())) } else { Err("a user name is missing after \\".into()) }
}

/// `kevin@x` of `Kevin <kevin@x>`.
fn without_name(text: &str) -> &str {
    match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(start), Some(head)) => head.get(start + 1..).unwrap_or(text).trim(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Target {
        Target::Address(Address::parse(text).expect(text))
    }

    #[test]
    fn each_kind_is_told_apart() {
        let table = [
            ("kevin", vec![address("kevin")]),
            (" kevin , toto@x.org,", vec![address("kevin"), address("toto@x.org")]),
            ("\"|/bin/a b, c\", /var/x", vec![Target::Command("/bin/a b, c".into()), Target::File("/var/x".into())]),
            ("|/bin/cat", vec![Target::Command("/bin/cat".into())]),
            ("|\"exec procmail -a \\\"$X\\\"\"", vec![Target::Command("exec procmail -a \"$X\"".into())]),
            (":include:/etc/list", vec![Target::Include("/etc/list".into())]),
            ("\\kevin, other@x", vec![Target::Mailbox("kevin".into()), address("other@x")]),
            ("\"a b\"@x.org", vec![address("\"a b\"@x.org")]),
            ("Kevin <kevin@x.org>", vec![address("kevin@x.org")]),
            ("", vec![]),
        ];
        for (text, targets) in table {
            assert_eq!(parse_list(text), Ok(targets), "{text}");
        }
    }

    #[test]
    fn nonsense_is_a_sentence() {
        for text in ["a b", "\"a", "|", ":include:x", "\\", "a@@", "\"x\\"] {
            assert!(parse_list(text).is_err(), "{text}");
        }
        assert_eq!(parse_file("a\n# x y\nb c\n").map_err(|(line, _)| line), Err(3));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = parse_file(&text);
        }
    }
}
