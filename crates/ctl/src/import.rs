//! `facteur import`: what the configuration of Postfix and Dovecot means here, line by line; with `--write`, put in
//! `facteur.yaml`, where it can be changed like anything else, and where the live files of facteur-compat count more.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use config::foreign::{self, Finding, Verdict};
use config::{Config, edit, param};

use crate::arguments::ImportOptions;
use crate::settings;

/// `facteur import`.
pub(crate) fn run(options: &ImportOptions, dir: &Path) -> Result<()> {
    let mut findings = read(&options.postfix, &options.dovecot)?;
    if findings.is_empty() {
        let (postfix, dovecot) = (options.postfix.display(), options.dovecot.display());
        bail!("there is nothing to import in {postfix} and {dovecot}");
    }
    let text = drop_wrong_values(&mut findings, dir)?;
    let mut out = io::stdout().lock();
    report(&mut out, &findings)?;
    match (options.write, text.is_empty()) {
        (_, true) => writeln!(out, "\nAll of that is what Facteur does anyway: nothing to write.")?,
        (false, false) => writeln!(out, "\nNothing was changed. To take this over: facteur import --write")?,
        (true, false) => {
            settings::change(dir, |old| merge(old, &findings))?;
            writeln!(out, "\nWritten to {}/{}. Now: facteur check && facteur reload", dir.display(), Config::FILE)?;
        }
    }
    Ok(())
}

fn read(postfix: &Path, dovecot: &Path) -> Result<Vec<Finding>> {
    let mut found = foreign::postfix(postfix).map_err(|problem| anyhow!("{problem}"))?;
    found.extend(foreign::dovecot(dovecot).map_err(|problem| anyhow!("{problem}"))?);
    Ok(found)
}

/// The YAML of what was taken over; values that would be refused become findings that say why.
fn drop_wrong_values(findings: &mut [Finding], dir: &Path) -> Result<String> {
    loop {
        let (text, origin) = yaml(findings);
        let Err(problems) = Config::parse(dir, &text) else { return Ok(text) };
        let wrong: HashMap<usize, &str> = problems.iter().map(|one| (one.line, one.text.as_str())).collect();
        let mut mended = false;
        for (line, index) in origin.iter().enumerate() {
            let (Some(why), Some(finding)) = (wrong.get(&(line + 1)), findings.get_mut(*index)) else { continue };
            let why = why.split_once(": ").map_or(*why, |(_, why)| why);
            finding.verdict = Verdict::Ignored(why.to_owned());
            mended = true;
        }
        if !mended {
            bail!("{}", config::lines(problems));
        }
    }
}

/// One line for each parameter that differs from its default; and which finding it comes from.
fn yaml(findings: &[Finding]) -> (String, Vec<usize>) {
    let mut rows = last_values(findings);
    rows.retain(|row| !row.is_default());
    let text = rows.iter().fold(String::new(), |text, row| edit::set(&text, row.name, row.value));
    (text, rows.iter().map(|row| row.index).collect())
}

/// `old` with what was taken over; a default there leaves our default.
fn merge(old: &str, findings: &[Finding]) -> String {
    last_values(findings).iter().fold(old.to_owned(), |text, row| match row.is_default() {
        true => edit::unset(&text, row.name),
        false => edit::set(&text, row.name, row.value),
    })
}

/// What counts in the end of one parameter.
struct Row<'a> {
    name: &'static str,
    value: &'a str,
    index: usize,
}

impl Row<'_> {
    fn is_default(&self) -> bool {
        param::find(self.name).is_some_and(|row| row.default.describe() == self.value)
    }
}

/// The last value of each parameter, in the order of the findings.
fn last_values(findings: &[Finding]) -> Vec<Row<'_>> {
    let mut last: HashMap<&str, Row> = HashMap::new();
    for (index, finding) in findings.iter().enumerate() {
        if let Verdict::Taken { name, value } = &finding.verdict {
            last.insert(name, Row { name, value, index });
        }
    }
    let mut rows: Vec<Row> = last.into_values().collect();
    rows.sort_by_key(|row| row.index);
    rows
}

fn report(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    let mut file = PathBuf::new();
    let mut counts = [0; 3];
    for finding in findings {
        if finding.source.file != file {
            file.clone_from(&finding.source.file);
            writeln!(out, "{}", file.display())?;
        }
        let (kind, told) = match &finding.verdict {
            Verdict::Taken { name, value } => (0, format!("-> {name}: {value}").trim_end().to_owned()),
            Verdict::Needless(why) => (1, format!("not needed: {why}")),
            Verdict::Ignored(why) => (2, format!("IGNORED: {why}")),
        };
        counts[kind] += 1;
        let theirs = format!("{} = {}", finding.name, finding.value);
        writeln!(out, "{:5}  {}\n         {told}", finding.source.line, theirs.trim_end())?;
    }
    let [taken, needless, ignored] = counts;
    writeln!(out, "\n{taken} understood, {needless} not needed, {ignored} ignored")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn wrong_values_are_told_and_left_out() {
        let home = tempfile::tempdir().unwrap();
        let lines =
            "myhostname = a.b.fr\nmailbox_size_limit = many\nmydestination = $myhostname\nsmtpd_helo_required = no\n";
        fs::write(home.path().join("main.cf"), lines).unwrap();
        let mut found = read(home.path(), Path::new("/no/such")).unwrap();
        let text = drop_wrong_values(&mut found, home.path()).unwrap();
        assert_eq!(text, "myhostname: a.b.fr\nmydestination: $myhostname\n");
        let old = "# mine\nrelayhost: r\nsmtpd_helo_required: yes\nmyhostname: x.y\n";
        let merged = "# mine\nrelayhost: r\nmyhostname: a.b.fr\nmydestination: $myhostname\n";
        assert_eq!(merge(old, &found), merged);
        let mut out = Vec::new();
        report(&mut out, &found).unwrap();
        let out = String::from_utf8(out).unwrap();
        let wanted =
            "    2  mailbox_size_limit = many\n         IGNORED: \"many\" is not a size: write 10240000 or 10M\n";
        assert!(out.contains(wanted), "{out}");
        assert!(out.ends_with("\n3 understood, 0 not needed, 1 ignored\n"), "{out}");
    }
}
