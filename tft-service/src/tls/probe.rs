//! A handshake with a service, made to look at it.
//!
//! The chain is shown whether it can be trusted or not, so the handshake goes on either way and the verdict is
//! kept aside. Nothing is sent afterwards.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned,
};
use tft_core::time::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificate::Certificate;
use super::error::{Role, TlsError};
use super::files::{provider, read_certificates};
use super::status::Report;

/// What a handshake showed.
#[derive(Debug)]
pub(crate) struct Probe {
    version: String,
    cipher: String,
    key_exchange: String,
    alpn: String,
    chain: Vec<Result<Certificate, String>>,
    /// Why the chain cannot be trusted, if so.
    distrust: Option<String>,
    now: Timestamp,
}

/// Whose signatures count.
#[derive(Debug)]
pub(crate) struct Trust(Arc<WebPkiServerVerifier>);

/// Verifies like any client, but lets the handshake go on.
#[derive(Debug)]
struct Onlooker {
    verifier: Arc<WebPkiServerVerifier>,
    verdict: Mutex<Option<rustls::Error>>,
}

impl Trust {
    /// Trusts the public authorities that Mozilla lists.
    ///
    /// # Errors
    /// [`TlsError`] if there are none.
    pub(crate) fn public() -> Result<Self, TlsError> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::new(roots).map_err(|reason| TlsError::Handshake { target: "public authorities".into(), reason })
    }

    /// Trusts the certificates in a file, and nobody else.
    ///
    /// # Errors
    /// [`TlsError`] if the file cannot be read or holds something else.
    pub(crate) fn from_file(path: &Path) -> Result<Self, TlsError> {
        let refused = |reason| TlsError::Content { role: Role::Certificate, path: path.to_owned(), reason };
        let mut roots = RootCertStore::empty();
        for (der, _) in read_certificates(path)? {
            roots.add(der).map_err(|error| refused(format!("cannot be trusted: {error}")))?;
        }
        Self::new(roots).map_err(refused)
    }

    fn new(roots: RootCertStore) -> Result<Self, String> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        builder.build().map(Self).map_err(|error| error.to_string())
    }
}

impl Probe {
    /// Makes a handshake with `target`, a host and a port, as a client that expects `name`.
    ///
    /// # Errors
    /// [`TlsError::Handshake`] if no handshake came about within ten seconds. A chain that cannot be trusted
    /// is no error, but [`is_trusted`](Self::is_trusted) tells.
    pub(crate) async fn make(
        target: &str,
        name: &str,
        trust: Trust,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let failed = |reason: String| TlsError::Handshake { target: target.to_owned(), reason };
        let made = tokio::time::timeout(TIMEOUT, handshake(target, name, trust));
        let (connection, distrust) = match made.await {
            Ok(made) => made.map_err(failed)?,
            Err(_) => return Err(failed(format!("no handshake within {} s", TIMEOUT.as_secs()))),
        };
        Ok(Self::read(&connection, distrust, now))
    }

    /// Returns whether a client would go on.
    pub(crate) fn is_trusted(&self) -> bool {
        self.distrust.is_none()
    }

    fn read(connection: &ClientConnection, distrust: Option<rustls::Error>, now: Timestamp) -> Self {
        let unknown = || "unknown".to_owned();
        let debug = |name: Option<String>| name.unwrap_or_else(unknown);
        let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let alpn = connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        let ders = connection.peer_certificates().unwrap_or_default();
        Self {
            version: debug(connection.protocol_version().map(|version| format!("{version:?}"))),
            cipher: debug(suite),
            key_exchange: debug(group),
            alpn: alpn.unwrap_or_else(|| "none".into()),
            chain: ders.iter().map(|der| Certificate::read(der)).collect(),
            distrust: distrust.map(|error| error.to_string()),
            now,
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version     {}", self.version)?;
        writeln!(f, "cipher      {}", self.cipher)?;
        writeln!(f, "group       {}", self.key_exchange)?;
        writeln!(f, "alpn        {}", self.alpn)?;
        for certificate in &self.chain {
            writeln!(f)?;
            match certificate {
                Ok(certificate) => {
                    let chain = std::slice::from_ref(certificate);
                    write!(f, "{}", Report { chain, now: self.now })?;
                }
                Err(reason) => writeln!(f, "certificate that cannot be read: {reason}")?,
            }
        }
        match &self.distrust {
            None => writeln!(f, "\nverdict     trusted"),
            Some(reason) => writeln!(f, "\nverdict     NOT trusted: {reason}"),
        }
    }
}

async fn handshake(
    target: &str,
    name: &str,
    trust: Trust,
) -> Result<(ClientConnection, Option<rustls::Error>), String> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| format!("`{name}` is neither a host name nor an address"))?;
    let onlooker = Arc::new(Onlooker::new(trust));
    let config = onlooking(&onlooker, &[b"h2", b"http/1.1"])?;
    let stream = TcpStream::connect(target).await.map_err(|error| format!("cannot connect: {error}"))?;
    let made = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let (_, connection) = made.map_err(|error| format!("no handshake: {error}"))?.into_inner();
    let distrust = onlooker.verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok((connection, distrust))
}

/// Encrypts a connection on which nothing secret is sent or believed, whatever the certificate.
///
/// # Errors
/// What went wrong in the handshake.
pub(crate) fn look_through(
    mut socket: std::net::TcpStream,
    host: &str,
) -> io::Result<StreamOwned<ClientConnection, std::net::TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let trust = Trust::public().map_err(io::Error::other)?;
    let config = onlooking(&Arc::new(Onlooker::new(trust)), &[b"http/1.1"]).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

fn onlooking(onlooker: &Arc<Onlooker>, alpn: &[&[u8]]) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(|error| error.to_string())?;
    let verifier = Arc::clone(onlooker) as Arc<dyn ServerCertVerifier>;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

impl Onlooker {
    fn new(trust: Trust) -> Self {
        Self { verifier: trust.0, verdict: Mutex::new(None) }
    }
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verified.err();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
