//! Word of who works with the configuration as it is: programs tell master, over the socket that is their standard input, and
//! daemons write it down for `facteur reload`, which waits for it.
//!
//! Promise: never fails for who tells; a word that is lost makes somebody wait in vain, never believe in vain.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sys::channel;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Channel;

/// What a program says once it has read its configuration, at its start and after each SIGHUP, and when at SIGUSR1 it takes
/// nothing new any more.
pub const WORD: &[u8] = b"=";

/// Says it to whoever started us. Nobody may be listening.
pub fn tell() {
    let _ = channel::send(io::stdin(), WORD, &[]);
}

/// Hears what a program says that says nothing else. Needs the runtime.
#[must_use]
pub fn hear(channel: Channel) -> UnboundedReceiver<()> {
    let (teller, words) = unbounded_channel();
    tokio::spawn(pass_on(channel, teller));
    words
}

async fn pass_on(channel: Channel, teller: UnboundedSender<()>) {
    let mut buffer = [0; WORD.len()];
    while let Ok(Some(_)) = channel.receive(&mut buffer).await {
        let _ = teller.send(());
    }
}

/// Writes down that all of `daemon` works with what the configuration was at `since`. `directory` is `data_directory`.
pub fn note(directory: &Path, daemon: &str, since: SystemTime) {
    let age = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let place = place(directory, daemon);
    if let Err(error) = fs::write(&place, format!("{}.{:09}\n", age.as_secs(), age.subsec_nanos())) {
        tracing::warn!("cannot note that the reload is over: {}: {error}", place.display());
    }
}

/// The moment of the last [`note`] of this daemon.
#[must_use]
pub fn noted(directory: &Path, daemon: &str) -> Option<SystemTime> {
    let text = fs::read_to_string(place(directory, daemon)).ok()?;
    let (seconds, nanoseconds) = text.strip_suffix('\n')?.split_once('.')?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds.parse().ok()?, nanoseconds.parse().ok()?))
}

fn place(directory: &Path, daemon: &str) -> PathBuf {
    directory.join(format!("{daemon}.settled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_to_the_nanosecond() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(noted(dir.path(), "imapd"), None);
        for nanoseconds in [0, 7, 999_999_999] {
            let since = SystemTime::UNIX_EPOCH + Duration::new(1_796_126_400, nanoseconds);
            note(dir.path(), "imapd", since);
            assert_eq!(noted(dir.path(), "imapd"), Some(since));
        }
        assert_eq!(noted(dir.path(), "popd"), None);
    }

    #[test]
    fn a_note_that_is_being_written_is_none() {
        let dir = tempfile::tempdir().expect("dir");
        for text in ["", "17", "1796126400.", "1796126400.00000", "x.000000000\n", "99999999999999999999.0\n"] {
            fs::write(dir.path().join("imapd.settled"), text).expect("written");
            assert_eq!(noted(dir.path(), "imapd"), None, "{text:?}");
        }
    }
}
