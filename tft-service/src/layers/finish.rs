//! The outermost layer: names each request, and sees that every reply has what all have.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::Authority;

use super::{Call, Crossing, Next, Outcome, Shared};
use crate::audit::AuditLine;
use crate::config::Config;
use crate::http::{Reply, Request};

/// Request ids, security headers and audit lines.
#[derive(Debug)]
pub(super) struct Finish {
    shared: Arc<Shared>,
    /// Tells the requests of one process from those of another.
    process: u32,
    count: AtomicU64,
    enable_hsts: bool,
}

impl Finish {
    pub(super) fn new(config: &Config, shared: &Arc<Shared>) -> Self {
        let process = RandomState::new().hash_one(std::process::id()) as u32;
        let enable_hsts = config.tls.enable_hsts;
        Self { shared: Arc::clone(shared), process, count: AtomicU64::new(0), enable_hsts }
    }

    fn tell(&self, call: &Call, (method, path): (&str, &str), reply: &mut Reply, duration_ms: f64) {
        let outcome = reply.extensions_mut().remove::<Outcome>().unwrap_or_default();
        let status = reply.status().as_u16();
        tracing::debug!(request_id = call.id, client = %call.client, method, path, status, "answered");
        self.shared.audit.write(&AuditLine {
            timestamp: self.shared.clock.now().to_string(),
            request_id: &call.id,
            method,
            path,
            client_ip: call.client.to_string(),
            key_id: outcome.key_id.as_deref().unwrap_or("none"),
            status_code: status,
            reason: outcome.reason.as_deref(),
            duration_ms,
        });
    }
}

impl Crossing for Finish {
    async fn cross(&self, mut request: Request, next: impl Next) -> Reply {
        let started = self.shared.clock.monotonic();
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let call = Call::new(format!("{:08x}-{count:x}", self.process), &request);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        request.extensions_mut().insert(call.clone());
        let may_pin = self.enable_hsts && !is_own_machine(&request);
        let mut reply = next.run(request).await;
        // A layer further in knows better who the client is.
        let call = reply.extensions_mut().remove::<Call>().unwrap_or(call);
        let duration = self.shared.clock.monotonic().saturating_sub(started);
        self.tell(&call, (method.as_str(), &path), &mut reply, duration.as_secs_f64() * 1e3);
        let headers = reply.headers_mut();
        add_security_headers(headers);
        if may_pin && call.is_secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        if let Ok(id) = HeaderValue::from_str(&call.id) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        reply
    }
}

/// Returns whether the client calls by a name of its own machine, where other services need plain HTTP.
fn is_own_machine(request: &Request) -> bool {
    let header = || request.headers().get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority: Option<Authority> = request.uri().authority().cloned().or_else(header);
    let Some(authority) = authority else { return true };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Adds the headers that make browsers careful; a route may have set stricter ones.
fn add_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// A year, as the lists that browsers ship require.
const HSTS: &str = "max-age=31536000; includeSubDomains";

const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_XSS_PROTECTION, "1; mode=block"),
    (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (HeaderName::from_static("permissions-policy"), "geolocation=(), microphone=(), camera=()"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];
