//! The list of the queue that `mailq` prints.
//!
//! Who may read the queue reads it; everybody else asks `pickup` at `public/showq`, which sends the same text. Nothing is
//! asked for and nothing is read from the asker, so there is nothing to get wrong.

use std::collections::HashSet;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, SystemTime};

use config::Config;
use durable::{Access, Dir};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::QueueId;
use spool::{OpenError, Progress, Queue, QueueFile, Spool};

use crate::sendmail::Exit;

/// The list, read or asked for.
pub(crate) fn fetch(config: &Config) -> Result<Vec<u8>, Exit> {
    let queue = Path::new(config.text("queue_directory"));
    let mut text = Vec::new();
    match read_directly(queue).and_then(|(spool, maildrop)| write(&spool, &maildrop, &mut text)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            text.clear();
            let asked = UnixStream::connect(queue.join("public/showq"));
            let read = asked.and_then(|mut stream| stream.read_to_end(&mut text));
            read.map_err(|_| Exit::unavailable("the mail system is down; only root can read the queue then"))?;
        }
        Err(error) => return Err(failed(queue, &error)),
    }
    Ok(text)
}

fn failed(queue: &Path, error: &io::Error) -> Exit {
    Exit::unavailable(format!("{}: {error}", queue.display()))
}

fn read_directly(queue: &Path) -> io::Result<(Spool, Dir)> {
    let root = Dir::open(queue)?;
    Ok((Spool::open(&root)?, root.subdir("maildrop")?))
}

/// Answers everybody who connects, one after the other; a slow reader is given up.
pub(super) fn serve(listener: &UnixListener, spool: &Spool, maildrop: &Dir) {
    for asker in listener.incoming() {
        match asker {
            Ok(stream) => {
                stream.set_write_timeout(Some(PATIENCE)).ok();
                write(spool, maildrop, &mut BufWriter::new(stream)).ok();
            }
            // No descriptors: they come back when a batch is done.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Writes the list.
pub(crate) fn write(spool: &Spool, maildrop: &Dir, out: &mut impl Write) -> io::Result<()> {
    let mut total = Total::default();
    let dropped = maildrop.entries()?.into_iter().filter_map(|entry| QueueId::parse(&entry.name));
    for id in dropped {
        if let Some(file) = opened(maildrop, id)? {
            total.add(&file, ' ', out)?;
        }
    }
    let queues = [(Queue::Active, '*'), (Queue::Incoming, ' '), (Queue::Deferred, ' '), (Queue::Hold, '!')];
    for (queue, mark) in queues {
        for id in spool.scan(queue)? {
            if let Some(file) = opened(spool.dir(queue), id)? {
                total.add(&file, mark, out)?;
            }
        }
    }
    match total.seen.len() {
        0 => writeln!(out, "Mail queue is empty")?,
        1 => writeln!(out, "-- {} Kbytes in 1 Request.", total.octets / 1024)?,
        n => writeln!(out, "-- {} Kbytes in {n} Requests.", total.octets / 1024)?,
    }
    out.flush()
}

/// `None`: gone or moved on in the meantime, or damaged, which qmgr sees to.
fn opened(dir: &Dir, id: QueueId) -> io::Result<Option<QueueFile>> {
    match QueueFile::open(dir, id, Access::Read) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::Gone | OpenError::Damaged(_)) => Ok(None),
        Err(OpenError::Disk(error)) => Err(error),
    }
}

#[derive(Default)]
struct Total {
    octets: u64,
    seen: HashSet<QueueId>,
}

impl Total {
    fn add(&mut self, file: &QueueFile, mark: char, out: &mut impl Write) -> io::Result<()> {
        if self.seen.is_empty() {
            writeln!(out, "{HEADER}")?;
        }
        // A message that moved from one queue to the next while they were read.
        if !self.seen.insert(file.id) {
            return Ok(());
        }
        self.octets += file.size();
        let sender = file.envelope.reverse_path.as_ref().map_or("MAILER-DAEMON".to_owned(), ToString::to_string);
        writeln!(out, "{}{mark}{:>8} {:<20} {sender}", file.id, file.size(), time(file.arrival))?;
        let mut last = "";
        let mut slots: Vec<_> = file.open_slots().map(|(_, slot)| slot).collect();
        slots.sort_by_key(|slot| reason(&slot.progress));
        for slot in slots {
            let reason = reason(&slot.progress);
            if reason != last {
                let shown = format!("({reason})");
                writeln!(out, "{:>78}", mail::event::escaped(&shown))?;
                last = reason;
            }
            writeln!(out, "{:INDENT$}{}", "", slot.recipient.address)?;
        }
        writeln!(out)
    }
}

fn reason(progress: &Progress) -> &str {
    match progress {
        Progress::Deferred { reason, .. } => reason,
        Progress::New | Progress::Sent | Progress::Bounced | Progress::Expanded => "",
    }
}

fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::system()).strftime("%a %b %e %H:%M:%S").to_string()
}

const HEADER: &str = "-Queue ID-       --Size-- ----Arrival Time---- -Sender/Recipient-------";
/// Below the sender: id, mark, size, time and the blanks between.
const INDENT: usize = 15 + 1 + 8 + 1 + 20 + 1;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Address, EnhancedStatus, Envelope, Recipient};
    use spool::Origin;

    #[test]
    fn as_people_know_it() {
        let disk = durable::forgetful::Forgetful::default();
        let spool = Spool::create(&disk.root()).unwrap();
        let maildrop = disk.root().ensure_subdir("maildrop", 0o700).unwrap();
        let list = || {
            let mut out = Vec::new();
            write(&spool, &maildrop, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(list(), "Mail queue is empty\n");
        let recipient = |text: &str| Recipient::new(Address::parse(text).unwrap());
        let envelope = Envelope {
            reverse_path: Some(Address::parse("darth@starwars.univ").unwrap()),
            recipients: vec![recipient("luke@starwars.univ"), recipient("kevin@vm"), recipient("leia@starwars.univ")],
            ..Envelope::default()
        };
        let id = QueueId::new(1_795_191_110_000_000, 0xA7);
        let mut message = spool.enter_as(id, &envelope, &Origin::Internal);
        message.write(&[b'x'; 263]).unwrap();
        message.commit().unwrap();
        let mut file = spool.read(Queue::Incoming, id).unwrap();
        for slot in [0, 2] {
            file.append_deferred(slot, EnhancedStatus::new(4, 4, 3), "Host not found, try again").unwrap();
        }
        file.append_done(&[1]).unwrap();
        let pad = " ".repeat(46);
        let reason = " ".repeat(51) + "(Host not found, try again)";
        let expected = format!(
            "{HEADER}\n{id}      263 {:<20} darth@starwars.univ\n{reason}\n{pad}luke@starwars.univ\n{pad}leia@starwars.univ\n\n-- 0 Kbytes in 1 Request.\n",
            time(file.arrival)
        );
        assert_eq!(list(), expected);
        spool.shift(id, Queue::Incoming, Queue::Active).unwrap();
        assert!(list().contains(&format!("{id}*     263")));
    }
}
