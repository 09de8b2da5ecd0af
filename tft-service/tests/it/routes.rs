//! Every row of the route table: keys, methods and headers.

use hyper::Method;
use tft_service::routes::{ROUTES, Route};

use crate::harness::TestServer;

#[test]
fn every_route_is_denied_without_a_key_unless_it_is_marked_open() {
    let server = TestServer::with(|config| config.rate_limits.authentication_failures = 1000);
    for route in ROUTES {
        let reply = server.request(route.method.as_str(), route.path).send();
        if route.is_open {
            assert!(reply.status != 403, "{}", route.path);
        } else {
            assert_eq!(reply.status, 403, "{}", route.path);
        }
        assert_eq!(reply.header("Content-Type"), Some("application/json"));
    }
}

#[test]
fn every_reply_carries_the_security_headers() {
    let server = TestServer::start();
    for (method, target) in [
        ("GET", "/health"),
        ("GET", "/alerts/active"),
        ("GET", "/nothing"),
        ("PUT", "/status"),
        ("OPTIONS", "/status"),
    ] {
        let reply = server.request(method, target).send();
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "strict-origin-when-cross-origin"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{method} {target}: {name}");
        }
        assert!(reply.header("X-Request-Id").is_some());
    }
}

#[test]
fn head_is_get_without_a_body() {
    let server = TestServer::start();
    server.wait_until_ready();
    // The figures of the metrics move from one call to the next, and a stream of events has no end to compare.
    let still =
        |route: &&Route| route.method == Method::GET && !["/metrics", "/events"].contains(&route.path);
    for route in ROUTES.iter().filter(still) {
        let get = server.with_key("GET", route.path).send();
        let head = server.with_key("HEAD", route.path).send();
        assert_eq!(head.status, get.status, "{}", route.path);
        assert_eq!(
            head.header("Content-Length"),
            Some(get.body.len().to_string().as_str()),
            "{}",
            route.path
        );
    }
    assert_eq!(server.request("HEAD", "/alerts/active").send().status, 403);
    assert_eq!(server.request("HEAD", "/feed/data").send().status, 405);
}

#[test]
fn unknown_paths_and_methods_say_so() {
    let server = TestServer::start();
    let reply = server.get("/predictions");
    assert_eq!(reply.status, 404);
    insta::assert_snapshot!(reply.body, @r#"{"detail":"there is no such path"}"#);
    let reply = server.with_key("DELETE", "/predictions/current").send();
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    insta::assert_snapshot!(reply.body, @r#"{"detail":"method not allowed, this path answers to GET, HEAD, OPTIONS"}"#);
    assert_eq!(server.with_key("GET", "/feed/data").send().header("Allow"), Some("OPTIONS, POST"));
}
