//! A message from standard input to `facteur-drop`.
//!
//! The header is read first, because it may name the recipients; the body flows through. Lines may end in CRLF or LF
//! and go on with LF. What is dropped is what the user wrote, and a `From:` with the full name if there was none;
//! `pickup` completes the rest.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use config::Config;
use mail::header::{self, AddressItem};
use mail::{Address, Domain, Envelope, QueueId, Recipient};
use spool::{Origin, format};

use super::Exit;
use super::options::{Dots, Options, Recipients};

/// Reads the message, drops it.
pub(super) fn run(options: &Options, config: &Config) -> Result<(), Exit> {
    let mut input = Lines { input: BufReader::new(io::stdin()), dots: options.dots, ended: false };
    let (header, begun) = read_header(&mut input)?;
    let envelope = envelope(options, &header)?;
    let mut helper = Helper::start(config, &envelope)?;
    let mut content = move |helper: &mut Helper| -> io::Result<()> {
        helper.write(&header)?;
        if let Some(from) = missing_from(options, config, &header) {
            helper.write(from.as_bytes())?;
        }
        helper.write(b"\n")?;
        helper.write(&begun)?;
        while let Some(line) = input.next()? {
            helper.write(&line)?;
        }
        helper.end(envelope.recipients.len())
    };
    match content(&mut helper) {
        // It says itself why it does not listen any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => helper.outcome(),
        Err(error) => {
            helper.abandon();
            Err(Exit::temporary(format!("reading the message: {error}")))
        }
        Ok(()) => helper.outcome(),
    }
}

/// The lines of a message, each with an LF.
struct Lines<R> {
    input: R,
    dots: Dots,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut line = Vec::new();
        self.input.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            self.ended = true;
            return Ok(None);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let length = text.strip_suffix(b"\r").unwrap_or(text).len();
        line.truncate(length);
        if self.dots == Dots::End && line == b"." {
            self.ended = true;
            return Ok(None);
        }
        line.push(b'\n');
        Ok(Some(line))
    }
}

/// The header without the empty line that ends it, and a line of the body that was read to find its end. A first line
/// `From …` as in mbox files is no part of the message.
fn read_header(input: &mut Lines<impl BufRead>) -> Result<(Vec<u8>, Vec<u8>), Exit> {
    let mut header = Vec::new();
    let mut first = true;
    while let Some(line) = input.next().map_err(|error| Exit::temporary(format!("reading the message: {error}")))? {
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        match () {
            () if line == b"\n" => return Ok((header, Vec::new())),
            () if first && (line.starts_with(b"From ") || line.starts_with(b">From ")) => {}
            () if is_field(&line) || continues && !header.is_empty() => header.extend(line),
            () => return Ok((header, line)),
        }
        first = false;
        if header.len() > MAX_HEADER {
            return Err(Exit::data("the message header is too long"));
        }
    }
    Ok((header, Vec::new()))
}

/// `field-name ":"` of RFC 5322 §2.2, with the blanks before the colon that old mailers wrote.
pub(crate) fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|octet| *octet == b':') else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(|octet| octet.is_ascii_graphic())
}

fn envelope(options: &Options, header: &[u8]) -> Result<Envelope, Exit> {
    let mut addresses = Vec::new();
    for text in &options.recipients {
        addresses.extend(read_addresses(text.as_bytes())?);
    }
    if options.recipients_from == Recipients::Header {
        addresses.extend(header_recipients(header)?);
    }
    if addresses.is_empty() {
        return Err(match options.recipients_from {
            Recipients::Header => Exit::usage("No recipient addresses found in message header"),
            Recipients::CommandLine => {
                Exit::usage("Recipient addresses must be specified on the command line or via the -t option")
            }
        });
    }
    let reverse_path = sender(options)?;
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    let smtputf8 = addresses.iter().chain(&reverse_path).any(|address| !address.to_string().is_ascii());
    let recipient = |address| Recipient { notify: options.notify, ..Recipient::new(address) };
    Ok(Envelope {
        reverse_path,
        recipients: addresses.into_iter().map(recipient).collect(),
        body: options.body,
        smtputf8,
        ret: options.ret,
        envid: options.envid.clone(),
        filter: None,
    })
}

/// The fields of a resent message name its new recipients, and only they count then.
fn header_recipients(header: &[u8]) -> Result<Vec<Address>, Exit> {
    let resent = header::fields(header).any(|field| starts_with(field.name, b"resent-"));
    let names = if resent { ["Resent-To", "Resent-Cc", "Resent-Bcc"] } else { ["To", "Cc", "Bcc"] };
    let mut found = Vec::new();
    for field in header::fields(header).filter(|field| names.iter().any(|name| field.is(name))) {
        found.extend(read_addresses(&field.unfolded())?);
    }
    Ok(found)
}

fn starts_with(name: &[u8], begin: &[u8]) -> bool {
    name.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin))
}

/// The addresses of a list such as `kevin, "Toto X" <toto@vm>`.
pub(super) fn read_addresses(text: &[u8]) -> Result<Vec<Address>, Exit> {
    let mut found = Vec::new();
    for item in header::addresses(text) {
        let AddressItem::Mailbox { local, domain, .. } = item else { continue };
        let bad = || Exit::data(format!("bad address: {}", mail::event::escaped(&String::from_utf8_lossy(text))));
        let local = str::from_utf8(&local).map_err(|_| bad())?;
        let domain = domain.map(|octets| str::from_utf8(&octets).ok().and_then(|text| Domain::parse(text).ok()));
        let domain = domain.map(|read| read.ok_or_else(bad)).transpose()?;
        found.push(Address::new(local, domain).map_err(|_| bad())?);
    }
    Ok(found)
}

fn sender(options: &Options) -> Result<Option<Address>, Exit> {
    match options.sender.as_deref().map(str::trim) {
        None => Ok(Some(login()?)),
        Some("" | "<>") => Ok(None),
        Some(text) => match read_addresses(text.as_bytes())?.as_slice() {
            [address] => Ok(Some(address.clone())),
            _ => Err(Exit::usage(format!("bad sender address: {text}"))),
        },
    }
}

fn login() -> Result<Address, Exit> {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).map_err(|error| Exit::temporary(format!("user {uid}: {error}")))?;
    let name = user.map_or_else(|| format!("uid{uid}"), |user| user.name);
    Address::new(&name, None)
        .map_err(|_| Exit::data(format!("no sender address can be made of the user name {name:?}")))
}

/// `From:` with the name that `-F`, the environment or the user's entry tells.
fn missing_from(options: &Options, config: &Config, header: &[u8]) -> Option<String> {
    if header::find(header, "From").is_some() || header::find(header, "Resent-From").is_some() {
        return None;
    }
    let address = sender(options).ok()??;
    let address = match Domain::parse(config.text("myorigin")) {
        Ok(origin) => address.qualified(&origin),
        Err(_) => address,
    };
    let entry = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let gecos = || entry().and_then(|user| user.gecos.into_string().ok());
    let name = options.full_name.clone().or_else(|| std::env::var("NAME").ok()).or_else(gecos)?;
    let name = name.split(',').next().unwrap_or_default().trim().to_owned();
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(c));
    match name.as_str() {
        "" => None,
        name if name.chars().any(char::is_control) => None,
        name if plain => Some(format!("From: {name} <{address}>\n")),
        name => Some(format!("From: \"{}\" <{address}>\n", name.replace('\\', "\\\\").replace('"', "\\\""))),
    }
}

/// The running `facteur-drop`, and its pipe.
pub(super) struct Helper {
    child: std::process::Child,
    pipe: Option<ChildStdin>,
    /// Content that has not been sent yet.
    content: Vec<u8>,
    checksum: crc32fast::Hasher,
}

impl Helper {
    /// Starts it and tells it who writes to whom.
    pub(super) fn start(config: &Config, envelope: &Envelope) -> Result<Self, Exit> {
        let program = Path::new(config.text("daemon_directory")).join("facteur-drop");
        let mut command = Command::new(&program);
        if config.dir() != Path::new(super::options::DEFAULT_DIR) {
            command.arg("-c").arg(config.dir());
        }
        let failed = |error: io::Error| Exit::temporary(format!("{}: {error}", program.display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(failed)?;
        let pipe = child.stdin.take();
        let mut helper = Self { child, pipe, content: Vec::new(), checksum: crc32fast::Hasher::new() };
        // Who we are and how the message is called is the helper's to say. If it does not listen, its status says why.
        if helper.send(&format::prologue(QueueId::new(0, 0), envelope, &Origin::Internal)).is_err() {
            // It must not take what follows for the beginning.
            helper.pipe = None;
        }
        Ok(helper)
    }

    /// Adds content.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.checksum.update(content);
        self.content.extend_from_slice(content);
        if self.content.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Without this record nothing is dropped.
    pub(super) fn end(&mut self, recipients: usize) -> io::Result<()> {
        self.flush()?;
        self.send(&format::end_record(self.checksum.clone().finalize(), recipients))
    }

    fn flush(&mut self) -> io::Result<()> {
        for chunk in std::mem::take(&mut self.content).chunks(CHUNK) {
            self.send(&format::chunk_record(chunk))?;
        }
        Ok(())
    }

    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.pipe.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(octets)
    }

    /// What the helper made of it; it has said on standard error what went wrong.
    pub(super) fn outcome(mut self) -> Result<(), Exit> {
        drop(self.pipe.take());
        match self.child.wait().map(|status| status.code()) {
            Ok(Some(0)) => Ok(()),
            Ok(Some(code)) => Err(Exit::said(u8::try_from(code).unwrap_or(75))),
            Ok(None) => Err(Exit::temporary("facteur-drop was killed")),
            Err(error) => Err(Exit::temporary(format!("facteur-drop: {error}"))),
        }
    }

    /// Nothing is dropped.
    pub(super) fn abandon(mut self) {
        drop(self.pipe.take());
        self.child.wait().ok();
    }
}

const CHUNK: usize = 64 * 1024;
const MAX_HEADER: usize = 16 << 20;

#[cfg(test)]
mod tests;
