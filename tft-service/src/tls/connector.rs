//! Connections to others: encrypted, and only with those whose certificate can be verified.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{Role, TlsError};
use super::files::{provider, read_certificates};

/// Encrypts connections to others. Whom it trusts is fixed; there is no way not to verify.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl Connector {
    /// Trusts the public authorities that Mozilla lists, and those in a file.
    ///
    /// # Errors
    /// [`TlsError`] if the file cannot be read or holds something else.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        if let Some(path) = ca_file {
            let refused =
                |reason| TlsError::Content { role: Role::Certificate, path: path.to_owned(), reason };
            for (der, _) in read_certificates(path)? {
                roots.add(der).map_err(|error| refused(format!("cannot be trusted: {error}")))?;
            }
        }
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| TlsError::Handshake {
            target: "connections to others".into(),
            reason: error.to_string(),
        })?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a handshake with `host`, a name or an address.
    ///
    /// # Errors
    /// What went wrong, an untrusted certificate included.
    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.0.connect(name, stream).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(…)")
    }
}
