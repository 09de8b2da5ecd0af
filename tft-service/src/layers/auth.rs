//! Who it is, which page asks, and how many wrong keys an address may try.

use std::sync::Arc;

use hyper::header;

use super::{Call, Crossing, Next, OriginCheck, Outcome, Shared, call_mut, refuse};
use crate::auth::Principal;
use crate::http::{Refusal, Reply, Request, is_websocket_upgrade};
use crate::limits::Bucket;

/// The check of keys; open routes pass, and so do paths that do not exist.
#[derive(Debug)]
pub(super) struct Authenticate {
    shared: Arc<Shared>,
}

impl Authenticate {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Checks key and origin. Failed attempts are limited by address; a valid key passes in any case. None for a
    /// stream that says who it is in its first message.
    fn admit(&self, request: &Request) -> Result<Option<Principal>, Refusal> {
        let call = Call::of(request);
        let authenticated = self.shared.keys.authenticate(request.headers(), call.client).ok();
        if authenticated.is_none() && !may_authenticate_later(&call, request) {
            let (address, now) = (Principal::of_address(call.client), self.shared.clock.monotonic());
            let verdict = self.shared.limiter.count(Bucket::AuthenticationFailures, address, now);
            return Err(match verdict {
                Some(verdict) if !verdict.is_allowed => Refusal::TooManyRequests(verdict),
                _ => Refusal::InvalidKey,
            });
        }
        if call.origin == OriginCheck::Refused {
            return Err(Refusal::OriginNotAllowed);
        }
        Ok(authenticated)
    }
}

/// Browsers cannot add a key to the request that opens a WebSocket.
fn may_authenticate_later(call: &Call, request: &Request) -> bool {
    let headers = request.headers();
    call.route.is_some_and(|route| route.authenticates_later)
        && is_websocket_upgrade(request.method(), headers)
        && !headers.contains_key("x-api-key")
        && !headers.contains_key(header::AUTHORIZATION)
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
        call_mut(&mut request).principal = principal;
        let mut reply = next.run(request).await;
        reply.extensions_mut().get_or_insert_default::<Outcome>().key_id =
            principal.and_then(Principal::key_id);
        reply
    }
}
