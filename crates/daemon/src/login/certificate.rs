//! The certificate on its way from the files, which only the keeper may read, to the front.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use wire::Secret;

use crate::tls::Files;

/// Knows what was sent last.
pub(crate) struct Certificate {
    files: Option<Files>,
    seen: Option<[Option<SystemTime>; 2]>,
}

impl Certificate {
    pub(crate) const fn new(files: Option<Files>) -> Self {
        Self { files, seen: None }
    }

    /// Chain and key, if they are others than last time. Files that cannot be read are reported once.
    pub(crate) fn changed(&mut self) -> Option<(Vec<u8>, Secret<Vec<u8>>)> {
        let files = self.files.as_ref()?;
        let now = [modified(&files.certificate), modified(&files.key)];
        if self.seen == Some(now) {
            return None;
        }
        self.seen = Some(now);
        match (read(&files.certificate), read(&files.key)) {
            (Ok(chain), Ok(key)) => Some((chain, Secret::new(key))),
            (Err(error), _) => report(&files.certificate, &error),
            (_, Err(error)) => report(&files.key, &error),
        }
    }
}

fn report<T>(path: &Path, error: &io::Error) -> Option<T> {
    tracing::error!("no TLS: {}: {error}", path.display());
    None
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST { Err(io::Error::other("longer than 30 KiB")) } else { Ok(text) }
}

/// Both must fit in one message.
const LONGEST: u64 = 30 * 1024;
