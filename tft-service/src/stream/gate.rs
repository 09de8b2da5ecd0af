//! Who may have a stream.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use tokio::sync::watch;

use super::messages::Credentials;
use crate::auth::Principal;
use crate::clock::Clock;
use crate::layers::Shared;
use crate::limits::Bucket;

/// Decides about `auth` messages as the requests' authentication decides about headers.
#[derive(Debug)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
    /// Counts changes of the keys.
    changes: watch::Sender<u64>,
}

impl Gate {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, changes: watch::Sender::default() }
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// Tells of changes of the keys: after each, [`still_admits`](Self::still_admits) may answer otherwise.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Returns who has sent a message of credentials; none if they are not valid. Failures count as those of requests.
    pub(super) fn admit(&self, credentials: &Credentials, client: IpAddr) -> Option<Principal> {
        let admitted =
            as_headers(credentials).and_then(|headers| self.shared.keys.authenticate(&headers, client).ok());
        if admitted.is_none() {
            let address = Principal::of_address(client);
            let now = self.shared.clock.monotonic();
            self.shared.limiter.count(Bucket::AuthenticationFailures, address, now);
        }
        admitted
    }

    /// Returns whether somebody who was admitted still would be.
    pub(super) fn still_admits(&self, principal: Principal) -> bool {
        self.shared.keys.knows(principal)
    }
}

/// Returns the headers that a request with these credentials has.
fn as_headers(credentials: &Credentials) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &credentials.api_key {
        headers.insert("x-api-key", HeaderValue::from_str(key.trim()).ok()?);
    }
    if let Some(token) = &credentials.token {
        headers.insert(header::AUTHORIZATION, format!("Bearer {}", token.trim()).parse().ok()?);
    }
    Some(headers)
}
