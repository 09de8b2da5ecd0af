//! Handshakes that prove to an authority whose a name is (RFC 8737 §3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::ClientHello;

/// What handshakes that ask for [`PROTOCOL`] are answered with, by name; empty but for the moments of an order.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, Arc<ServerConfig>>>);

/// The protocol that an authority asks for.
const PROTOCOL: &[u8] = b"acme-tls/1";

impl Challenges {
    /// Returns whether no authority is expected.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Returns the answer to a handshake; none if it is no authority's, or about another name.
    pub(crate) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        hello.alpn()?.any(|protocol| protocol == PROTOCOL).then_some(())?;
        self.lock().get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }

    /// Answers for a name from now on, with the digest of the key authorization.
    ///
    /// # Errors
    /// Why the answer cannot be made.
    #[cfg(feature = "acme")]
    pub(crate) fn expect(&self, name: &str, digest: &[u8]) -> Result<(), String> {
        let handshakes = handshakes(name, digest)?;
        self.lock().insert(name.to_ascii_lowercase(), Arc::new(handshakes));
        Ok(())
    }

    /// Answers no authority any more.
    #[cfg(feature = "acme")]
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<ServerConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what a handshake about `name` is made with: the digest of the key authorization in a certificate that names
/// nothing else (RFC 8737 §3).
#[cfg(feature = "acme")]
fn handshakes(name: &str, digest: &[u8]) -> Result<ServerConfig, String> {
    use rcgen::{CertificateParams, CustomExtension, KeyPair};
    use rustls::crypto::ring;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};

    let mut params = CertificateParams::new([name.to_owned()]).map_err(|error| error.to_string())?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    let builder = ServerConfig::builder_with_provider(super::files::provider())
        .with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = ring::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    // Not compared with its key, for which it would have to be understood: the extension is critical.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut handshakes = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    handshakes.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(handshakes)
}
