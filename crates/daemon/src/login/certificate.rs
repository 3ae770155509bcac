//! The certificate on its way from the files, which only the keeper may read, to the front.
//!
//! Promise: a pair that does not work never takes the place of one that does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use wire::Secret;

use crate::tls::{Files, Tls};

/// The last pair that works, for one front after the other.
pub(super) struct Certificates(Mutex<State>);

struct State {
    files: Option<Files>,
    /// When the files changed last.
    seen: Option<[Option<SystemTime>; 2]>,
    number: u64,
    pair: Option<Arc<Pair>>,
}

/// Chain and key.
pub(super) struct Pair {
    pub(super) chain: Vec<u8>,
    pub(super) key: Secret<Vec<u8>>,
}

impl Certificates {
    pub(super) const fn new(files: Option<Files>) -> Self {
        Self(Mutex::new(State { files, seen: None, number: 0, pair: None }))
    }

    /// Other files from now on; without any, no TLS.
    pub(super) fn replace(&self, files: Option<Files>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.is_none() {
            state.pair = None;
        }
        (state.files, state.seen) = (files, None);
    }

    /// The pair that holds now with its number, if it is another than the one of that number. Files that cannot be used are
    /// reported once.
    pub(super) fn other_than(&self, number: u64) -> Option<(u64, Arc<Pair>)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.look();
        (state.number != number).then_some(state.number).zip(state.pair.clone())
    }
}

impl State {
    fn look(&mut self) {
        let Some(files) = &self.files else { return };
        let now = [modified(&files.certificate), modified(&files.key)];
        if self.seen == Some(now) {
            return;
        }
        self.seen = Some(now);
        match pair(files) {
            Ok(pair) => (self.number, self.pair) = (self.number + 1, Some(Arc::new(pair))),
            Err(error) if self.pair.is_some() => tracing::error!("{error}; TLS stays as it was"),
            Err(error) => tracing::error!("no TLS: {error}"),
        }
    }
}

fn pair(files: &Files) -> Result<Pair, String> {
    let read = |path: &Path| read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (chain, key) = (read(&files.certificate)?, Secret::new(read(&files.key)?));
    match Tls::from_pem(&chain, key.expose()) {
        Ok(_) => Ok(Pair { chain, key }),
        Err(error) => Err(format!("{}: {error}", files.certificate.display())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_work_takes_no_place() {
        let dir = tempfile::tempdir().expect("dir");
        let files = crate::tls::ensure_certificate(dir.path(), &["vm.m3102.com".to_owned()]).expect("made");
        let certificates = Certificates::new(Some(files.clone()));
        let (first, pair) = certificates.other_than(0).expect("a pair");
        assert!(certificates.other_than(first).is_none());
        fs::write(&files.certificate, "").expect("cut");
        assert!(certificates.other_than(first).is_none());
        let (number, same) = certificates.other_than(0).expect("for the next front");
        assert!(number == first && Arc::ptr_eq(&same, &pair));
        fs::write(&files.certificate, &pair.chain).expect("mended");
        assert!(certificates.other_than(first).is_some_and(|(number, _)| number > first));
        let other = tempfile::tempdir().expect("dir");
        certificates
            .replace(Some(crate::tls::ensure_certificate(other.path(), &["b.example".to_owned()]).expect("made")));
        let (_, other) = certificates.other_than(first).expect("a pair");
        assert_ne!(other.chain, pair.chain);
        certificates.replace(None);
        assert!(certificates.other_than(0).is_none());
    }
}
