//! Changing one value in the text of a file, and nothing else: comments and order stay.

use crate::param::{self, Kind};
use crate::yaml::leading_name;

/// `text` with `name` set to `value`. A line that sets it is replaced; else the new line goes below the commented
/// default (`#name: ...`) if there is one, else at the end.
#[must_use]
pub fn set(text: &str, name: &str, value: &str) -> String {
    let line = format!("{name}: {}", written(name, value));
    let mut lines: Vec<&str> = text.lines().collect();
    match span(&lines, name) {
        Some((start, end)) => _ = lines.splice(start..end, [line.as_str()]),
        None => {
            let commented = lines.iter().position(|old| commented_name(old) == Some(name));
            lines.insert(commented.map_or(lines.len(), |index| index + 1), &line);
        }
    }
    lines.join("\n") + "\n"
}

/// `text` without a line that sets `name`: the default holds again.
#[must_use]
pub fn unset(text: &str, name: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some((start, end)) = span(&lines, name) {
        lines.drain(start..end);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The lines of an entry: its own, and the indented or dashed ones that belong to it.
fn span(lines: &[&str], name: &str) -> Option<(usize, usize)> {
    let sets = |line: &&str| leading_name(line).is_some_and(|(other, rest)| other == name && rest.starts_with(':'));
    let start = lines.iter().position(sets)?;
    let belongs = |line: &&&str| line.starts_with([' ', '\t']) || line.starts_with("- ") || **line == "-";
    let more = lines.get(start + 1..)?.iter().take_while(belongs).count();
    Some((start, start + 1 + more))
}

fn commented_name(line: &str) -> Option<&str> {
    let (name, rest) = leading_name(line.strip_prefix('#')?)?;
    rest.starts_with(": ").then_some(name).or_else(|| (rest == ":").then_some(name))
}

/// The value as it must stand in YAML: in quotes where it would mean something else without.
pub(crate) fn written(name: &str, value: &str) -> String {
    let numeric = matches!(param::find(name).map(|row| row.kind), Some(Kind::Number(..) | Kind::Bytes));
    let plain = |c: char| c.is_alphanumeric() || "/._-+$@,()=:{}[] ".contains(c);
    let starts = |c: char| c.is_alphanumeric() || "/$+.".contains(c);
    let safe = value.starts_with(starts)
        && value.chars().all(plain)
        && !value.contains(": ")
        && !value.ends_with([':', ' '])
        && value != "null";
    match (safe || numeric, value.contains(['\n', '\\'])) {
        (true, _) => value.to_owned(),
        (false, false) => format!("'{}'", value.replace('\'', "''")),
        (false, true) => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    #[test]
    fn comments_and_order_stay() {
        let old = "# mine\nbiff: no # really\nmynetworks:\n  - 127.0.0.0/8\n\n# end\n";
        assert_eq!(set(old, "biff", "yes"), "# mine\nbiff: yes\nmynetworks:\n  - 127.0.0.0/8\n\n# end\n");
        assert_eq!(
            set(old, "mynetworks", "10.0.0.0/8"),
            "# mine\nbiff: no # really\nmynetworks: 10.0.0.0/8\n\n# end\n"
        );
        assert_eq!(set("#biff: no\n#x\n", "biff", "yes"), "#biff: no\nbiff: yes\n#x\n");
        assert_eq!(set("", "biff", "yes"), "biff: yes\n");
        assert_eq!(unset(old, "mynetworks"), "# mine\nbiff: no # really\n\n# end\n");
    }

    #[test]
    fn any_text_comes_back_as_it_was() {
        for value in [
            "Maildir/",
            "*, ::",
            "[::1]/128 127.0.0.0/8",
            "it's",
            "a: b",
            "# no",
            "procmail -a \"$EXTENSION\"",
            "+",
            "-",
            "a\\b",
            "",
            "é",
        ] {
            let config = Config::parse(Path::new("/"), &set("", "mailbox_command", value)).unwrap();
            assert_eq!(config.text("mailbox_command"), value);
        }
    }
}
