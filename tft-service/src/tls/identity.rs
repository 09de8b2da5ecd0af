//! The certificate in use, and its replacement while connections come in.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use tft_core::time::Timestamp;

use super::acme;
use super::certificate::Certificate;
use super::challenges::Challenges;
use super::config::{TlsFiles, TlsSource};
use super::error::{Role, TlsError};
use super::files::{Contents, provider};
use super::self_signed;

/// The certificate in use; replaced as a whole, so that a handshake sees either the old one or the new one.
#[derive(Debug)]
pub(crate) struct Identity {
    files: TlsFiles,
    served: RwLock<Arc<Served>>,
    challenges: Challenges,
}

/// What came of a look at the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    /// The files hold what is served already.
    Unchanged,
    /// New connections see the new certificate.
    Replaced,
}

#[derive(Debug)]
struct Served {
    handshakes: Arc<ServerConfig>,
    chain: Vec<Certificate>,
    digest: [u8; 32],
}

impl Identity {
    /// Reads the certificate and its key, or makes both if they are to be self-signed.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and what is wrong with it.
    pub(crate) fn open(source: &TlsSource, now: Timestamp) -> Result<Self, TlsError> {
        let files = match source {
            TlsSource::Files(files) => files.clone(),
            TlsSource::SelfSigned(wanted) => self_signed::ensure(wanted, now)?,
            TlsSource::Acme(wanted) => acme::ensure(wanted, now)?,
        };
        let contents = Contents::read(&files)?;
        let served = RwLock::new(Arc::new(Served::new(contents, &files)?));
        Ok(Self { files, served, challenges: Challenges::default() })
    }

    /// Checks what [`open`](Self::open) would refuse, and makes nothing.
    ///
    /// # Errors
    /// [`TlsError`] naming the file or the name, and what is wrong with it.
    pub(crate) fn check(source: &TlsSource) -> Result<(), TlsError> {
        match source {
            TlsSource::Files(files) => Contents::read(files)?.into_pair(files).map(|_| ()),
            TlsSource::SelfSigned(wanted) => self_signed::check(wanted),
            TlsSource::Acme(wanted) => acme::check(wanted),
        }
    }

    /// Reads the files again and serves what they hold, if it is a pair.
    ///
    /// Sessions of before cannot be resumed afterwards, so that every new connection sees the new certificate.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and what is wrong with it; the old certificate remains in use.
    pub(crate) fn reload(&self) -> Result<Reload, TlsError> {
        let contents = Contents::read(&self.files)?;
        if contents.digest() == self.served().digest {
            return Ok(Reload::Unchanged);
        }
        let served = Arc::new(Served::new(contents, &self.files)?);
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
        Ok(Reload::Replaced)
    }

    /// Returns what the next handshake is made with.
    pub(crate) fn handshakes(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served().handshakes)
    }

    /// Returns the handshakes that an authority is waiting for.
    pub(crate) fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Returns what the certificates say, the service's own first.
    pub(crate) fn chain(&self) -> Vec<Certificate> {
        self.served().chain.clone()
    }

    /// Returns when the service's own certificate ends, for `tft_tls_not_after_seconds`.
    ///
    /// # Units
    /// Seconds since 1970.
    pub(crate) fn not_after_seconds(&self) -> i64 {
        self.served().chain.first().map_or(0, |leaf| leaf.not_after.as_millis().div_euclid(1000))
    }

    /// Returns the names and addresses that the service's own certificate is for.
    pub(crate) fn names(&self) -> Vec<String> {
        self.served().chain.first().map_or_else(Vec::new, |leaf| leaf.names.clone())
    }

    fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Served {
    fn new(contents: Contents, files: &TlsFiles) -> Result<Self, TlsError> {
        let digest = contents.digest();
        let pair = contents.into_pair(files)?;
        let certificate: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(pair.certified));
        let builder = ServerConfig::builder_with_provider(provider());
        let builder =
            builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| TlsError::Content {
                role: Role::Certificate,
                path: files.certificate.clone(),
                reason: format!("cannot be served: {error}"),
            })?;
        let mut handshakes = builder.with_no_client_auth().with_cert_resolver(certificate);
        handshakes.alpn_protocols = ALPN.map(Vec::from).to_vec();
        Ok(Self { handshakes: Arc::new(handshakes), chain: pair.chain, digest })
    }
}

/// What may be spoken over TLS, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[cfg(test)]
mod tests {
    use super::super::files::tests::{write, write_pair};
    use super::*;

    fn open(files: &TlsFiles) -> Result<Identity, TlsError> {
        Identity::open(&TlsSource::Files(files.clone()), Timestamp::from_millis(0))
    }

    #[test]
    fn files_that_change_are_served_and_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let identity = open(&write_pair(directory.path())).unwrap();
        let before = identity.handshakes();
        assert_eq!(identity.reload().unwrap(), Reload::Unchanged);
        assert!(Arc::ptr_eq(&before, &identity.handshakes()));
        write_pair(directory.path());
        assert_eq!(identity.reload().unwrap(), Reload::Replaced);
        assert!(!Arc::ptr_eq(&before, &identity.handshakes()));
    }

    #[test]
    fn a_pair_that_is_half_written_leaves_the_old_one_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let files = write_pair(directory.path());
        let identity = open(&files).unwrap();
        let before = identity.handshakes();
        let next = rcgen::generate_simple_self_signed(["next.example.com".to_owned()]).unwrap();
        std::fs::write(&files.certificate, next.cert.pem()).unwrap();
        assert!(matches!(identity.reload(), Err(TlsError::OtherKey { .. })));
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(matches!(identity.reload(), Err(TlsError::File { .. })));
        assert!(Arc::ptr_eq(&before, &identity.handshakes()));
        write(directory.path(), &next.cert.pem(), &next.signing_key.serialize_pem());
        assert_eq!(identity.reload().unwrap(), Reload::Replaced);
        assert_eq!(identity.chain()[0].names, ["next.example.com"]);
    }
}
