//! Who may have a stream.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};

use super::messages::Credentials;
use crate::auth::{KeySet, Principal};
use crate::clock::Clock;
use crate::limits::{Bucket, RateLimiter};

/// Decides about `auth` messages as the requests' authentication decides about headers.
#[derive(Debug)]
pub(crate) struct Gate {
    keys: Arc<KeySet>,
    limiter: Arc<RateLimiter>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    pub(crate) fn new(keys: Arc<KeySet>, limiter: Arc<RateLimiter>, clock: Arc<dyn Clock>) -> Self {
        Self { keys, limiter, clock }
    }

    /// Returns who has sent a message of credentials; none if they are not valid. Failures count as those of requests.
    pub(super) fn admit(&self, credentials: &Credentials, client: IpAddr) -> Option<Principal> {
        let admitted = as_headers(credentials).and_then(|headers| self.keys.authenticate(&headers, client).ok());
        if admitted.is_none() {
            let address = Principal::of_address(client);
            self.limiter.count(Bucket::AuthenticationFailures, address, self.clock.monotonic());
        }
        admitted
    }

    /// Returns whether somebody who was admitted still would be.
    pub(super) fn still_admits(&self, principal: Principal) -> bool {
        self.keys.knows(principal)
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
