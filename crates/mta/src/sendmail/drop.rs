//! `facteur-drop`: puts one message into `maildrop`.
//!
//! Runs as: the user, with the group `setgid_group`, which alone may write in `maildrop`. May read: standard input, the
//! configuration. May write: `maildrop`. Exits with: 0 when the message is durable, else a code of `sysexits.h` and nothing is
//! left. It is the border between a user and the mail system: what it reads is hostile, and it trusts `-c` only where it
//! has no more rights than its caller.
//!
//! Standard input: the prologue of a queue file, `C` records with the content, a `Z` record. Without the `Z` record the
//! sender has gone, and nothing is dropped. Then, as everywhere: `maildrop/ID.tmp`, file sync, `rename_new`, directory sync,
//! status 0; a wake-up for `pickup`, which may be lost.

use std::io::{self, Read};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::Config;
use durable::Dir;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getegid, geteuid, getgid, getuid};
use spool::format::{self, Piece, Prologue};
use spool::{Damage, Incoming, Origin};

use super::options::DEFAULT_DIR;
use super::{Exit, finish, load};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match daemon::arguments::read_dir_only("facteur-drop") {
        Ok(dir) => finish("sendmail", run(dir)),
        Err(status) => status,
    }
}

fn run(dir: PathBuf) -> Result<(), Exit> {
    let borrowed_rights = getuid() != geteuid() || getgid() != getegid();
    if borrowed_rights && !getuid().is_root() && dir != Path::new(DEFAULT_DIR) {
        return Err(Exit::forbidden("facteur-drop: -c is for programs without special rights only"));
    }
    // Readable for `pickup`, which is another user; the directory keeps everybody else out.
    umask(Mode::from_bits_truncate(0o022));
    let config = load(&dir)?;
    let queue = PathBuf::from(config.text("queue_directory"));
    let failed = |what: &Path, error: &io::Error| Exit::temporary(format!("{}: {error}", what.display()));
    let maildrop = Dir::open(&queue).and_then(|root| root.subdir("maildrop"));
    let maildrop = maildrop.map_err(|error| failed(&queue.join("maildrop"), &error))?;
    take(&mut io::stdin().lock(), maildrop, &config)?;
    wake(&queue);
    Ok(())
}

/// Reads a message from `input` and drops it durably.
fn take(input: &mut impl Read, maildrop: Dir, config: &Config) -> Result<(), Exit> {
    let limit = config.bytes("message_size_limit");
    let mut stream = Stream { input, buffer: Vec::new() };
    let prologue = stream.prologue()?;
    let origin = Origin::Local { uid: getuid().as_raw() };
    let mut message = Incoming::outside(maildrop, 0o644, &prologue.envelope, &origin);
    let recipients = prologue.envelope.recipients.len();
    while let Some(content) = stream.content(recipients)? {
        if limit != 0 && message.size().saturating_add(content.len() as u64) > limit {
            return Err(Exit::unavailable(format!("message file too big (message_size_limit is {limit} bytes)")));
        }
        message.write(&content).map_err(|error| queue_error(&error))?;
    }
    message.commit().map(drop).map_err(|error| queue_error(&error))
}

fn queue_error(error: &io::Error) -> Exit {
    Exit::temporary(format!("queue file write error: {error}"))
}

/// What `sendmail` sends.
struct Stream<'a, R> {
    input: &'a mut R,
    buffer: Vec<u8>,
}

impl<R: Read> Stream<'_, R> {
    /// Asks for twice as much each time, so that a long list of recipients is not read over and over.
    fn prologue(&mut self) -> Result<Prologue, Exit> {
        let mut want = 4096;
        loop {
            let ended = !self.fill(want)?;
            match format::read_prologue(&self.buffer).map_err(malformed)? {
                Some((prologue, length)) => {
                    self.buffer.drain(..length);
                    return Ok(prologue);
                }
                None if ended => return Err(cut_off()),
                None if want >= MAX_PROLOGUE => return Err(Exit::data("too many recipients")),
                None => want *= 2,
            }
        }
    }

    /// The next piece of content; `None` at the end.
    fn content(&mut self, recipients: usize) -> Result<Option<Vec<u8>>, Exit> {
        let mut want = 1;
        loop {
            let ended = !self.fill(want)?;
            match format::read_piece(&self.buffer, recipients).map_err(malformed)? {
                Piece::Content(content, length) => {
                    let content = content.to_vec();
                    self.buffer.drain(..length);
                    return Ok(Some(content));
                }
                Piece::End(_) => return Ok(None),
                Piece::More if ended => return Err(cut_off()),
                Piece::More => want = self.buffer.len() + 4096,
            }
        }
    }

    /// Reads until at least `want` octets are there; false at the end of the input.
    fn fill(&mut self, want: usize) -> Result<bool, Exit> {
        let mut chunk = [0; 16 * 1024];
        while self.buffer.len() < want {
            match self.input.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Exit::temporary(format!("reading the message: {error}"))),
            }
        }
        Ok(true)
    }
}

fn malformed(damage: Damage) -> Exit {
    Exit::data(format!("facteur-drop: malformed input: {damage}"))
}

fn cut_off() -> Exit {
    Exit::temporary("facteur-drop: the message ends too early; nothing was queued")
}

/// Lost when `pickup` does not run; it looks at its directory when it starts.
fn wake(queue: &Path) {
    if let Ok(socket) = UnixDatagram::unbound() {
        socket.set_nonblocking(true).ok();
        socket.send_to(b"\n", queue.join("public").join("pickup")).ok();
    }
}

const MAX_PROLOGUE: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use durable::Access;
    use mail::{Address, Envelope, QueueId, Recipient};

    fn stream(content: &[u8]) -> Vec<u8> {
        let recipients = vec![Recipient::new(Address::parse("kevin").unwrap())];
        let envelope = Envelope { recipients, ..Envelope::default() };
        let mut octets = format::prologue(QueueId::new(0, 0), &envelope, &Origin::Internal);
        content.chunks(1000).for_each(|chunk| octets.extend(format::chunk_record(chunk)));
        octets.extend(format::end_record(crc32fast::hash(content), 1));
        octets
    }

    fn dropped(octets: &[u8]) -> (Result<(), Exit>, Vec<String>, tempfile::TempDir) {
        let temp = tempfile::tempdir().unwrap();
        let config = Config::parse(temp.path(), "message_size_limit: 5000\n").unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let done = take(&mut &*octets, dir.clone(), &config);
        let names = dir.entries().unwrap().into_iter().map(|entry| entry.name).collect();
        (done, names, temp)
    }

    #[test]
    fn a_whole_stream_is_dropped_with_the_true_user() {
        let (done, names, temp) = dropped(&stream(&[b'x'; 4096]));
        assert_eq!(done, Ok(()));
        let id = QueueId::parse(&names[0]).unwrap();
        let file = Dir::open(temp.path()).unwrap().open_file(&names[0], Access::Read).unwrap();
        let file = spool::QueueFile::read(file, id).unwrap();
        assert_eq!((file.origin.clone(), file.size()), (Origin::Local { uid: getuid().as_raw() }, 4096));
        file.verify().unwrap();
    }

    #[test]
    fn a_stream_cut_anywhere_leaves_nothing() {
        let whole = stream(&[b'x'; 2500]);
        for cut in (0..whole.len()).step_by(13) {
            let (done, names, _temp) = dropped(&whole[..cut]);
            assert!(done.is_err(), "{cut}");
            assert!(names.is_empty(), "{cut}");
        }
    }

    #[test]
    fn what_was_dropped_is_there_and_whole_after_every_cut() {
        let place = tempfile::tempdir().unwrap();
        let config = Config::parse(place.path(), "").unwrap();
        for size in [100, 300_000] {
            let octets = stream(&vec![b'x'; size]);
            durable::forgetful::at_every_step_and_sync(
                8,
                |_| (),
                |maildrop| take(&mut &*octets, maildrop.clone(), &config).is_ok(),
                |cut, promised, maildrop| {
                    let entries = maildrop.entries().unwrap();
                    let found: Vec<_> = entries.iter().filter_map(|entry| QueueId::parse(&entry.name)).collect();
                    for id in &found {
                        let file = maildrop.open_file(&id.name(), Access::Read).unwrap();
                        spool::QueueFile::read(file, *id).and_then(|file| file.verify()).expect("whole");
                    }
                    assert!(!promised || found.len() == 1, "{cut:?}");
                },
            );
        }
    }

    #[test]
    fn too_much_is_refused() {
        let (done, names, _temp) = dropped(&stream(&[b'x'; 5001]));
        assert!(done.unwrap_err().to_string().contains("too big"));
        assert!(names.is_empty());
    }
}
