//! One line of the log, taken apart: `Nov 20 16:11:50 vm facteur/smtpd[533]: text`, or with an RFC 3339 time, as rsyslog
//! may be set to write.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use config::Config;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

/// A line of a program of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record<'a> {
    /// As it is written.
    pub(crate) time: &'a str,
    pub(crate) host: &'a str,
    /// `smtpd`; for `facteur/imap(kevin)<529><…>`: `imap`.
    pub(crate) program: &'a str,
    /// The number, where one stands.
    pub(crate) pid: &'a str,
    /// Everything behind the tag. For a session of a reader with its `(kevin)<529><…>: ` in front.
    pub(crate) text: &'a str,
}

impl<'a> Record<'a> {
    /// `None` for a line of somebody else's.
    pub(crate) fn parse(line: &'a str, syslog_name: &str) -> Option<Record<'a>> {
        let (time, rest) = divide_time(line)?;
        let (host, rest) = rest.split_once(' ')?;
        let rest = rest.strip_prefix(syslog_name)?.strip_prefix('/')?;
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))?;
        let (program, rest) = rest.split_at(end);
        match rest.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            Some((pid, text)) => Some(Record { time, host, program, pid, text }),
            None => Some(Record { time, host, program, pid: "", text: rest.trim_start_matches(": ") }),
        }
    }

    /// The queue id at the beginning, and what is said of that message.
    pub(crate) fn message(&self) -> Option<(&'a str, &'a str)> {
        let (id, text) = self.text.split_once(": ")?;
        mail::QueueId::parse(id).map(|_| (id, text))
    }

    /// When it was written. Without a year, the year that is not in the future.
    pub(crate) fn moment(&self, now: &Zoned) -> Option<Timestamp> {
        if let Ok(moment) = self.time.parse::<Timestamp>() {
            return Some(moment);
        }
        let civil = |year: i16| {
            let text = format!("{year} {}", self.time.split_whitespace().collect::<Vec<_>>().join(" "));
            let local = DateTime::strptime("%Y %b %d %H:%M:%S", text).ok()?;
            Some(local.to_zoned(TimeZone::system()).ok()?.timestamp())
        };
        let tomorrow = now.timestamp().checked_add(24.hours()).ok()?;
        civil(now.year()).filter(|moment| *moment <= tomorrow).or_else(|| civil(now.year() - 1))
    }
}

fn divide_time(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(|c: char| c.is_ascii_digit()) {
        return line.split_once(' ');
    }
    let (time, rest) = (line.get(..15)?, line.get(15..)?);
    Some((time, rest.strip_prefix(' ')?))
}

/// The log of the mail system.
pub(crate) fn file(config: &Config) -> PathBuf {
    config.path("maillog_file").unwrap_or_else(|| PathBuf::from("/var/log/mail.log"))
}

/// The log and its older part, the older first.
pub(crate) fn files(config: &Config) -> [PathBuf; 2] {
    let log = file(config);
    let mut older = log.clone().into_os_string();
    older.push(".1");
    [PathBuf::from(older), log]
}

/// Hands each line from about `back` octets before the end to `each`. No file: no line.
pub(crate) fn read_back(path: &Path, back: u64, mut each: impl FnMut(&str)) -> io::Result<()> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let start = file.metadata()?.len().saturating_sub(back);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(file);
    let mut octets = Vec::new();
    if start > 0 {
        reader.read_until(b'\n', &mut octets)?;
        octets.clear();
    }
    while reader.read_until(b'\n', &mut octets)? > 0 {
        each(String::from_utf8_lossy(&octets).trim_end_matches('\n'));
        octets.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ours() {
        let line = "Nov 20 16:11:50 vm facteur/smtpd[533]: connect from localhost[127.0.0.1]";
        let record = Record::parse(line, "facteur").unwrap();
        assert_eq!((record.time, record.host, record.program, record.pid), ("Nov 20 16:11:50", "vm", "smtpd", "533"));
        assert_eq!(record.text, "connect from localhost[127.0.0.1]");
        assert!(Record::parse(line, "postfix").is_none());
        let line = "2026-11-20T16:11:50.123456+01:00 vm facteur/imap(kevin)<5><x>: Disconnected";
        let record = Record::parse(line, "facteur").unwrap();
        assert_eq!((record.program, record.pid, record.text), ("imap", "", "(kevin)<5><x>: Disconnected"));
        assert_eq!(record.moment(&Zoned::now()).unwrap().to_string(), "2026-11-20T15:11:50.123456Z");
        assert!(Record::parse("Nov 20 short", "facteur").is_none() && Record::parse("é", "facteur").is_none());
    }

    #[test]
    fn a_time_without_a_year_is_not_in_the_future() {
        let now = "2026-01-02T10:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let moment =
            |line: &str| Record::parse(line, "f").unwrap().moment(&now).unwrap().to_zoned(TimeZone::system()).year();
        assert_eq!(moment("Dec 31 16:11:50 vm f/x[1]: y"), 2025);
        assert_eq!(moment("Jan  1 16:11:50 vm f/x[1]: y"), 2026);
    }
}
