//! What is made from the table: the commented sample file and the manual page facteur.yaml(5).

use std::fmt::Write as _;

use crate::edit;
use crate::param::{Default, Param, TABLE};

/// `etc/facteur.yaml`: every parameter with its default, commented out.
#[must_use]
pub fn sample() -> String {
    let mut out = String::from(SAMPLE_HEAD);
    for row in TABLE {
        let line = match row.default {
            Default::Fixed("") => format!("#{}:", row.name),
            Default::Fixed(text) => format!("#{}: {}", row.name, edit::written(row.name, text)),
            Default::HostName | Default::HostDomain | Default::MailName => {
                format!("#{}: ({})", row.name, row.default.describe())
            }
        };
        let _ = write!(out, "\n{}{line}\n", wrap(row.help, "# ", 110));
    }
    out
}

/// facteur.yaml(5) in the man macros.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(MANUAL_HEAD);
    for row in TABLE {
        out.push_str(&entry(row));
    }
    out.push_str(MANUAL_FOOT);
    out
}

fn entry(row: &Param) -> String {
    let default = match row.default.describe() {
        "" => "empty".to_owned(),
        text => text.to_owned(),
    };
    let programs = if row.programs.is_empty() { "nobody" } else { row.programs };
    let (kind, programs) = (row.kind.describe(), programs.replace(' ', ", "));
    format!(
        ".TP\n.B {}\n{}\n.br\nDefault: {}. Value: {}. Read by: {}.\n",
        escape(row.name),
        escape(row.help),
        escape(&default),
        escape(&kind),
        escape(&programs)
    )
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn wrap(text: &str, prefix: &str, width: usize) -> String {
    let (mut out, mut line) = (String::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && prefix.len() + line.len() + 1 + word.len() > width {
            let _ = writeln!(out, "{prefix}{line}");
            line.clear();
        }
        let gap = if line.is_empty() { "" } else { " " };
        let _ = write!(line, "{gap}{word}");
    }
    let _ = writeln!(out, "{prefix}{line}");
    out
}

const SAMPLE_HEAD: &str = "\
# Facteur's configuration. Each line below is commented out and shows the default: remove the # and change the value.
# A list may be written with commas or spaces, or as a YAML list. $name stands for the value of another parameter.
# Further files in conf.d/*.yaml are read after this one, in order. After a change: facteur check && facteur reload
";

const MANUAL_HEAD: &str = r#".\" made from the parameter table
.TH FACTEUR.YAML 5 "" "Facteur" "File formats"
.SH NAME
facteur.yaml \- configuration of the Facteur mail system
.SH SYNOPSIS
.B /etc/facteur/facteur.yaml
.br
.B /etc/facteur/conf.d/*.yaml
.SH DESCRIPTION
Lines of the form \fIname\fB: \fIvalue\fR. Text after \fB#\fR is a comment. The files in conf.d are read after the
main file, in the order of their names; a later value replaces an earlier one.
.PP
A list may be written with commas or spaces, or as a YAML list.
.B $name
and
.B ${name}
stand for the value of another parameter, in any order;
.B $$
is a dollar sign. Where a domain or a network may stand, a name with a leading slash means the lines of that file.
Times are written
.BR 30s ", " 5m ", " 4h ", " 5d ;
sizes
.BR 10240000 " or " 10M .
Values that YAML would read otherwise (such as
.BR * )
stand in quotes.
.PP
After a change,
.B facteur check
tells what is wrong and
.B facteur reload
makes the running system use it.
.SH PARAMETERS
"#;

const MANUAL_FOOT: &str = r#".SH FILES
/etc/facteur/facteur.yaml, /etc/mailname, /etc/aliases
.SH SEE ALSO
.BR facteur (1),
.BR aliases (5)
"#;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    #[test]
    fn the_sample_in_etc_is_the_one_made_from_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/facteur.yaml");
        if std::env::var_os("UPDATE_SAMPLE").is_some() {
            std::fs::write(&path, sample()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == sample(), "run: UPDATE_SAMPLE=1 cargo test -p config");
    }

    #[test]
    fn the_sample_with_its_marks_removed_means_the_defaults() {
        let sample = sample();
        let bare = sample.lines().filter_map(|line| line.strip_prefix('#'));
        let set = bare.filter(|line| !line.starts_with(' ') && !line.contains(": ("));
        let text: String = set.map(|line| line.replace(", /etc/mailname", "") + "\n").collect();
        let made = Config::parse(Path::new("/"), &text).unwrap();
        let plain =
            Config::parse(Path::new("/"), "mydestination: $myhostname, localhost.$mydomain, localhost").unwrap();
        for row in TABLE {
            assert_eq!(made.text(row.name), plain.text(row.name), "{}", row.name);
        }
    }

    #[test]
    fn every_name_is_in_the_manual() {
        let page = manual();
        assert!(TABLE.iter().all(|row| page.contains(&format!(".B {}\n", row.name))));
    }
}
