//! TLS, for servers here and for clients in [`client`]: the certificate, its renewal without a restart, and a self-signed one where none is configured.
//!
//! The key is read while the program may still read it. A program that has given that right up gets a renewed pair
//! from its parent ([`Tls::replace`]); one that still can looks itself ([`Tls::refresh`]). Whatever server name a client
//! says, or none, it gets this certificate. A new pair that does not fit is refused and the old one stays.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use durable::Dir;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

pub mod client;

/// Why a certificate cannot be used. The fault is the set-up's.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// The PEM text holds no certificate or no key, or they do not belong together.
    Pair(String),
}

/// Where certificate and key are; both may be in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, our own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What a server needs to speak TLS. Cheap to clone; clones renew together.
#[derive(Clone, Debug)]
pub struct Tls {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    present: RwLock<Arc<CertifiedKey>>,
    read: Mutex<Option<(Files, [SystemTime; 2])>>,
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(files: &Files) -> Result<Self, Error> {
        let times = modified(files)?;
        let tls = Self::from_pem(&read(&files.certificate)?, &read(&files.key)?)?;
        *lock(&tls.shared.read) = Some((files.clone(), times));
        Ok(tls)
    }

    /// From PEM text.
    ///
    /// # Errors
    /// When certificate and key do not make a pair.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let provider = provider();
        let present = RwLock::new(Arc::new(pair(&provider, certificate, key)?));
        let shared = Arc::new(Shared { present, read: Mutex::new(None) });
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Pair(e.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(shared.clone());
        Ok(Self { acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))), shared })
    }

    /// Uses this pair from the next handshake on.
    ///
    /// # Errors
    /// When it is no pair: the old one stays.
    pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), Error> {
        let new = Arc::new(pair(&provider(), certificate, key)?);
        *self.shared.present.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Reads the files again if they changed; says whether they had.
    ///
    /// # Errors
    /// See [`Error`]; the old pair stays.
    pub fn refresh(&self) -> Result<bool, Error> {
        let Some((files, before)) = lock(&self.shared.read).clone() else { return Ok(false) };
        let times = modified(&files)?;
        if times == before {
            return Ok(false);
        }
        self.replace(&read(&files.certificate)?, &read(&files.key)?)?;
        *lock(&self.shared.read) = Some((files, times));
        Ok(true)
    }

    /// For the handshake.
    #[must_use]
    pub const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor.0
    }
}

/// The self-signed certificate with its key in one file of `dir`, made now if it is not there yet. Programs that
/// start together agree on one.
///
/// # Errors
/// When the directory cannot be written.
pub fn ensure_certificate(dir: &Path, names: &[String]) -> Result<Files, Error> {
    let path = dir.join(SELF_SIGNED);
    let files = Files { certificate: path.clone(), key: path.clone() };
    if path.exists() {
        return Ok(files);
    }
    let pem = self_signed(names).map_err(|e| Error::Pair(e.to_string()))?;
    let made = Dir::open(dir).and_then(|dir| keep_one(&dir, pem.as_bytes()));
    made.map_err(|e| Error::File(path, e))?;
    Ok(files)
}

/// The first program to come this far wins, the others use its certificate.
fn keep_one(dir: &Dir, pem: &[u8]) -> io::Result<()> {
    let temporary = format!(".{SELF_SIGNED}.{}", std::process::id());
    let _ = dir.unlink(&temporary);
    let file = dir.create(&temporary, 0o600)?;
    let kept = file.append(pem).and_then(|_| file.sync()).and_then(|()| dir.rename_new(&temporary, dir, SELF_SIGNED));
    let _ = dir.unlink(&temporary);
    match kept {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(()) => dir.sync(),
    }
}

fn self_signed(names: &[String]) -> Result<String, rcgen::Error> {
    let mut parameters = rcgen::CertificateParams::new(names.to_vec())?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let common_name = names.first().map_or("localhost", String::as_str);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn pair(provider: &CryptoProvider, certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|e| Error::Pair(format!("the certificate is no PEM: {e}")))?;
    if chain.is_empty() {
        return Err(Error::Pair("the file holds no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| Error::Pair(format!("no private key: {e}")))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| Error::Pair(e.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_PEM).read_to_end(&mut text))
        .map_err(|e| Error::File(path.into(), e))?;
    Ok(text)
}

fn modified(files: &Files) -> Result<[SystemTime; 2], Error> {
    let of =
        |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).map_err(|e| Error::File(path.clone(), e));
    Ok([of(&files.certificate)?, of(&files.key)?])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ResolvesServerCert for Shared {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Pair(why) => write!(f, "TLS certificate: {why}"),
        }
    }
}

impl std::error::Error for Error {}

const SELF_SIGNED: &str = "self-signed.pem";
const LONGEST_PEM: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_is_made_and_a_renewed_one_is_seen() {
        let dir = tempfile::tempdir().expect("dir");
        let files = ensure_certificate(dir.path(), &["vm".into()]).expect("made");
        let first = fs::read(&files.key).expect("read");
        assert_eq!(ensure_certificate(dir.path(), &["vm".into()]).expect("there"), files);
        assert_eq!(fs::read(&files.key).expect("read"), first);
        let tls = Tls::load(&files).expect("load");
        assert!(!tls.refresh().expect("unchanged"));
        let before = tls.shared.resolve_now();
        fs::write(&files.key, self_signed(&["vm2".into()]).expect("pem")).expect("write");
        File::open(&files.key).and_then(|f| f.set_modified(SystemTime::UNIX_EPOCH)).expect("time");
        assert!(tls.refresh().expect("changed"));
        assert_ne!(tls.shared.resolve_now().cert, before.cert);
        assert!(tls.replace(b"nonsense", b"nonsense").is_err());
    }

    impl Shared {
        fn resolve_now(&self) -> Arc<CertifiedKey> {
            self.present.read().expect("lock").clone()
        }
    }
}
