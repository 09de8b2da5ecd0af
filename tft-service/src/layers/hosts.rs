//! Which names the service is called by.
//!
//! Without a key the service is for its own machine only, and a page on another site could reach it by a name that
//! resolves to the loopback address; so only the loopback address's own names count then.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::{Version, header};

use super::{Call, Crossing, Next, Shared, refuse};
use crate::config::{Config, HostPattern};
use crate::http::{Refusal, Reply, Request};

/// The check of `Host`.
#[derive(Debug)]
pub(super) struct CheckHost {
    shared: Arc<Shared>,
    /// Empty means any.
    allowed: Vec<HostPattern>,
}

impl CheckHost {
    pub(super) fn new(config: &Config, addresses: &[SocketAddr], shared: &Arc<Shared>) -> Self {
        let mut allowed = config.allowed_hosts.clone();
        let own = addresses.iter().map(|address| match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        if !allowed.is_empty() || (config.auth.is_development_mode() && !config.insecure_no_auth) {
            let names = LOOPBACK_NAMES.map(str::to_owned).into_iter().chain(own);
            let own = names.filter_map(|name| HostPattern::parse(&name).ok());
            let is_only_loopback = config.allowed_hosts.is_empty();
            allowed.extend(own.take_while(|_| is_only_loopback));
        }
        Self { shared: Arc::clone(shared), allowed }
    }

    /// Probes on the machine itself need not know the service's name.
    fn is_probe(request: &Request) -> bool {
        let call = Call::of(request);
        call.client.is_loopback() && call.route.is_some_and(|route| route.path.starts_with("/health"))
    }
}

impl Crossing for CheckHost {
    async fn cross(&self, request: Request, next: impl Next) -> Reply {
        let Some(host) = host_of(&request) else {
            // HTTP/1.0 has no `Host`, and probes of load balancers still speak it.
            let needs_none =
                request.version() <= Version::HTTP_10 && !request.headers().contains_key(header::HOST);
            if needs_none && (self.allowed.is_empty() || Self::is_probe(&request)) {
                return next.run(request).await;
            }
            let missing = Refusal::BadRequest("the request must have exactly one Host".into());
            return refuse(&self.shared, request, missing).await;
        };
        let is_known = self.allowed.is_empty() || self.allowed.iter().any(|pattern| pattern.matches(&host));
        if is_known || Self::is_probe(&request) {
            return next.run(request).await;
        }
        refuse(&self.shared, request, Refusal::UnknownHost).await
    }
}

/// Returns the name that the client calls the service by: the target's, or else that of the one `Host` header.
fn host_of(request: &Request) -> Option<String> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?.to_owned()),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    let authority = request.uri().authority().map(ToString::to_string);
    authority.or(host).filter(|host| is_host(host))
}

/// Returns whether text can be a host with perhaps a port; a `Host` with other characters is an attempt at
/// something.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]~%".contains(&byte))
}

const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
