//! Who it is, which page asks, and how many wrong keys an address may try.

use std::sync::Arc;

use super::{Call, Crossing, Next, OriginCheck, Outcome, Shared, call_mut, refuse};
use crate::auth::{KeySet, Principal};
use crate::http::{Refusal, Reply, Request};
use crate::limits::{Bucket, RateLimiter};

/// The check of keys; open routes pass, and so do paths that do not exist.
#[derive(Debug)]
pub(super) struct Authenticate {
    shared: Arc<Shared>,
    keys: KeySet,
    limiter: Arc<RateLimiter>,
}

impl Authenticate {
    pub(super) fn new(keys: KeySet, limiter: Arc<RateLimiter>, shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), keys, limiter }
    }

    /// Checks key and origin. Failed attempts are limited by address; a valid key passes in any case.
    fn admit(&self, request: &Request) -> Result<Principal, Refusal> {
        let call = Call::of(request);
        let Ok(principal) = self.keys.authenticate(request.headers(), call.client) else {
            let (address, now) = (Principal::of_address(call.client), self.shared.clock.monotonic());
            let verdict = self.limiter.count(Bucket::AuthenticationFailures, address, now);
            return Err(match verdict {
                Some(verdict) if !verdict.is_allowed => Refusal::TooManyRequests(verdict),
                _ => Refusal::InvalidKey,
            });
        };
        if call.origin == OriginCheck::Refused {
            return Err(Refusal::OriginNotAllowed);
        }
        Ok(principal)
    }
}

impl Crossing for Authenticate {
    async fn cross(&self, mut request: Request, next: impl Next) -> Reply {
        let is_protected = Call::of(&request).route.is_some_and(|route| !route.is_open);
        if !is_protected {
            return next.run(request).await;
        }
        let principal = match self.admit(&request) {
            Ok(principal) => principal,
            Err(refusal) => {
                let key_id = matches!(refusal, Refusal::InvalidKey).then(|| "invalid".to_owned());
                let mut reply = refuse(&self.shared, request, refusal).await;
                reply.extensions_mut().get_or_insert_default::<Outcome>().key_id = key_id;
                return reply;
            }
        };
        call_mut(&mut request).principal = Some(principal);
        let mut reply = next.run(request).await;
        reply.extensions_mut().get_or_insert_default::<Outcome>().key_id = principal.key_id();
        reply
    }
}
