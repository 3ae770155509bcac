//! The colours of a line: what went well is green, what waits is yellow, what failed is red.

use crate::record::Record;

/// The whole line, coloured for a terminal. What the peer said cannot colour anything: control signs are escaped.
pub(super) fn line(record: &Record) -> String {
    let Record { time, program, .. } = record;
    let text: String = record.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let colour = match () {
        () if text.contains("status=sent") || text.starts_with("Login: ") => GREEN,
        () if text.contains("status=deferred") || text.starts_with("warning: ") => YELLOW,
        () if is_problem(&text) => RED,
        () => "",
    };
    let shown = match record.message() {
        Some((id, _)) => format!("{BLUE}{id}{END}:{colour}{}", text.get(id.len() + 1..).unwrap_or_default()),
        None => format!("{colour}{text}"),
    };
    format!("{GREY}{time}{END} {BOLD}{program}{END} {shown}{END}")
}

/// Something that an administrator should see.
pub(super) fn is_problem(text: &str) -> bool {
    let marks = [
        "status=bounced",
        "status=deferred",
        "status=expired",
        "reject: ",
        "auth failed",
        "uthentication failed",
        "authentication failure",
    ];
    let starts = ["warning: ", "error: ", "fatal: ", "panic: "];
    starts.iter().any(|start| text.starts_with(start)) || marks.iter().any(|mark| text.contains(mark))
}

const BLUE: &str = "\x1b[34m";
const BOLD: &str = "\x1b[1m";
const END: &str = "\x1b[0m";
const GREEN: &str = "\x1b[32m";
const GREY: &str = "\x1b[90m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_colour() {
        let record = Record::parse("Nov 20 16:11:50 vm facteur/smtpd[5]: warning: bad \x1b[31m", "facteur").unwrap();
        let shown = line(&record);
        assert!(
            shown.starts_with("\x1b[90mNov 20 16:11:50\x1b[0m \x1b[1msmtpd\x1b[0m \x1b[33mwarning: bad ?[31m"),
            "{shown:?}"
        );
    }
}
