//! Handshakes that prove to an authority whose a name is (RFC 8737 §3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::ClientHello;

/// What handshakes that ask for [`PROTOCOL`] are answered with, by name; empty but for the moments of an order.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, Arc<ServerConfig>>>);

/// The protocol that an authority asks for.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

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

    /// Answers for a name from now on.
    #[cfg(feature = "acme")]
    pub(crate) fn expect(&self, name: &str, handshakes: ServerConfig) {
        self.lock().insert(name.to_ascii_lowercase(), Arc::new(handshakes));
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
