//! How often each client may call, and what is left of that.

use std::sync::Arc;

use super::{Call, Crossing, Next, Shared, refuse};
use crate::http::{Refusal, Reply, Request, add_quota_headers};
use crate::limits::Verdict;

/// The limits of the routes' classes.
#[derive(Debug)]
pub(super) struct Quota {
    shared: Arc<Shared>,
}

impl Quota {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Counts a call of somebody who is known; others are not asked who they are, or did not come this far.
    async fn count(&self, call: &Call) -> Option<Verdict> {
        let (route, principal) = call.route.zip(call.principal.as_ref())?;
        let now = self.shared.clock.monotonic();
        self.shared.limiter.count(route.class, principal, call.client, now).await
    }
}

impl Crossing for Quota {
    async fn cross(&self, request: Request, next: impl Next) -> Reply {
        let Some(verdict) = self.count(&Call::of(&request)).await else { return next.run(request).await };
        let mut reply = if verdict.is_allowed {
            next.run(request).await
        } else {
            refuse(&self.shared, request, Refusal::TooManyRequests(verdict)).await
        };
        add_quota_headers(reply.headers_mut(), &verdict, self.shared.clock.now().as_millis() / 1000);
        reply
    }
}
