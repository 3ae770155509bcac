//! A message that a reader's client sends, written to disk as it comes.
//!
//! For a Maildir the file is in `tmp/` and goes when this is dropped before [`crate::Mailbox::store`] took it in; for an
//! mbox it has no name at all. Nothing is synced before it is stored.

use std::io;
use std::ops::Range;

use durable::{Dir, File};
use mail::Flags;
use mail::date::Moment;

use crate::Error;
use crate::line_ends::Bare;

/// A message as far as it came. CRLF becomes LF.
pub struct Incoming {
    pub(crate) file: File,
    /// Where it is to be removed from, unless it was stored.
    named: Option<(Dir, String)>,
    /// Octets on disk.
    pub(crate) size: u64,
    bare: Bare,
    extra: u64,
    /// The last piece ended in a CR, which is not written before it is known what follows.
    held: bool,
}

impl Incoming {
    pub(crate) fn named(file: File, dir: Dir, name: String) -> Self {
        let mut this = Self::nameless(file);
        this.named = Some((dir, name));
        this
    }

    pub(crate) fn nameless(file: File) -> Self {
        Self { file, named: None, size: 0, bare: Bare::default(), extra: 0, held: false }
    }

    /// The next octets.
    ///
    /// # Errors
    /// When the disk refuses; then the message cannot be stored any more.
    pub fn write(&mut self, octets: &[u8]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (octets.first(), octets.last()) else { return Ok(()) };
        let mut text = Vec::with_capacity(octets.len() + 1);
        if std::mem::take(&mut self.held) && *first != b'\n' {
            text.push(b'\r');
        }
        self.held = *last == b'\r';
        let octets = &octets[..octets.len() - usize::from(self.held)];
        let mut from = 0;
        for at in memchr::memmem::find_iter(octets, b"\r\n") {
            text.extend_from_slice(&octets[from..at]);
            from = at + 1;
        }
        text.extend_from_slice(&octets[from..]);
        self.put(&text)
    }

    fn put(&mut self, text: &[u8]) -> Result<(), Error> {
        self.file.write_at(text, self.size)?;
        self.size += text.len() as u64;
        self.extra += self.bare.count(text);
        Ok(())
    }

    /// All of it came. Octets with CRLF line ends.
    pub(crate) fn end(&mut self) -> Result<u64, Error> {
        if std::mem::take(&mut self.held) {
            self.put(b"\r")?;
        }
        Ok(self.size + self.extra)
    }

    /// Its name in `tmp/`; whoever asks removes it from now on.
    pub(crate) fn take_name(&mut self) -> Result<String, Error> {
        let (_, name) = self.named.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(name)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some((dir, name)) = &self.named {
            let _ = dir.unlink(name);
        }
    }
}

/// Messages on their way from one mailbox to another, one after another in one file.
pub(crate) struct Carried {
    incoming: Incoming,
    pub(crate) messages: Vec<OnItsWay>,
}

/// One of them.
pub(crate) struct OnItsWay {
    /// Where in the file it is.
    pub(crate) range: Range<u64>,
    pub(crate) flags: Flags,
    pub(crate) date: Moment,
}

impl Carried {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self { incoming, messages: Vec::new() }
    }

    /// The next octets of the message under way.
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.incoming.write(octets)
    }

    /// It is over.
    pub(crate) fn end(&mut self, flags: Flags, date: Moment) -> Result<(), Error> {
        self.incoming.end()?;
        let from = self.messages.last().map_or(0, |before| before.range.end);
        self.messages.push(OnItsWay { range: from..self.incoming.size, flags, date });
        Ok(())
    }

    pub(crate) fn file(&self) -> &File {
        &self.incoming.file
    }

    pub(crate) fn size(&self) -> u64 {
        self.incoming.size
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line_ends::to_lf;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_split_gives_the_same(pieces in prop::collection::vec("[a\r\n]{0,4}", 0..9)) {
            let place = tempfile::tempdir().expect("tempdir");
            let dir = Dir::open(place.path()).expect("open");
            let mut incoming = Incoming::named(dir.create("x", 0o600).expect("create"), dir.clone(), "x".into());
            for piece in &pieces {
                incoming.write(piece.as_bytes()).expect("write");
            }
            let wide = incoming.end().expect("end");
            let whole = pieces.concat().into_bytes();
            let want = to_lf(&whole);
            prop_assert_eq!(incoming.file.read_all(1000).expect("read"), &want[..]);
            prop_assert_eq!(wide, crate::line_ends::to_crlf(want.into_owned()).len() as u64);
            drop(incoming);
            prop_assert!(dir.stat("x").is_err());
        }
    }
}
