//! `facteur log summary`: how much mail came and went in a period, from whom, to whom, and what went wrong.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use config::Config;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _, Zoned};

use super::totals::{Share, Totals};
use crate::arguments::Period;
use crate::record::{self, Record};

/// `facteur log summary`.
pub(super) fn run(config: &Config, period: &Period) -> Result<ExitCode> {
    let now = Zoned::now();
    let bound = |text: &Option<String>| text.as_deref().map(|text| moment(text, &now)).transpose();
    let (since, until) = (bound(&period.since)?, bound(&period.until)?);
    let mut totals = Totals::default();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    let files = match &period.file {
        Some(file) => vec![file.clone()],
        None => record::files(config).to_vec(),
    };
    for file in files {
        let read = record::read_back(&file, u64::MAX, |line| {
            let Some(record) = Record::parse(line, config.text("syslog_name")) else { return };
            let Some(time) = record.moment(&now) else { return };
            if since.is_some_and(|since| time < since) || until.is_some_and(|until| time >= until) {
                return;
            }
            span =
                Some((span.map_or(time, |(first, _)| first.min(time)), span.map_or(time, |(_, last)| last.max(time))));
            let hour = time.to_zoned(TimeZone::system()).hour();
            totals.add(&record, usize::try_from(hour).unwrap_or(0));
        });
        read.with_context(|| format!("{} cannot be read", file.display()))?;
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    match span {
        None => writeln!(out, "There is nothing in the log of that time.")?,
        Some(span) => {
            print(&mut out, &totals, span, period.rows.unwrap_or(10))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, totals: &Totals, span: (Timestamp, Timestamp), rows: usize) -> io::Result<()> {
    let clock = |time: Timestamp| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string();
    writeln!(out, "Mail from {} to {}\n", clock(span.0), clock(span.1))?;
    let Totals { people, reasons, .. } = totals;
    let counts = [
        ("received", totals.received),
        ("delivered", totals.delivered),
        ("forwarded", totals.forwarded),
        ("deferred", totals.deferred.len() as u64),
        ("bounced", totals.bounced),
        ("rejected", totals.rejected),
        ("held", totals.held),
        ("deleted by hand", totals.removed_by_hand),
        ("bytes received", totals.bytes_received),
        ("bytes delivered", totals.bytes_delivered),
        ("senders", people.senders.len() as u64),
        ("sending domains", people.sending_domains.len() as u64),
        ("recipients", people.recipients.len() as u64),
        ("recipient domains", people.recipient_domains.len() as u64),
    ];
    for (name, count) in counts {
        writeln!(
            out,
            "{count:10}  {name}{}",
            if name == "deferred" { format!(" ({} deferrals)", totals.deferrals) } else { String::new() }
        )?;
    }
    hours(out, totals)?;
    let tables = [
        ("Senders", &people.senders),
        ("Recipients", &people.recipients),
        ("Sending domains", &people.sending_domains),
        ("Recipient domains", &people.recipient_domains),
        ("Deferred because", &reasons.deferrals),
        ("Bounced because", &reasons.bounces),
        ("Rejected because", &reasons.rejections),
        ("Warnings", &reasons.warnings),
        ("Logins", &people.logins),
        ("Failed logins, by address", &people.failed_logins),
    ];
    tables.into_iter().try_for_each(|(title, table)| list(out, title, table, rows))
}

fn hours(out: &mut impl Write, totals: &Totals) -> io::Result<()> {
    writeln!(out, "\nHour   received  delivered   deferred    bounced   rejected")?;
    for (hour, row) in totals.hours.iter().enumerate().filter(|(_, row)| row.iter().any(|count| *count > 0)) {
        let columns: String = row.iter().map(|count| format!("{count:>11}")).collect();
        writeln!(out, "{hour:02}  {columns}")?;
    }
    Ok(())
}

/// The largest first.
fn list(out: &mut impl Write, title: &str, table: &BTreeMap<String, Share>, rows: usize) -> io::Result<()> {
    if table.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    let mut sorted: Vec<(&String, &Share)> = table.iter().collect();
    sorted.sort_by_key(|(_, share)| std::cmp::Reverse(share.count));
    for (name, share) in sorted.iter().take(rows) {
        let bytes = if share.bytes > 0 { format!("  {} bytes", share.bytes) } else { String::new() };
        writeln!(out, "{:10}  {name}{bytes}", share.count)?;
    }
    match sorted.len().saturating_sub(rows) {
        0 => Ok(()),
        more => writeln!(out, "{:10}  more (--rows shows them)", format!("+{more}")),
    }
}

/// A time as people write it; see `facteur log summary --help`.
fn moment(text: &str, now: &Zoned) -> Result<Timestamp> {
    let wrong = || anyhow!("\"{text}\" is no time: write 2026-11-20, \"2026-11-20 16:30\", yesterday, today, 2h or 3d");
    let start = |date: Date| date.to_zoned(TimeZone::system()).map(|day| day.timestamp());
    match text {
        "today" => return Ok(start(now.date())?),
        "yesterday" => return Ok(start(now.date().yesterday()?)?),
        "now" => return Ok(now.timestamp()),
        _ => {}
    }
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return Ok(start(date)?);
    }
    for format in ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"] {
        if let Ok(time) = DateTime::strptime(format, text) {
            return Ok(time.to_zoned(TimeZone::system())?.timestamp());
        }
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(end);
    let count: i64 = count.parse().map_err(|_| wrong())?;
    let age: Span = match unit.trim() {
        "m" | "min" => 1.minutes(),
        "h" => 1.hours(),
        "d" => 24.hours(),
        "w" => 168.hours(),
        _ => return Err(wrong()),
    };
    now.timestamp().checked_sub(age.checked_mul(count)?).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now = Zoned::now();
        let seconds = |text: &str| now.timestamp().as_second() - moment(text, &now).unwrap().as_second();
        assert_eq!((seconds("2h"), seconds("3d"), seconds("90min"), seconds("now")), (7200, 259_200, 5400, 0));
        assert!(seconds("yesterday") > seconds("today") && seconds("2026-01-01") >= seconds("2026-01-01 00:30"));
        assert!(
            moment("someday", &now).is_err()
                && moment("", &now).is_err()
                && moment("99999999999999999999d", &now).is_err()
        );
    }
}
