//! What happens to a request, in order: preflight, route, key, origin, quota, handler.
//!
//! Owns the order and what is logged about refusals; each check lives in its own module. Every reply leaves
//! through [`Pipeline::finish`], so that refusals carry the same headers as answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::auth::{KeyRing, Principal};
use crate::clock::Clock;
use crate::config::{Config, Limits, SecretError};
use crate::cors::{CorsPolicy, OriginCheck};
use crate::http::{Refusal, Reply, add_quota_headers, add_security_headers, drain};
use crate::limits::{RateLimiter, Verdict};
use crate::routes::{Route, allowed_methods};
use crate::state::ServiceState;

/// Everything that answering a request needs.
#[derive(Debug)]
pub(crate) struct Pipeline {
    keys: KeyRing,
    cors: CorsPolicy,
    limiter: RateLimiter,
    limits: Limits,
    clock: Arc<dyn Clock>,
    state: Arc<ServiceState>,
    request_count: AtomicU64,
}

/// What the rest of the way needs to know of a request.
struct Call {
    id: u64,
    peer: SocketAddr,
    head: Parts,
    origin: OriginCheck,
}

impl Pipeline {
    pub(crate) fn new(
        config: &Config,
        address: SocketAddr,
        clock: Arc<dyn Clock>,
        state: Arc<ServiceState>,
    ) -> Result<Self, SecretError> {
        Ok(Self {
            keys: KeyRing::load(&config.auth, Arc::clone(&clock))?,
            cors: CorsPolicy::new(config.cors_origins.clone(), address),
            limiter: RateLimiter::new(config.rate_limits.clone()),
            limits: config.limits,
            clock,
            state,
            request_count: AtomicU64::new(0),
        })
    }

    /// Answers one request; whatever is wrong with it is in the reply.
    pub(crate) async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Reply {
        let (head, mut body) = request.into_parts();
        let origin = self.cors.check(&head.headers);
        let call = Call { id: self.request_count.fetch_add(1, Ordering::Relaxed) + 1, peer, head, origin };
        let mut quota = None;
        let answered = if call.head.method == Method::OPTIONS {
            preflight(&call)
        } else {
            self.carry_out(&call, &mut body, &mut quota).await
        };
        let reply = match answered {
            Ok(reply) => reply,
            Err(refusal) => {
                call.log(&refusal);
                drain(&call.head.headers, &mut body, &self.limits).await;
                refusal.into_reply()
            }
        };
        self.finish(&call, quota, reply)
    }

    async fn carry_out(
        &self,
        call: &Call,
        body: &mut Incoming,
        quota: &mut Option<Verdict>,
    ) -> Result<Reply, Refusal> {
        let route = Route::find(&call.head.method, call.path())?;
        if !route.is_open {
            let principal = self.admit(call).await?;
            let now = self.clock.monotonic();
            *quota = self.limiter.count(route.class, &principal, call.peer.ip(), now).await;
            refuse_over_limit(*quota)?;
        }
        route.answer(&self.state, &self.limits, (&call.head, body)).await
    }

    /// Checks key and origin. Failed attempts are limited by address; a valid key passes in any case.
    async fn admit(&self, call: &Call) -> Result<Principal, Refusal> {
        let principal = match self.keys.authenticate(&call.head.headers) {
            Ok(principal) => principal,
            Err(denied) => {
                let verdict = self.limiter.count_failure(call.peer.ip(), self.clock.monotonic()).await;
                refuse_over_limit(Some(verdict))?;
                return Err(Refusal::Denied(denied));
            }
        };
        if call.origin == OriginCheck::Refused {
            return Err(Refusal::OriginNotAllowed);
        }
        Ok(principal)
    }

    fn finish(&self, call: &Call, quota: Option<Verdict>, mut reply: Reply) -> Reply {
        let headers = reply.headers_mut();
        add_security_headers(headers);
        self.cors.add_headers(&call.origin, headers);
        if let Some(verdict) = quota {
            add_quota_headers(headers, &verdict, self.clock.now().as_millis() / 1000);
        }
        headers.insert(HeaderName::from_static("x-request-id"), call.id.into());
        tracing::debug!(
            request_id = call.id, client = %call.peer.ip(), method = %call.head.method, path = call.path(),
            status = reply.status().as_u16(), "answered"
        );
        reply
    }
}

impl Call {
    fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// Security refusals carry their status in words, which is what operators search their logs for.
    fn log(&self, refusal: &Refusal) {
        let reason = match refusal {
            Refusal::Denied(_) => "403 Forbidden: invalid or missing API key",
            Refusal::OriginNotAllowed => "403 Forbidden: CORS origin not allowed",
            Refusal::TooManyRequests(_) => "429 Too Many Requests",
            _ => return,
        };
        let client = self.peer.ip();
        tracing::warn!(request_id = self.id, %client, method = %self.head.method, path = self.path(), "{reason}");
    }
}

fn preflight(call: &Call) -> Result<Reply, Refusal> {
    let allow = allowed_methods(call.path())?;
    if call.origin == OriginCheck::Refused {
        return Err(Refusal::OriginNotAllowed);
    }
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(header::ALLOW, allow.parse().unwrap_or(HeaderValue::from_static("")));
    if call.head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        CorsPolicy::add_preflight_headers(headers);
    }
    Ok(reply)
}

fn refuse_over_limit(verdict: Option<Verdict>) -> Result<(), Refusal> {
    match verdict {
        Some(verdict) if !verdict.is_allowed => Err(Refusal::TooManyRequests(verdict)),
        _ => Ok(()),
    }
}
