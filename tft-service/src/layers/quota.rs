//! How often each client may call, and what is left of that.

use std::sync::Arc;

use super::{Call, Crossing, Next, Shared, refuse};
use crate::http::{Refusal, Reply, Request, add_quota_headers};
use crate::limits::{Bucket, RateLimiter};

/// The limits of the routes' classes.
#[derive(Debug)]
pub(super) struct Quota {
    shared: Arc<Shared>,
    limiter: Arc<RateLimiter>,
}

impl Quota {
    pub(super) fn new(limiter: Arc<RateLimiter>, shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), limiter }
    }
}

impl Crossing for Quota {
    async fn cross(&self, request: Request, next: impl Next) -> Reply {
        let call = Call::of(&request);
        let verdict = call.route.zip(call.principal).and_then(|(route, principal)| {
            self.limiter.count(Bucket::Route(route.class), principal, self.shared.clock.monotonic())
        });
        let Some(verdict) = verdict else { return next.run(request).await };
        let mut reply = if verdict.is_allowed {
            next.run(request).await
        } else {
            refuse(&self.shared, request, Refusal::TooManyRequests(verdict)).await
        };
        add_quota_headers(reply.headers_mut(), &verdict, self.shared.clock.now().as_millis() / 1000);
        reply
    }
}
