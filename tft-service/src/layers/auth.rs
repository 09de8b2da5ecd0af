//! Who it is, which page asks, what it may do, and how many wrong keys an address may try.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header;

use super::{Call, Crossing, Next, OriginCheck, Outcome, Shared, call_mut, refuse};
use crate::auth::Principal;
use crate::http::{Refusal, Reply, Request, is_websocket_upgrade};
use crate::routes::Route;

/// The check of keys and tokens; open routes pass, and so do paths that do not exist.
#[derive(Debug)]
pub(super) struct Authenticate {
    shared: Arc<Shared>,
    metrics_open: bool,
}

impl Authenticate {
    pub(super) fn new(metrics_open: bool, shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), metrics_open }
    }

    fn is_protected(&self, route: &Route) -> bool {
        !(route.is_open || self.metrics_open && route.path == "/metrics")
    }

    /// Says who it is. Failed attempts are limited by address; a valid key passes in any case.
    async fn identify(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<Principal, (Refusal, &'static str)> {
        let denied = match self.shared.keys.authenticate(headers) {
            Ok(principal) => return Ok(principal),
            Err(denied) => denied,
        };
        let verdict = self.shared.limiter.count_failure(address, self.shared.clock.monotonic()).await;
        let refusal =
            if verdict.is_allowed { Refusal::Denied(denied) } else { Refusal::TooManyRequests(verdict) };
        Err((refusal, denied.key_id()))
    }

    /// Says whether a page's request may go on to where it says who it is: browsers cannot add a key to the request that
    /// opens a WebSocket, so that its first message has it.
    fn is_left_to_route(&self, route: &Route, request: &Request) -> bool {
        let headers = request.headers();
        route.authenticates_later
            && is_websocket_upgrade(request.method(), headers)
            && !headers.contains_key("x-api-key")
            && !headers.contains_key(header::AUTHORIZATION)
            && self.shared.keys.authenticate(headers).is_err()
    }

    /// Says whether somebody who is known may use a route from a page.
    fn permit(route: &Route, origin: &OriginCheck, principal: &Principal) -> Result<(), Refusal> {
        if *origin == OriginCheck::Refused {
            return Err(Refusal::OriginNotAllowed);
        }
        if !principal.may(route.scope) {
            return Err(Refusal::InsufficientScope { required: route.scope, is_token: principal.is_token() });
        }
        Ok(())
    }

    async fn turn_away(&self, request: Request, refusal: Refusal, key_id: String) -> Reply {
        let mut reply = refuse(&self.shared, request, refusal).await;
        reply.extensions_mut().get_or_insert_default::<Outcome>().key_id = Some(key_id);
        reply
    }
}

impl Crossing for Authenticate {
    async fn cross(&self, mut request: Request, next: impl Next) -> Reply {
        let Call { route, origin, client, .. } = Call::of(&request);
        let protected = route.filter(|route| self.is_protected(route));
        let Some(route) = protected else { return next.run(request).await };
        if self.is_left_to_route(route, &request) {
            return match origin {
                OriginCheck::Refused => refuse(&self.shared, request, Refusal::OriginNotAllowed).await,
                _ => next.run(request).await,
            };
        }
        let principal = match self.identify(request.headers(), client).await {
            Ok(principal) => principal,
            Err((refusal, key_id)) => return self.turn_away(request, refusal, key_id.to_owned()).await,
        };
        let key_id = principal.key_id();
        if let Err(refusal) = Self::permit(route, &origin, &principal) {
            return self.turn_away(request, refusal, key_id).await;
        }
        call_mut(&mut request).principal = Some(principal);
        let mut reply = next.run(request).await;
        reply.extensions_mut().get_or_insert_default::<Outcome>().key_id = Some(key_id);
        reply
    }
}
