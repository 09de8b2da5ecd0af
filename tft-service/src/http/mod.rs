//! Replies, refusals and request bodies: what every route has in common.
//!
//! Owns the JSON forms of refusals and the headers that every reply carries. Knows no route.

mod body;
mod query;
mod refusal;
mod stall_guard;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

pub(crate) use body::{ARROW_STREAM, BodyType, drain, read_body};
pub(crate) use query::Query;
pub(crate) use refusal::Refusal;
pub(crate) use stall_guard::{RequestPhase, StallGuard};

use crate::limits::Verdict;

/// What every route answers with.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Builds a reply of JSON text.
pub(crate) fn json(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// Builds a reply of a stream in Arrow's IPC format.
pub(crate) fn arrow_stream(stream: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(stream));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(ARROW_STREAM));
    reply
}

/// Builds a reply of a value as JSON.
pub(crate) fn json_of(status: StatusCode, value: &impl serde::Serialize) -> Reply {
    json(status, crate::wire::to_json(value))
}

/// Adds the headers that make browsers careful; every reply has them, refusals too.
pub(crate) fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Adds what is left of the client's quota.
pub(crate) fn add_quota_headers(headers: &mut HeaderMap, verdict: &Verdict, unix_time_s: i64) {
    let reset = unix_time_s + verdict.retry_after_s() as i64;
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), verdict.limit.into());
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), verdict.remaining.into());
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), reset.into());
}

const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_XSS_PROTECTION, "1; mode=block"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (HeaderName::from_static("permissions-policy"), "geolocation=(), microphone=(), camera=()"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];
