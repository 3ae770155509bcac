//! The log: one line per `tracing` event, to syslog (RFC 3164, facility mail) or to the file `maillog_file`. Where no
//! syslog daemon writes `/var/log/mail.log`, root's programs write it besides.
//!
//! Promise: an event is exactly one line written by one system call, control characters escaped; the socket or file is
//! opened by [`init`], so call it before privileges go and before a jail. A log that cannot be written never stops
//! mail: the line is lost. Level warn is prefixed `warning: `, error `error: `, target `fatal` `fatal: `.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

mod unwritten;

use unwritten::Unwritten;

/// Where lines go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What stands before the slash: `syslog_name`.
    pub name: String,
    /// `maillog_file`; `None` is syslog.
    pub file: Option<PathBuf>,
}

/// Opens the log and makes it the process's. From then on a panic in any thread is a line and the end of the process: one
/// whose work goes on without a part of it is deaf, and nobody starts it again.
///
/// # Errors
/// When the file cannot be opened, or a log is set already. A missing syslog is no error.
pub fn init(program: &str, settings: &Settings) -> io::Result<()> {
    let tag = format!("{}/{program}[{}]: ", settings.name, std::process::id());
    let sink = match &settings.file {
        Some(path) => Sink::file(path)?,
        None => Sink::Syslog {
            path: DEV_LOG.into(),
            socket: Mutex::new(connect(Path::new(DEV_LOG)).ok()),
            unwritten: Unwritten::open(),
        },
    };
    let layer = Lines { tag, sink, zone: TimeZone::system() };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(target: "panic", "{panic}");
        std::process::abort();
    }));
    Ok(())
}

/// Writes a line `fatal: …`, to standard error too; the caller then exits with status 1.
pub fn fatal(text: impl fmt::Display) {
    tracing::error!(target: "fatal", "{text}");
    let _ = writeln!(io::stderr(), "fatal: {text}");
}

/// A layer that writes lines.
struct Lines {
    tag: String,
    sink: Sink,
    zone: TimeZone,
}

enum Sink {
    Syslog { path: PathBuf, socket: Mutex<Option<UnixDatagram>>, unwritten: Option<Unwritten> },
    File { file: File, host: String },
}

impl Sink {
    fn file(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        Ok(Self::File { file, host: short_host()? })
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (severity, prefix) = rank(event.metadata());
        let mut line = Text(self.begun(severity, prefix));
        event.record(&mut line);
        self.send(line.0);
    }
}

/// The machine's name as syslog daemons write it.
fn short_host() -> io::Result<String> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    Ok(host.split('.').next().unwrap_or("localhost").into())
}

impl Lines {
    /// The part of a line before its text.
    fn begun(&self, severity: u8, prefix: &str) -> String {
        let mut line = String::with_capacity(256);
        if let Sink::Syslog { .. } = self.sink {
            let _ = write!(line, "<{}>", FACILITY_MAIL << 3 | severity);
        }
        self.push_time(&mut line);
        if let Sink::File { host, .. } = &self.sink {
            line.push_str(host);
            line.push(' ');
        }
        line.push_str(&self.tag);
        line.push_str(prefix);
        line
    }

    /// `Nov 20 16:11:07 `, made once a second for each thread.
    fn push_time(&self, line: &mut String) {
        let now = Timestamp::now();
        MADE.with_borrow_mut(|(second, text)| {
            if *second != Some(now.as_second()) {
                *second = Some(now.as_second());
                *text = now.to_zoned(self.zone.clone()).strftime("%b %e %H:%M:%S ").to_string();
            }
            line.push_str(text);
        });
    }

    fn send(&self, mut line: String) {
        match &self.sink {
            Sink::File { file, .. } => {
                line.push('\n');
                let mut file = file;
                let _ = file.write_all(line.as_bytes());
            }
            Sink::Syslog { path, socket, unwritten } => {
                send(path, socket, line.as_bytes());
                if let Some(unwritten) = unwritten {
                    unwritten.write(|host| as_in_file(&line, host));
                }
            }
        }
    }
}

/// A line for syslog as syslog daemons write it to a file: without the rank, the machine's name after the time.
fn as_in_file(line: &str, host: &str) -> String {
    let line = line.split_once('>').map_or(line, |(_, line)| line);
    let (time, rest) = line.split_at_checked(TIME_LENGTH).unwrap_or(("", line));
    format!("{time}{host} {rest}\n")
}

thread_local! {
    /// The second a time was last made for, and that time. There is one log, so one time zone, in a process.
    static MADE: RefCell<(Option<i64>, String)> = const { RefCell::new((None, String::new())) };
}

/// Sends to syslog; after a restart of the syslog daemon the old socket fails and a new one is made.
fn send(path: &Path, socket: &Mutex<Option<UnixDatagram>>, line: &[u8]) {
    let mut socket = socket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if socket.as_ref().is_some_and(|open| open.send(line).is_ok()) {
        return;
    }
    *socket = connect(path).ok();
    if let Some(open) = socket.as_ref() {
        let _ = open.send(line);
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn rank(metadata: &Metadata<'_>) -> (u8, &'static str) {
    match (*metadata.level(), metadata.target()) {
        (Level::ERROR, "fatal") => (2, "fatal: "),
        (Level::ERROR, "panic") => (2, "panic: "),
        (Level::ERROR, _) => (3, "error: "),
        (Level::WARN, _) => (4, "warning: "),
        (Level::INFO, _) => (6, ""),
        (_, _) => (7, "debug: "),
    }
}

/// The message first, then other fields as ` name=value`; control characters as `?`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut escape = Escape(&mut self.0);
        let _ = match field.name() {
            "message" => write!(escape, "{value:?}"),
            name => write!(escape, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

struct Escape<'a>(&'a mut String);

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.chars().any(char::is_control) {
            self.0.extend(text.chars().map(|c| if c.is_control() { '?' } else { c }));
        } else {
            self.0.push_str(text);
        }
        Ok(())
    }
}

const DEV_LOG: &str = "/dev/log";
const FACILITY_MAIL: u8 = 2;
/// Of `Nov 20 16:11:07 `.
const TIME_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(sink: Sink) -> Lines {
        Lines { tag: "facteur/smtpd[533]: ".into(), sink, zone: TimeZone::UTC }
    }

    #[test]
    fn one_event_is_one_line_of_the_file() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("mail.log");
        let layer = lines(Sink::file(&path).expect("open"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("connect from {}", "evil\r\nNov 20 forged");
            tracing::warn!("odd");
            tracing::error!(target: "fatal", "port taken");
            tracing::debug!("not written");
        });
        let text = std::fs::read_to_string(&path).expect("read");
        let after: Vec<&str> = text.lines().filter_map(|l| l.split_once("]: ")).map(|(_, t)| t).collect();
        assert_eq!(after, ["connect from evil??Nov 20 forged", "warning: odd", "fatal: port taken"]);
    }

    #[test]
    fn a_line_for_syslog_becomes_one_of_a_file() {
        let line = "<22>Nov 20 16:11:07 facteur/smtpd[533]: a > b";
        assert_eq!(as_in_file(line, "vm"), "Nov 20 16:11:07 vm facteur/smtpd[533]: a > b\n");
    }

    #[test]
    fn syslog_may_come_late_and_come_back() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log");
        let layer = lines(Sink::Syslog { path: path.clone(), socket: Mutex::new(None), unwritten: None });
        let write = |text: &str| layer.send(layer.begun(6, "") + text);
        write("lost");
        for text in ["first", "second"] {
            let syslog = UnixDatagram::bind(&path).expect("bind");
            write(text);
            let mut buffer = [0; 200];
            let length = syslog.recv(&mut buffer).expect("receive");
            let line = std::str::from_utf8(&buffer[..length]).expect("text");
            assert!(line.starts_with("<22>") && line.ends_with(&format!(" facteur/smtpd[533]: {text}")), "{line}");
            drop(syslog);
            std::fs::remove_file(&path).expect("remove");
        }
    }

    /// Runs itself again as a program with a log, one of whose threads panics while the first one would wait for ever.
    #[test]
    fn a_panic_in_any_thread_is_a_line_and_the_end() {
        use std::os::unix::process::ExitStatusExt;
        const FILE: &str = "FACTEUR_TEST_PANIC";
        if let Some(path) = std::env::var_os(FILE) {
            init("smtpd", &Settings { name: "facteur".into(), file: Some(path.into()) }).expect("a log");
            std::thread::spawn(|| panic!("on purpose"));
            loop {
                std::thread::park();
            }
        }
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("mail.log");
        let ended = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "log::tests::a_panic_in_any_thread_is_a_line_and_the_end"])
            .env(FILE, &path)
            .output()
            .expect("run");
        let text = std::fs::read_to_string(&path).expect("a log");
        assert_eq!(ended.status.signal(), Some(nix::libc::SIGABRT), "{text}");
        assert!(text.contains("panic: ") && text.contains("on purpose") && text.lines().count() == 1, "{text}");
    }
}
