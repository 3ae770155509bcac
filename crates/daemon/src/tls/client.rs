//! TLS for clients: which authorities are believed, and what a handshake has shown about the peer.
//!
//! A handshake succeeds with any certificate whose owner proves to hold its key: mail to a host that we know nothing about is
//! better enciphered for somebody than in clear for everybody. Who that is, [`Wanted::judge`] says afterwards, and
//! the caller decides. Certificates of version 1 and keys too short fail the handshake (rustls takes none).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use tokio_rustls::TlsConnector;

use super::{Error, provider};

/// What clients need to speak TLS. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
    authorities: Arc<RootCertStore>,
}

/// How TLS is spoken with one peer, where not as with all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Manner {
    /// TLS 1.2 may be spoken.
    pub tls12: bool,
    /// TLS 1.3 may be spoken.
    pub tls13: bool,
    /// Suites of TLS 1.2 that may not be, as OpenSSL calls them.
    pub excluded: Vec<&'static str>,
    /// PEM text of authorities that count instead of the others.
    pub authorities: Option<Vec<u8>>,
}

/// A handshake to come: with whom we think we speak.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How to speak.
    pub client: Client,
    /// The name said to the peer (SNI), or its address, which is not said.
    pub name: String,
    /// Names one of which the certificate should hold.
    pub names: Names,
}

/// Names in a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names or addresses. A wildcard in the certificate matches one label.
    pub exact: Vec<String>,
    /// Domains: any host below one will do.
    pub below: Vec<String>,
}

/// What the certificate of a peer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// There is none, or no authority of ours vouches for it. Says why.
    Untrusted(String),
    /// An authority vouches for it, but it holds none of the wanted names, or none was wanted.
    Trusted,
    /// It holds a wanted name, too.
    Verified,
}

impl Client {
    /// Believes the certificates in this PEM text; what is no certificate in it is passed over.
    ///
    /// # Errors
    /// When the library refuses its own defaults.
    pub fn new(authorities: &[u8]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok));
        Self::with(provider(), &[&TLS13, &TLS12], Arc::new(roots))
    }

    /// The same, in another manner.
    ///
    /// # Errors
    /// When too much is excluded, or the authorities are none.
    pub fn in_manner(&self, manner: &Manner) -> Result<Self, Error> {
        let authorities = match &manner.authorities {
            None => self.authorities.clone(),
            Some(text) => Arc::new(only(text)?),
        };
        let mut provider = CryptoProvider::clone(&provider());
        let is_excluded = |suite: SupportedCipherSuite| manner.excluded.contains(&openssl_name(suite).as_str());
        provider.cipher_suites.retain(|suite| !is_excluded(*suite));
        let versions = [(manner.tls13, &TLS13), (manner.tls12, &TLS12)];
        let versions: Vec<_> = versions.into_iter().filter(|(wanted, _)| *wanted).map(|(_, version)| version).collect();
        Self::with(Arc::new(provider), &versions, authorities)
    }

    fn with(
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
        authorities: Arc<RootCertStore>,
    ) -> Result<Self, Error> {
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|e| Error::Pair(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Holder(provider)))
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), authorities })
    }

    pub(crate) const fn connector(&self) -> &TlsConnector {
        &self.connector
    }
}

/// These authorities and no others.
fn only(text: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(text).filter_map(Result::ok));
    if roots.is_empty() {
        Err(Error::Pair("there is no certificate of an authority in the file".into()))
    } else {
        Ok(roots)
    }
}

/// `ECDHE-RSA-AES128-GCM-SHA256`, and for TLS 1.3 a name that is none of OpenSSL's for 1.2.
fn openssl_name(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default().trim_start_matches("TLS_").replace("_WITH_", "-");
    name.replace("AES_", "AES").replace("POLY1305_SHA256", "POLY1305").replace('_', "-")
}

impl Wanted {
    /// The name for the handshake.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, std::io::Error> {
        ServerName::try_from(self.name.clone()).map_err(std::io::Error::other)
    }

    /// What this chain, the peer's own certificate first, is worth.
    pub(crate) fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Trust {
        let Some((own, others)) = chain.and_then(<[_]>::split_first) else {
            return Trust::Untrusted("the peer shows no certificate".into());
        };
        let Ok(parsed) = ParsedCertificate::try_from(own) else {
            return Trust::Untrusted("the certificate is malformed".into());
        };
        let algorithms = provider().signature_verification_algorithms.all;
        let (roots, now) = (&self.client.authorities, UnixTime::now());
        match verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, algorithms) {
            Err(error) => Trust::Untrusted(said(&error)),
            Ok(()) if self.names.are_in(own, &parsed) => Trust::Verified,
            Ok(()) => Trust::Trusted,
        }
    }
}

impl Names {
    fn are_in(&self, own: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>) -> bool {
        let holds = |name: &String| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
        };
        if self.exact.iter().any(holds) {
            return true;
        }
        let Ok(certificate) = webpki::EndEntityCert::try_from(own) else { return false };
        let is_below = |name: &str| {
            let name = name.to_ascii_lowercase();
            self.below.iter().any(|domain| {
                name.strip_suffix(&domain.to_ascii_lowercase())
                    .is_some_and(|host| host.len() > 1 && host.ends_with('.'))
            })
        };
        certificate.valid_dns_names().any(is_below)
    }
}

fn said(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "self-signed or by an unknown authority".into()
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "certificate has expired".into()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "certificate is not yet valid".into(),
        other => other.to_string(),
    }
}

/// Asks only that the peer holds the key of its certificate.
#[derive(Debug)]
struct Holder(Arc<CryptoProvider>);

impl ServerCertVerifier for Holder {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::stream::Stream;
    use crate::tls::Tls;

    /// An authority, and a certificate of it for this name with its key, as PEM.
    fn issued(name: &str) -> (String, String, String) {
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("key")).expect("an authority");
        let key = KeyPair::generate().expect("key");
        let own = CertificateParams::new(vec![name.to_owned()]).expect("parameters").signed_by(&key, &issuer);
        (issuer.pem(), own.expect("signed").pem(), key.serialize_pem())
    }

    async fn trust(authorities: &str, certificate: &str, key: &str, names: Names) -> Trust {
        let server = Tls::from_pem(certificate.as_bytes(), key.as_bytes()).expect("a pair");
        let client = Client::new(authorities.as_bytes()).expect("a client");
        let wanted = Wanted { client, name: "mx.example.org".into(), names };
        let (here, there) = tokio::io::duplex(10_000);
        let serving = async {
            let mut stream = Stream::Clear(there).secure(&server).await.expect("accepted");
            stream.write_all(b"hello").await.expect("written");
            stream.flush().await.expect("flushed");
        };
        let asking = async {
            let mut stream = Stream::Clear(here).secure_as_client(&wanted).await.expect("connected");
            let mut text = [0; 5];
            stream.read_exact(&mut text).await.expect("read");
            assert_eq!((&text, stream.tls_details().is_some()), (b"hello", true));
            stream.trust(&wanted)
        };
        tokio::join!(serving, asking).1
    }

    #[tokio::test]
    async fn a_certificate_is_untrusted_trusted_or_verified() {
        let (authority, certificate, key) = issued("mx.example.org");
        let names = |exact: &[&str], below: &[&str]| {
            let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            Names { exact: owned(exact), below: owned(below) }
        };
        let table = [
            (names(&["mx.example.org"], &[]), Trust::Verified),
            (names(&["mx.example.com", "mx.example.org"], &[]), Trust::Verified),
            (names(&["example.org"], &[]), Trust::Trusted),
            (names(&["example.org"], &["Example.org"]), Trust::Verified),
            (names(&[], &["ample.org"]), Trust::Trusted),
            (names(&[], &[]), Trust::Trusted),
        ];
        for (names, expected) in table {
            assert_eq!(trust(&authority, &certificate, &key, names.clone()).await, expected, "{names:?}");
        }
        for authorities in ["", "nonsense"] {
            let judged = trust(authorities, &certificate, &key, names(&["mx.example.org"], &[])).await;
            assert_eq!(judged, Trust::Untrusted("self-signed or by an unknown authority".into()));
        }
        // Of the same name, but not the one that signed.
        let (other, ..) = issued("mx.example.org");
        let judged = trust(&other, &certificate, &key, names(&["mx.example.org"], &[])).await;
        assert!(matches!(judged, Trust::Untrusted(_)), "{judged:?}");
    }
}
