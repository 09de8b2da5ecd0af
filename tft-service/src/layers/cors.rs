//! Which browser pages may call, and the headers that tell browsers so.
//!
//! Owns the decision about an `Origin` header. It is made on the server: a page that is not allowed gets a
//! refusal, not just a reply that its browser hides.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

use super::{Crossing, Next, Shared, call_mut, refuse};
use crate::config::{AllowedOrigins, Config, Origin};
use crate::http::{Refusal, Reply, Request, empty};
use crate::routes::allowed_methods;

/// Answers preflight requests and adds the headers that browsers ask for.
#[derive(Debug)]
pub(super) struct Cors {
    shared: Arc<Shared>,
    policy: CorsPolicy,
}

/// The origins that may call: those configured, and the service's own.
#[derive(Debug)]
struct CorsPolicy {
    allowed: AllowedOrigins,
    own: Vec<Origin>,
}

/// What a request's `Origin` header means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OriginCheck {
    /// There is none: not a cross-origin request of a browser.
    Absent,
    /// Its page may call.
    Allowed(HeaderValue),
    /// Its page may not call.
    Refused,
}

impl CorsPolicy {
    /// Builds the policy of a service that listens on `addresses`.
    fn new(config: &Config, addresses: &[SocketAddr]) -> Self {
        let scheme = if config.tls.source.is_some() { "https" } else { "http" };
        let domain = config.tls.domain.as_deref();
        let own = addresses.iter().flat_map(|&address| Origin::own(scheme, address, domain)).collect();
        Self { allowed: config.cors_origins.clone(), own }
    }

    /// Decides about a request.
    fn check(&self, headers: &HeaderMap) -> OriginCheck {
        let mut given = headers.get_all(header::ORIGIN).iter();
        let Some(value) = given.next() else { return OriginCheck::Absent };
        let origin = value.to_str().ok().and_then(Origin::normalise);
        let may_call = |origin: &Origin| self.allowed.allows(origin) || self.own.contains(origin);
        let is_allowed = given.next().is_none() && origin.is_some_and(|origin| may_call(&origin));
        if is_allowed { OriginCheck::Allowed(value.clone()) } else { OriginCheck::Refused }
    }

    /// Adds the headers of a reply to a request with this check's result.
    fn add_headers(&self, check: &OriginCheck, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let OriginCheck::Allowed(origin) = check else { return };
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        if self.allowed.is_any() {
            // Browsers refuse credentials together with `*`, and so do we.
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// Adds the headers that only the reply to a preflight request has.
    fn add_preflight_headers(allow: &HeaderValue, takes_tokens: bool, headers: &mut HeaderMap) {
        let can_delete = allow.to_str().is_ok_and(|allow| allow.contains("DELETE"));
        let methods = if can_delete { "GET, POST, DELETE" } else { "GET, POST" };
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        let asked =
            if takes_tokens { "Content-Type, X-API-Key, Authorization" } else { "Content-Type, X-API-Key" };
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(asked));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

const EXPOSED: &str =
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id";

impl Cors {
    pub(super) fn new(config: &Config, addresses: &[SocketAddr], shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), policy: CorsPolicy::new(config, addresses) }
    }

    async fn preflight(&self, request: Request, origin: &OriginCheck) -> Reply {
        let allow = match allowed_methods(request.uri().path()) {
            Ok(_) if *origin == OriginCheck::Refused => Err(Refusal::OriginNotAllowed),
            other => other,
        };
        let allow = match allow {
            Ok(allow) => allow,
            Err(refusal) => return refuse(&self.shared, request, refusal).await,
        };
        let mut reply = empty(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        if request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            CorsPolicy::add_preflight_headers(&allow, self.shared.keys.takes_tokens(), headers);
        }
        headers.insert(header::ALLOW, allow);
        reply
    }
}

impl Crossing for Cors {
    async fn cross(&self, mut request: Request, next: impl Next) -> Reply {
        let origin = self.policy.check(request.headers());
        call_mut(&mut request).origin = origin.clone();
        let mut reply = if request.method() == Method::OPTIONS {
            self.preflight(request, &origin).await
        } else {
            next.run(request).await
        };
        self.policy.add_headers(&origin, reply.headers_mut());
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origins: &[&str]) -> OriginCheck {
        let policy = CorsPolicy::new(&Config::default(), &["127.0.0.1:8000".parse().unwrap()]);
        let headers = origins.iter().map(|origin| (header::ORIGIN, origin.parse().unwrap())).collect();
        policy.check(&headers)
    }

    #[test]
    fn listed_and_own_origins_pass() {
        assert_eq!(check(&[]), OriginCheck::Absent);
        for origin in ["http://localhost:8501", "http://127.0.0.1:8000"] {
            assert_eq!(check(&[origin]), OriginCheck::Allowed(origin.parse().unwrap()));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for origins in
            [&["https://evil.com"][..], &["null"], &[""], &["http://localhost:8501", "http://localhost:8501"]]
        {
            assert_eq!(check(origins), OriginCheck::Refused, "{origins:?}");
        }
    }
}
