//! The syntax of `main.cf`: `name = value`, lines that begin with a blank go on, `#` only at the beginning of a line.

/// One setting as it stands there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: String,
    /// Counted from 1.
    pub(super) number: usize,
}

/// All settings, in order. A line without `=` is none.
pub(super) fn parse(text: &str) -> Vec<Line> {
    spans(text).into_iter().map(|(line, _)| line).collect()
}

/// Each setting with the number of lines it takes, continuation and the comments between included.
fn spans(text: &str) -> Vec<(Line, usize)> {
    let mut found: Vec<(Line, usize)> = Vec::new();
    let mut open = false;
    for (index, raw) in text.lines().enumerate() {
        let bare = raw.trim();
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if raw.starts_with([' ', '\t']) {
            if let Some((line, count)) = found.last_mut().filter(|_| open) {
                line.value = format!("{} {bare}", line.value).trim().to_owned();
                *count = index + 2 - line.number;
            }
            continue;
        }
        open = false;
        if let Some((name, value)) = bare.split_once('=') {
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            found.push((Line { name, value, number: index + 1 }, 1));
            open = true;
        }
    }
    found
}

/// Where a setting stands: the last one counts, as in Postfix.
fn place(text: &str, name: &str) -> Option<(usize, usize)> {
    let found = spans(text).into_iter().rev().find(|(line, _)| line.name == name)?;
    Some((found.0.number - 1, found.0.number - 1 + found.1))
}

pub(super) fn set(text: &str, name: &str, value: &str) -> String {
    let line = format!("{name} = {value}").trim_end().to_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    match place(text, name) {
        Some((start, end)) => _ = lines.splice(start..end, [line.as_str()]),
        None => {
            let commented = lines.iter().position(|old| comments(old, name));
            lines.insert(commented.map_or(lines.len(), |index| index + 1), &line);
        }
    }
    lines.join("\n") + "\n"
}

pub(super) fn unset(text: &str, name: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut rest = text.to_owned();
    while let Some((start, end)) = place(&rest, name) {
        lines.drain(start..end);
        rest = lines.join("\n");
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Is this line `#name = …`?
fn comments(line: &str, name: &str) -> bool {
    let body = line.strip_prefix('#').and_then(|rest| rest.strip_prefix(name));
    body.is_some_and(|rest| rest.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\nmyhostname = vm\nmydestination = $myhostname,\n  localhost\n# in between\n\tvm.local\n\
                        nonsense\n  goes on\nmyhostname=pc\n";

    #[test]
    fn lines_go_on_and_comments_do_not_end_them() {
        let found: Vec<(String, String, usize)> =
            parse(TEXT).into_iter().map(|line| (line.name, line.value, line.number)).collect();
        let wanted =
            [("myhostname", "vm", 2), ("mydestination", "$myhostname, localhost vm.local", 3), ("myhostname", "pc", 9)];
        assert_eq!(found, wanted.map(|(name, value, line)| (name.to_owned(), value.to_owned(), line)));
    }

    #[test]
    fn a_setting_is_changed_in_its_place() {
        let changed = set(TEXT, "mydestination", "localhost");
        assert_eq!(
            changed,
            "# comment\nmyhostname = vm\nmydestination = localhost\nnonsense\n  goes on\nmyhostname=pc\n"
        );
        assert!(set(TEXT, "myhostname", "x").ends_with("nonsense\n  goes on\nmyhostname = x\n"));
        assert_eq!(
            set("#home_mailbox = Maildir/\n#x\n", "home_mailbox", "M/"),
            "#home_mailbox = Maildir/\nhome_mailbox = M/\n#x\n"
        );
        assert_eq!(set("", "relayhost", ""), "relayhost =\n");
        assert!(!unset(TEXT, "myhostname").contains("myhostname ="));
    }
}
