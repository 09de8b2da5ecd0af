//! The plain listener beside https: it sends browsers there and refuses everything else.
//!
//! It never answers a call. A key that arrives here has been read by whoever listens on the way, so that its
//! owner is told to replace it instead of being redirected.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Sends browsers to https.
pub(super) struct Redirector {
    /// Decides whether a host is this service's; others are not redirected to.
    is_own_host: Box<dyn Fn(&str) -> bool + Send + Sync>,
    https_port: u16,
}

impl fmt::Debug for Redirector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirector").field("https_port", &self.https_port).finish_non_exhaustive()
    }
}

impl Redirector {
    pub(super) fn new(is_own_host: impl Fn(&str) -> bool + Send + Sync + 'static, https_port: u16) -> Self {
        Self { is_own_host: Box::new(is_own_host), https_port }
    }

    /// Answers connections for ever.
    pub(super) async fn serve(self, listener: &TcpListener) {
        tracing::info!(address = ?listener.local_addr().ok(), https_port = self.https_port, "redirecting");
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let redirector = Arc::new(self);
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let redirector = Arc::clone(&redirector);
                    tokio::spawn(async move {
                        redirector.serve_one(stream, peer).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Answers one request and closes.
    async fn serve_one(&self, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(|request: Request<Incoming>| {
            let reply = self.answer(&request, peer.ip());
            async move { Ok::<_, Infallible>(reply) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(CONNECTION_TIMEOUT);
        http.keep_alive(false).max_buf_size(HEADER_BYTES_MAX);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
    }

    fn answer<B>(&self, request: &Request<B>, client: IpAddr) -> Response<Full<Bytes>> {
        let Some(host) = self.own_host(request) else {
            return refusal(StatusCode::BAD_REQUEST, "Invalid host header");
        };
        let origin = match self.https_port {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        };
        if request.headers().contains_key(AUTHORIZATION) || request.headers().contains_key(API_KEY) {
            tracing::warn!(%client, "403 Forbidden: a key was sent in clear text and should be replaced");
            let detail = format!(
                "The key was sent in clear text and may have been read on the way. Replace it, and call {origin} only."
            );
            return refusal(StatusCode::FORBIDDEN, &detail);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let detail = format!("This port redirects pages only. Call {origin}.");
            return refusal(StatusCode::FORBIDDEN, &detail);
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match HeaderValue::try_from(format!("{origin}{path}")) {
            Ok(location) => {
                let mut reply = Response::new(Full::default());
                *reply.status_mut() = StatusCode::PERMANENT_REDIRECT;
                reply.headers_mut().insert(LOCATION, location);
                reply
            }
            Err(_) => refusal(StatusCode::BAD_REQUEST, "Invalid path"),
        }
    }

    /// Returns the host that was asked for, without its port, if it is this service's.
    fn own_host<B>(&self, request: &Request<B>) -> Option<String> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        // A target in absolute form counts more than the header.
        let authority = match request.uri().authority() {
            Some(authority) => authority.clone(),
            None => host.filter(|_| more.is_none())?.to_str().ok()?.parse::<Authority>().ok()?,
        };
        let host = authority.host().to_ascii_lowercase();
        (self.is_own_host)(&host).then_some(host)
    }
}

/// Returns whether a host, as a URL spells it, is among the names of a certificate.
///
/// `*.example.com` stands for one label, as it does for clients.
pub(super) fn is_named(host: &str, names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return names.iter().any(|name| name.parse() == Ok(address));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    names.iter().any(|name| match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    })
}

fn refusal(status: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "detail": detail }).to_string();
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

const API_KEY: &str = "x-api-key";

/// Each is over within one reply.
const CONNECTIONS_MAX: usize = 64;

const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

const HEADER_BYTES_MAX: usize = 16 << 10;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http_body_util::BodyExt;

    use super::*;

    fn names() -> Vec<String> {
        ["tft.example.com", "*.example.org", "::1", "10.0.0.7"].map(String::from).to_vec()
    }

    /// The status, and the location or the detail.
    fn answer(method: &str, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let redirector = Redirector::new(|host| is_named(host, &names()), 8443);
        let reply = redirector.answer(&request.body(()).unwrap(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (parts, body) = reply.into_parts();
        let location = parts.headers.get(LOCATION).map(|value| value.to_str().unwrap().to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes();
        (parts.status.as_u16(), location.unwrap_or_else(|| String::from_utf8(body.to_vec()).unwrap()))
    }

    #[test]
    fn pages_are_redirected_to_the_same_host_and_path() {
        let get = |target, host| answer("GET", target, &[("Host", host)]);
        let location = "https://tft.example.com:8443/dash?x=1".to_owned();
        assert_eq!(get("/dash?x=1", "TFT.example.com:80"), (308, location));
        assert_eq!(get("/", "[::1]:80"), (308, "https://[::1]:8443/".into()));
        assert_eq!(get("//evil.com/", "10.0.0.7"), (308, "https://10.0.0.7:8443//evil.com/".into()));
        assert_eq!(answer("HEAD", "/", &[("Host", "a.example.org")]).0, 308);
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for host in
            ["evil.com", "tft.example.com.evil.com", "tft.example.com@evil.com", "a.b.example.org", ""]
        {
            assert_eq!(answer("GET", "/", &[("Host", host)]).0, 400, "{host}");
        }
        assert_eq!(answer("GET", "/", &[]).0, 400);
        assert_eq!(answer("GET", "/", &[("Host", "tft.example.com"), ("Host", "evil.com")]).0, 400);
        assert_eq!(answer("GET", "http://evil.com/", &[("Host", "tft.example.com")]).0, 400);
        let (status, location) = answer("GET", "/", &[("Host", "evil.com@tft.example.com")]);
        assert_eq!((status, location.as_str()), (308, "https://tft.example.com:8443/"));
    }

    #[test]
    fn a_key_in_clear_text_is_refused_and_its_owner_told() {
        for header in ["X-API-Key", "Authorization"] {
            let (status, body) = answer("GET", "/status", &[("Host", "tft.example.com"), (header, "secret")]);
            assert_eq!(status, 403);
            assert!(body.contains("sent in clear text") && !body.contains("secret"), "{body}");
        }
        assert_eq!(answer("POST", "/feed/data", &[("Host", "tft.example.com")]).0, 403);
    }
}
