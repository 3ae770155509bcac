//! The command line of `sendmail`, in the manner of 1980: options may be clustered, arguments may be attached.

use std::ffi::OsString;
use std::path::PathBuf;

use mail::{Body, Domain, Notify, QueueId, Ret};

use super::Exit;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mode: Mode,
    pub(super) config_dir: PathBuf,
    /// `-f`, as written; `""` and `<>` are the null sender.
    pub(super) sender: Option<String>,
    /// `-F`
    pub(super) full_name: Option<String>,
    pub(super) recipients: Vec<String>,
    pub(super) recipients_from: Recipients,
    pub(super) dots: Dots,
    pub(super) body: Body,
    pub(super) notify: Option<Notify>,
    pub(super) ret: Option<Ret>,
    pub(super) envid: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`
    #[default]
    Submit,
    /// `-bp`
    List,
    /// `-bi`, `-I`
    Aliases,
    /// `-bv`
    Verify,
    /// `-bs`
    Smtp,
    /// `-bd`, `-bD`
    Daemon,
    /// `-q`
    Flush,
    /// `-qI`
    FlushOne(QueueId),
    /// `-qR`
    FlushSite(Domain),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Recipients {
    #[default]
    CommandLine,
    /// `-t`: from the header as well.
    Header,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dots {
    /// A line with only a dot ends the message.
    #[default]
    End,
    /// `-i`: it is content.
    Content,
}

/// Reads the arguments of the program `name`.
pub(super) fn read(name: &str, arguments: &[OsString]) -> Result<Options, Exit> {
    let mode = match name {
        "mailq" => Mode::List,
        "newaliases" => Mode::Aliases,
        _ => Mode::Submit,
    };
    let mut options = Options { mode, config_dir: DEFAULT_DIR.into(), ..Options::default() };
    let mut rest = Words { arguments, at: 0 };
    while let Some(word) = rest.next()? {
        match word.strip_prefix('-') {
            Some("-") => break,
            Some(cluster) if !cluster.is_empty() => read_cluster(&mut options, cluster, &mut rest)?,
            _ => {
                rest.at -= 1;
                break;
            }
        }
    }
    while let Some(word) = rest.next()? {
        options.recipients.push(word.to_owned());
    }
    Ok(options)
}

struct Words<'a> {
    arguments: &'a [OsString],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<Option<&'a str>, Exit> {
        let Some(word) = self.arguments.get(self.at) else { return Ok(None) };
        self.at += 1;
        word.to_str().map(Some).ok_or_else(|| Exit::usage(format!("not UTF-8: {}", word.display())))
    }
}

/// The letters behind one dash.
fn read_cluster<'a>(options: &mut Options, mut cluster: &'a str, rest: &mut Words<'a>) -> Result<(), Exit> {
    while let Some(letter) = cluster.chars().next() {
        cluster = &cluster[letter.len_utf8()..];
        match letter {
            // Alone.
            'G' | 'm' | 'n' | 'U' | 'v' | 'x' | 'c' => continue,
            'i' => options.dots = Dots::Content,
            'I' => options.mode = Mode::Aliases,
            't' => options.recipients_from = Recipients::Header,
            // With an argument that must be attached.
            'q' => return read_queue(options, cluster),
            'd' => return Ok(()),
            // With an argument, attached or in the next word.
            _ => {
                let argument = if cluster.is_empty() { rest.next()? } else { Some(cluster) };
                let argument = argument.ok_or_else(|| Exit::usage(format!("option -{letter} needs an argument")))?;
                return read_argument(options, letter, argument);
            }
        }
    }
    Ok(())
}

fn read_argument(options: &mut Options, letter: char, argument: &str) -> Result<(), Exit> {
    match letter {
        'b' => options.mode = mode(argument)?,
        'B' => options.body = body(argument)?,
        'C' => options.config_dir = config_dir(argument),
        'f' | 'r' => options.sender = Some(argument.to_owned()),
        'F' => options.full_name = Some(argument.to_owned()),
        'N' => options.notify = Some(notify(argument)?),
        'o' if argument.starts_with('i') => options.dots = Dots::Content,
        'R' => options.ret = Some(ret(argument)?),
        'V' => options.envid = Some(argument.to_owned()),
        // Address class, error mode, hop count, label, options, protocol, transcript: nothing here depends on them.
        'A' | 'e' | 'h' | 'L' | 'o' | 'O' | 'p' | 'X' => {}
        _ => return Err(Exit::usage(format!("unknown option -{letter}\n{USAGE}"))),
    }
    Ok(())
}

fn mode(argument: &str) -> Result<Mode, Exit> {
    match argument {
        "m" => Ok(Mode::Submit),
        "p" => Ok(Mode::List),
        "i" => Ok(Mode::Aliases),
        "v" => Ok(Mode::Verify),
        "s" => Ok(Mode::Smtp),
        "d" | "D" | "l" => Ok(Mode::Daemon),
        _ => Err(Exit::usage(format!("unknown mode -b{argument}\n{USAGE}"))),
    }
}

/// All of it, a message (`-qI`), or what waits for a domain (`-qR`).
fn read_queue(options: &mut Options, argument: &str) -> Result<(), Exit> {
    options.mode = match argument.split_at_checked(1) {
        Some(("I", id)) => {
            Mode::FlushOne(QueueId::parse(id).ok_or_else(|| Exit::usage(format!("not a queue id: {id}")))?)
        }
        Some(("R", site)) => {
            let domain = Domain::parse(site.trim_matches(['[', ']']));
            Mode::FlushSite(domain.map_err(|_| Exit::usage(format!("not a domain: {site}")))?)
        }
        _ => Mode::Flush,
    };
    Ok(())
}

fn body(argument: &str) -> Result<Body, Exit> {
    match argument.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        _ => Err(Exit::usage(format!("-B: 7BIT or 8BITMIME, not {argument}"))),
    }
}

fn ret(argument: &str) -> Result<Ret, Exit> {
    match argument.to_ascii_lowercase().as_str() {
        "full" => Ok(Ret::Full),
        "hdrs" => Ok(Ret::Headers),
        _ => Err(Exit::usage(format!("-R: full or hdrs, not {argument}"))),
    }
}

fn notify(argument: &str) -> Result<Notify, Exit> {
    let mut notify = Notify::default();
    for word in argument.split(',').map(str::trim) {
        match word.to_ascii_lowercase().as_str() {
            "success" => notify.success = true,
            "failure" => notify.failure = true,
            "delay" => notify.delay = true,
            "never" if argument.trim().len() == word.len() => {}
            _ => return Err(Exit::usage(format!("-N: never, or some of success,failure,delay, not {argument}"))),
        }
    }
    Ok(notify)
}

/// People give the file as well as its folder.
fn config_dir(argument: &str) -> PathBuf {
    let path = PathBuf::from(argument);
    match (path.extension().is_some_and(|end| end == "yaml" || end == "cf"), path.parent()) {
        (true, Some(folder)) if folder.as_os_str().is_empty() => ".".into(),
        (true, Some(folder)) => folder.into(),
        _ => path,
    }
}

pub(super) const DEFAULT_DIR: &str = "/etc/facteur";
const USAGE: &str = "usage: sendmail [-t] [-i] [-f sender] [-F name] [-b mode] [-q] [recipient...]";

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, line: &str) -> Result<Options, Exit> {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        read(name, &words)
    }

    #[test]
    fn options_of_real_callers() {
        let mutt = options("sendmail", "-oem -oi -f kevin@vm -- toto luke@x.org").unwrap();
        assert_eq!((mutt.dots, mutt.sender.as_deref()), (Dots::Content, Some("kevin@vm")));
        assert_eq!(mutt.recipients, ["toto", "luke@x.org"]);
        let php = options("sendmail", "-t -i").unwrap();
        assert_eq!((php.recipients_from, php.dots), (Recipients::Header, Dots::Content));
        let clustered = options("sendmail", "-tif kevin").unwrap();
        assert_eq!((clustered.recipients_from, clustered.sender.as_deref()), (Recipients::Header, Some("kevin")));
        let cron = options("sendmail", "-FCronDaemon -i -B8BITMIME -oem root").unwrap();
        assert_eq!((cron.full_name.as_deref(), cron.body), (Some("CronDaemon"), Body::EightBitMime));
        assert_eq!(cron.recipients, ["root"]);
        let attached = options("sendmail", "-fkevin -ti -odb -Am -v -C /tmp/x/facteur.yaml").unwrap();
        assert_eq!((attached.sender.as_deref(), attached.config_dir.to_str()), (Some("kevin"), Some("/tmp/x")));
        let dsn = options("sendmail", "-N success,delay -R hdrs -V id1 kevin").unwrap();
        assert_eq!(dsn.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!((dsn.ret, dsn.envid.as_deref()), (Some(Ret::Headers), Some("id1")));
    }

    #[test]
    fn modes_by_name_and_by_option() {
        assert_eq!(options("mailq", "").unwrap().mode, Mode::List);
        assert_eq!(options("newaliases", "").unwrap().mode, Mode::Aliases);
        let modes = [("-bp", Mode::List), ("-bi", Mode::Aliases), ("-I", Mode::Aliases), ("-q", Mode::Flush)];
        let more = [
            ("-bs", Mode::Smtp),
            ("-qRx.org", Mode::FlushSite(Domain::parse("x.org").unwrap())),
            ("-b v", Mode::Verify),
            ("-bd -q30m", Mode::Flush),
            ("-bm", Mode::Submit),
        ];
        for (line, mode) in modes.into_iter().chain(more) {
            assert_eq!(options("sendmail", line).unwrap().mode, mode, "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused_as_usage() {
        for line in ["-f", "-bz", "-Z", "-Nmaybe", "-Nnever,delay", "-Rall", "-qIxyz", "-qRa@b", "-B9BIT"] {
            assert_eq!(options("sendmail", line).unwrap_err().status, 64, "{line}");
        }
    }
}
