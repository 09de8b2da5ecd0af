//! Who may have a stream.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::ending::Ending;
use super::messages::Credentials;
use crate::auth::{Principal, Scope};
use crate::clock::Clock;
use crate::layers::Shared;

/// Decides about `auth` messages as the requests' authentication decides about headers.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

impl Gate {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// Tells of changes of the keys: after each, [`still_admits`](Self::still_admits) may answer otherwise.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.shared.keys.changed()
    }

    /// Returns who has sent a message of credentials. Failures count as those of requests.
    ///
    /// # Errors
    /// [`Ending`] if they are not valid, or do not allow reading.
    pub(super) async fn admit(&self, credentials: &Credentials, client: IpAddr) -> Result<Principal, Ending> {
        let keys = &self.shared.keys;
        let admitted = match (&credentials.api_key, &credentials.token) {
            (Some(key), _) => keys.authenticate_key(key).ok(),
            (None, Some(token)) => keys.authenticate_token(token.trim()).ok(),
            (None, None) => None,
        };
        let Some(principal) = admitted else {
            self.shared.limiter.count_failure(client, self.shared.clock.monotonic()).await;
            return Err(Ending::AuthFailed);
        };
        if principal.may(Scope::Read) { Ok(principal) } else { Err(Ending::ScopeMissing) }
    }

    /// Returns whether somebody who was admitted still would be.
    pub(super) fn still_admits(&self, principal: &Principal) -> bool {
        self.shared.keys.is_still_valid(principal)
    }
}
